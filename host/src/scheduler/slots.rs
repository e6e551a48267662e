//! Slots: bound how many runs execute here, in all and per task.
//!
//! A run that waits for its child runs vacates its slot, so that they can execute. Its guest still occupies memory,
//! which is bounded too. Runs are therefore admitted by their depth below the first ancestor: each level has room for
//! one guest more than the level above. So there is always room for the run that the deepest waiting run waits for,
//! whatever the others do; and runs of the greatest depth can't have children to wait for, so they end. No number of
//! parents can block their children, nor block any other run for ever.
//!
//! Locks complicate this: the run that the deepest one waits for may itself wait for a lock, and the lock's holder for
//! a child of less depth. So when all guests wait and no depth has room, one more child is admitted beyond the limits,
//! the deepest in the queue, while memory lasts. When memory is exhausted, one wait fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::capacity::kept_for_locks;
use crate::model::TaskRef;
use crate::storage::{DepthLimits, MAX_DEPTH};

/// Least time between two waits that fail for lack of room: the first may already resolve the situation.
const BETWEEN_FAILED_WAITS: Duration = Duration::from_secs(1);

/// The slots in which runs execute.
pub(super) struct Slots {
    max: u32,
    /// Guests that may be alive beyond `max`. Only child runs may use them.
    spare: u32,
    usage: Mutex<Usage>,
    /// Notified when a slot becomes free.
    freed: Notify,
    /// Notified when none is taken any more.
    all_freed: Notify,
}

#[derive(Default)]
struct Usage {
    all: u32,
    /// When a wait last failed for lack of room.
    wait_failed: Option<Instant>,
    /// Vacated slots, not counted in `all`: their runs wait for child runs.
    vacated: u32,
    /// Guests, among `all` and `vacated`, that were admitted beyond the limit of their depth. They don't count towards it.
    beyond: u32,
    by_task: HashMap<TaskRef, u32>,
    /// While the queue is polled for as many runs as there are free slots, no other caller may take these slots.
    reserved: bool,
}

impl Slots {
    pub(super) fn new(max: u32, spare: u32) -> Arc<Self> {
        Arc::new(Self { max, spare, usage: Mutex::default(), freed: Notify::new(), all_freed: Notify::new() })
    }

    /// Takes a slot for a run of the task, of which `limit` may execute, if one is free for its depth.
    pub(super) fn try_take(self: &Arc<Self>, task: &TaskRef, limit: u32, depth: u32) -> Option<Slot> {
        let mut usage = self.usage.lock();
        let of_task = usage.by_task.get(task).copied().unwrap_or(0);
        if usage.reserved || of_task >= limit || self.room(&usage, depth) == 0 {
            return None;
        }
        Some(self.take(&mut usage, task, false))
    }

    /// Reserves all free slots until the reservation is dropped. Only one reservation exists at a time.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let mut usage = self.usage.lock();
        if usage.reserved || usage.all >= self.max {
            return None;
        }
        usage.reserved = true;
        Some(Reservation { slots: Arc::clone(self) })
    }

    /// Number of slots in use, including vacated ones.
    pub(super) fn taken(&self) -> u32 {
        let usage = self.usage.lock();
        usage.all + usage.vacated
    }

    /// Waits until a slot becomes free.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Waits until no slot is in use.
    pub(super) async fn all_free(&self) {
        loop {
            let all_freed = self.all_freed.notified();
            tokio::pin!(all_freed);
            // Register before the check: the last slot may be freed in between.
            all_freed.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            all_freed.await;
        }
    }

    /// How many more runs of this depth may be admitted. The limit grows with each level, and most of the slots beyond
    /// `max` are for the first level.
    fn room(&self, usage: &Usage, depth: u32) -> u32 {
        let most = match depth {
            0 => self.max,
            deeper => {
                let kept = kept_for_locks(self.max) + MAX_DEPTH.saturating_sub(deeper);
                (self.max + self.spare).saturating_sub(kept)
            }
        };
        let by_depth = most.saturating_sub(usage.all + usage.vacated - usage.beyond);
        self.max.saturating_sub(usage.all).min(by_depth).min(self.memory(usage))
    }

    /// How many more guests fit into memory.
    fn memory(&self, usage: &Usage) -> u32 {
        (self.max + self.spare).saturating_sub(usage.all + usage.vacated)
    }

    /// Whether one child may be admitted beyond the limit of its depth.
    fn has_beyond(&self, usage: &Usage) -> bool {
        usage.all == 0 && usage.vacated > 0 && self.memory(usage) > 0
    }

    /// Whether a run of this depth may be admitted.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn has_room(&self, depth: u32) -> bool {
        let usage = self.usage.lock();
        self.room(&usage, depth) > 0 || (depth > 0 && self.has_beyond(&usage))
    }

    /// Whether the caller's wait has to fail, because all guests wait and there is no room for any run that they wait
    /// for. True for one caller at a time, with a pause between them.
    pub(super) fn must_fail_wait(&self) -> bool {
        let mut usage = self.usage.lock();
        let recently = usage.wait_failed.is_some_and(|failed| failed.elapsed() < BETWEEN_FAILED_WAITS);
        let stuck = usage.all == 0 && self.memory(&usage) == 0 && !recently;
        if stuck {
            usage.wait_failed = Some(Instant::now());
        }
        stuck
    }

    fn take(self: &Arc<Self>, usage: &mut Usage, task: &TaskRef, beyond: bool) -> Slot {
        usage.all += 1;
        usage.beyond += u32::from(beyond);
        *usage.by_task.entry(task.clone()).or_default() += 1;
        Slot { slots: Arc::clone(self), task: task.clone(), beyond }
    }
}

