//! Room for runs by their depth in the family.

use super::MAX_DEPTH;

/// How many runs may be taken so that one of some depth is the last of them. Deeper ones have
/// no less room: they are what others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthLimits([u32; MAX_DEPTH as usize + 1]);

impl DepthLimits {
    /// The limit of each depth.
    pub fn new(limit: impl Fn(u32) -> u32) -> Self {
        let mut limits = [0; MAX_DEPTH as usize + 1];
        let mut least = 0;
        for (depth, at) in (0..).zip(&mut limits) {
            least = least.max(limit(depth));
            *at = least;
        }
        Self(limits)
    }

    /// The same for all depths.
    pub const fn all(limit: u32) -> Self {
        Self([limit; MAX_DEPTH as usize + 1])
    }

    /// No more than `most` of any depth.
    pub fn at_most(self, most: u32) -> Self {
        Self(self.0.map(|limit| limit.min(most)))
    }

    /// The limit of a depth.
    pub fn of(&self, depth: u32) -> u32 {
        self.0[(depth as usize).min(self.0.len() - 1)]
    }

    /// The least depth that another run can have when so many are taken; none if that is all.
    pub fn least_depth(&self, taken: u32) -> Option<u32> {
        (0..=MAX_DEPTH).find(|depth| taken < self.of(*depth))
    }
}
