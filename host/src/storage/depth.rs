//! Room for runs by their depth in the family.

use super::MAX_DEPTH;

/// How many runs may be taken so that one of some depth is the last of them. Deeper ones have
/// no less room: they are what others wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthLimits {
    limits: [u32; MAX_DEPTH as usize + 1],
    /// Whether the deepest run that somebody started is taken when none fits.
    or_deepest: bool,
}

impl DepthLimits {
    /// The limit of each depth.
    pub fn new(limit: impl Fn(u32) -> u32) -> Self {
        let mut limits = [0; MAX_DEPTH as usize + 1];
        let mut least = 0;
        for (depth, at) in (0..).zip(&mut limits) {
            least = least.max(limit(depth));
            *at = least;
        }
        Self { limits, or_deepest: false }
    }

    /// The same for all depths.
    pub const fn all(limit: u32) -> Self {
        Self { limits: [limit; MAX_DEPTH as usize + 1], or_deepest: false }
    }

    /// No more than `most` of any depth.
    pub fn at_most(self, most: u32) -> Self {
        Self { limits: self.limits.map(|limit| limit.min(most)), ..self }
    }

    /// The same; if no run fits, one that another has started is taken all the same, the deepest.
    pub const fn or_deepest(self, or_deepest: bool) -> Self {
        Self { or_deepest, ..self }
    }

    /// The depths to look at, one after the other, when no run fits.
    pub fn beyond(&self) -> impl Iterator<Item = u32> + use<> {
        (1..=MAX_DEPTH).rev().filter({
            let wanted = self.or_deepest;
            move |_| wanted
        })
    }

    /// The limit of a depth.
    pub fn of(&self, depth: u32) -> u32 {
        self.limits[(depth as usize).min(self.limits.len() - 1)]
    }

    /// The least depth that another run can have when so many are taken; none if that is all.
    pub fn least_depth(&self, taken: u32) -> Option<u32> {
        (0..=MAX_DEPTH).find(|depth| taken < self.of(*depth))
    }
}
