//! Limits of a claim by the depth of runs.

use super::MAX_DEPTH;

/// Most runs in all that may be claimed for a run of a given depth to be among them. The limit never falls with depth,
/// because other runs wait for deeper ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthLimits {
    limits: [u32; MAX_DEPTH as usize + 1],
    /// Whether the deepest child run is claimed if no run fits.
    or_deepest: bool,
}

impl DepthLimits {
    /// Limits from a function of the depth, raised where they would fall.
    pub fn new(limit: impl Fn(u32) -> u32) -> Self {
        let mut limits = [0; MAX_DEPTH as usize + 1];
        let mut least = 0;
        for (depth, at) in (0..).zip(&mut limits) {
            least = least.max(limit(depth));
            *at = least;
        }
        Self { limits, or_deepest: false }
    }

    /// The same limit for all depths.
    pub const fn all(limit: u32) -> Self {
        Self { limits: [limit; MAX_DEPTH as usize + 1], or_deepest: false }
    }

    /// Lowers all limits to `most`.
    pub fn at_most(self, most: u32) -> Self {
        Self { limits: self.limits.map(|limit| limit.min(most)), ..self }
    }

    /// Sets whether the deepest child run is claimed if no run fits.
    pub const fn or_deepest(self, or_deepest: bool) -> Self {
        Self { or_deepest, ..self }
    }

    /// The depths from which a run may be claimed, deepest first, if no run fits.
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

    /// The least depth of the next run after `taken` were claimed; none if no more may be claimed.
    pub fn least_depth(&self, taken: u32) -> Option<u32> {
        (0..=MAX_DEPTH).find(|depth| taken < self.of(*depth))
    }
}
