/// What is known of a backend besides whether it takes writes.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Bytes of what was written and is not yet where it belongs: the write-ahead log.
    pub log_bytes: u64,
    /// What someone should look at.
    pub warning: Option<String>,
}
