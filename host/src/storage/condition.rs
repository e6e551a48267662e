/// Condition of a backend, besides whether it accepts writes.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Size of the write-ahead log in bytes.
    pub log_bytes: u64,
    /// A problem that the operator should know of.
    pub warning: Option<String>,
}
