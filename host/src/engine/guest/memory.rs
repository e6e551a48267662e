//! The memory limit of one guest: the sum over all its memories and tables.

use wasmtime::ResourceLimiter;

/// Bytes of the host's memory for one table element.
const TABLE_ELEMENT_BYTES: usize = 8;
/// Most core instances, memories and tables of one guest. Components that toolchains
/// build have tens of instances; the limits stop malicious files, not programs.
const MAX_INSTANCES: usize = 500;
const MAX_MEMORIES: usize = 50;
const MAX_TABLES: usize = 500;

/// Counts the memory of a guest, and refuses growth beyond the limit.
pub(in crate::engine) struct MemoryLimit {
    limit: usize,
    used: usize,
    /// Bytes of the last refused request, which explains a trap that follows.
    refused: Option<usize>,
}

impl MemoryLimit {
    pub(in crate::engine) fn new(limit: usize) -> Self {
        Self { limit, used: 0, refused: None }
    }

    /// The limit in bytes, if the guest has reached it.
    pub(in crate::engine) fn exceeded(&self) -> Option<usize> {
        self.refused.map(|_| self.limit)
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let more = desired.saturating_sub(current);
        if self.used.saturating_add(more) > self.limit {
            self.refused = Some(more);
            return false;
        }
        self.used += more;
        true
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Growth beyond the memory's own maximum fails anyway and must not be counted.
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = maximum.is_none_or(|maximum| desired <= maximum);
        let (current, desired) =
            (current.saturating_mul(TABLE_ELEMENT_BYTES), desired.saturating_mul(TABLE_ELEMENT_BYTES));
        Ok(fits && self.grow(current, desired))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_memories_and_tables_is_bounded() {
        let mut limit = MemoryLimit::new(1000);
        assert!(limit.memory_growing(0, 400, None).unwrap());
        assert!(limit.memory_growing(0, 400, None).unwrap());
        assert!(limit.exceeded().is_none());
        assert!(!limit.memory_growing(400, 700, None).unwrap());
        assert_eq!(limit.exceeded(), Some(1000));
        assert!(limit.table_growing(0, 25, None).unwrap());
        assert!(!limit.table_growing(25, 26, None).unwrap());
        assert!(!limit.memory_growing(0, usize::MAX, None).unwrap());
    }
}
