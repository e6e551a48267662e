/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every group commit is flushed to the disk: events that a client saw survive a power loss.
    #[default]
    Full,
    /// The operating system of the database decides when to flush: events that a client saw survive a crash of the host,
    /// but not of the machine that has the database.
    Normal,
}