/// All free slots, reserved for the claiming loop.
pub(super) struct Reservation {
    slots: Arc<Slots>,
}

impl Reservation {
    /// How many runs may be claimed, by their depth.
    pub(super) fn room(&self) -> DepthLimits {
        let usage = self.slots.usage.lock();
        DepthLimits::new(|depth| self.slots.room(&usage, depth)).or_deepest(self.slots.has_beyond(&usage))
    }

    /// How many more runs of the task may be claimed, if `limit` may execute at once.
    pub(super) fn room_for(&self, task: &TaskRef, limit: u32) -> u32 {
        let usage = self.slots.usage.lock();
        limit.saturating_sub(usage.by_task.get(task).copied().unwrap_or(0))
    }

    /// Takes a slot for a claimed run of this depth.
    pub(super) fn take(&self, task: &TaskRef, depth: u32) -> Slot {
        let mut usage = self.slots.usage.lock();
        let beyond = self.slots.room(&usage, depth) == 0;
        self.slots.take(&mut usage, task, beyond)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.slots.usage.lock().reserved = false;
    }
}

/// A slot in which one run executes. Free again when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    task: TaskRef,
    beyond: bool,
}

impl Slot {
    /// Vacates the slot while its run waits for its child runs, until the returned guard is dropped. After that, more
    /// runs than there are slots may execute for a while.
    pub(super) fn vacate(&self) -> VacatedSlot<'_> {
        let mut usage = self.slots.usage.lock();
        usage.vacated += 1;
        usage.release(&self.task);
        drop(usage);
        self.slots.freed.notify_one();
        VacatedSlot { slot: self }
    }
}

/// A slot that other runs may use.
pub(super) struct VacatedSlot<'a> {
    slot: &'a Slot,
}

impl Drop for VacatedSlot<'_> {
    fn drop(&mut self) {
        let mut usage = self.slot.slots.usage.lock();
        usage.vacated -= 1;
        usage.all += 1;
        *usage.by_task.entry(self.slot.task.clone()).or_default() += 1;
    }
}

