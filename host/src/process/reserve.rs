use std::hint::black_box;

/// Address space that nothing else can take while this is held. It takes no memory: nothing is written to it.
pub struct Reserve {
    _bytes: Vec<u8>,
}

impl Reserve {
    /// None if the process may not have so much more.
    pub fn new(bytes: usize) -> Option<Self> {
        let mut reserved = Vec::new();
        reserved.try_reserve_exact(bytes).ok()?;
        // Or the compiler leaves out what nobody uses.
        Some(Self { _bytes: black_box(reserved) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_can_be_is_refused() {
        assert!(Reserve::new(1 << 20).is_some());
        assert!(Reserve::new(1 << 60).is_none());
    }
}