impl Usage {
    fn release(&mut self, task: &TaskRef) {
        self.all -= 1;
        if let Some(of_task) = self.by_task.get_mut(task) {
            *of_task -= 1;
            if *of_task == 0 {
                self.by_task.remove(task);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut usage = self.slots.usage.lock();
        usage.release(&self.task);
        usage.beyond -= u32::from(self.beyond);
        let is_empty = usage.all + usage.vacated == 0;
        drop(usage);
        self.slots.freed.notify_one();
        if is_empty {
            self.slots.all_freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> TaskRef {
        TaskRef::parse_path(name).unwrap()
    }

    const SPARE: u32 = 24 + MAX_DEPTH;

    #[test]
    fn neither_bound_is_ever_exceeded() {
        let slots = Slots::new(3, SPARE);
        let first = slots.try_take(&task("a"), 2, 0);
        let _second = slots.try_take(&task("a"), 2, 0);
        assert!(slots.try_take(&task("a"), 2, 0).is_none(), "two of one task");
        let _third = slots.try_take(&task("b"), 2, 0);
        assert!(slots.try_take(&task("c"), 2, 0).is_none(), "three in all");
        assert!(slots.try_take(&task("c"), 2, MAX_DEPTH).is_none(), "at any depth");
        drop(first);
        assert!(slots.try_take(&task("c"), 2, 0).is_some());
    }

    #[test]
    fn a_run_that_waits_for_others_vacates_its_slot_for_its_children_alone() {
        let slots = Slots::new(1, SPARE);
        let parent = slots.try_take(&task("a"), 1, 0).unwrap();
        assert!(slots.try_take(&task("a"), 1, 1).is_none());
        let vacated = parent.vacate();
        assert!(slots.try_take(&task("b"), 1, 0).is_none(), "another parent would only wait too");
        let child = slots.try_take(&task("a"), 1, 1).expect("also of the same task");
        assert_eq!(slots.taken(), 2);
        drop(vacated);
        assert_eq!(slots.taken(), 2);
        drop(child);
        assert!(slots.try_take(&task("a"), 1, 0).is_none());
        drop(parent);
        assert_eq!(slots.taken(), 0);
    }

    /// Whatever the depths of the waiting runs: if the deepest of them waits for a deeper run, that run finds room.
    #[test]
    fn there_is_always_room_for_what_the_deepest_waiting_run_waits_for() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let max = rng.u32(1..6);
            let slots = Slots::new(max, SPARE + max / 4);
            let mut waiting: Vec<(u32, &'static Slot)> = Vec::new();
            let mut deepest = 0;
            for _ in 0..200 {
                let depth = rng.u32(0..=deepest.min(MAX_DEPTH - 1));
                let Some(slot) = slots.try_take(&task("a"), u32::MAX, depth) else { continue };
                let slot = Box::leak(Box::new(slot));
                std::mem::forget(slot.vacate());
                waiting.push((depth, slot));
                deepest = deepest.max(depth + 1);
                let deepest_waiting = waiting.iter().map(|(depth, _)| *depth).max().unwrap();
                assert!(
                    slots.try_take(&task("a"), u32::MAX, deepest_waiting + 1).is_some(),
                    "seed {seed}, {} wait",
                    waiting.len()
                );
            }
        }
    }

    #[test]
    fn if_all_wait_and_no_depth_has_room_one_child_after_the_other_is_admitted() {
        let slots = Slots::new(1, MAX_DEPTH + 1);
        let vacate = |slot: Slot| std::mem::forget(Box::leak(Box::new(slot)).vacate());
        for depth in 0..3 {
            vacate(slots.try_take(&task("a"), u32::MAX, depth).unwrap());
        }
        assert!(slots.try_take(&task("a"), u32::MAX, 1).is_none(), "by its depth");
        let mut beyond = 0;
        while slots.has_room(1) {
            assert!(!slots.must_fail_wait());
            let reservation = slots.reserve().unwrap();
            assert_eq!(reservation.room().beyond().next(), Some(MAX_DEPTH));
            let slot = reservation.take(&task("a"), 1);
            drop(reservation);
            beyond += 1;
            assert!(!slots.has_room(1), "one at a time");
            vacate(slot);
        }
        assert_eq!(beyond, 1 + 1 + MAX_DEPTH - 3, "while memory lasts");
        assert!(
            slots.must_fail_wait() && !slots.must_fail_wait(),
            "then one wait fails, and the next not at once"
        );
    }

    #[test]
    fn a_reservation_keeps_the_room_that_it_saw() {
        let slots = Slots::new(3, SPARE);
        let _one = slots.try_take(&task("a"), 2, 0);
        let reservation = slots.reserve().unwrap();
        assert_eq!((reservation.room().of(0), reservation.room_for(&task("a"), 2)), (2, 1));
        assert!(slots.try_take(&task("b"), 2, 0).is_none());
        let _two = reservation.take(&task("a"), 0);
        drop(reservation);
        assert!(slots.try_take(&task("a"), 2, 0).is_none());
        assert!(slots.try_take(&task("b"), 2, 0).is_some());
    }
}
