//! How many runs execute here, in all and of each task.
//!
//! A run that waits for runs that it has started leaves its slot, so that these can execute.
//! It is still there, with its memory, and of those there is an end too. So runs are let in
//! by their depth in the family: each level has room for one guest more than the level above.
//! Then the deepest run that waits finds room for the run that it waits for, whatever the
//! others do; and runs of the greatest depth have none to wait for, and end. So no number of
//! parents can hold up their children, nor for ever anybody else.
//!
//! Locks make it harder: what the deepest waits for may wait for a lock, and its holder for a
//! child of less depth. So when all guests wait and nobody has room by its depth, one more child is
//! let in beyond that, the deepest there is, as long as memory lasts; and when that is over, one
//! wait is given up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::capacity::kept_for_locks;
use crate::model::TaskRef;
use crate::storage::{DepthLimits, MAX_DEPTH};

/// Enough for what follows from one wait that is given up to be seen.
const BETWEEN_GIVING_UP: Duration = Duration::from_secs(1);

/// The places in which runs execute.
pub(super) struct Slots {
    max: u32,
    /// Guests that may be there beyond `max`: for runs of some depth alone.
    spare: u32,
    taken: Mutex<Taken>,
    /// Notified when a slot becomes free.
    freed: Notify,
    /// Notified when none is taken any more.
    all_freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: u32,
    /// When a wait was given up last.
    given_up: Option<Instant>,
    /// Not counted in `all`: their runs wait for others.
    left: u32,
    /// Of all of these, guests that were let in beyond the room of their depth. They take it from nobody.
    beyond: u32,
    by_task: HashMap<TaskRef, u32>,
    /// While the queue is being asked for as many runs as there is room, nobody
    /// else may fill that room.
    reserved: bool,
}

impl Slots {
    pub(super) fn new(max: u32, spare: u32) -> Arc<Self> {
        Arc::new(Self { max, spare, taken: Mutex::default(), freed: Notify::new(), all_freed: Notify::new() })
    }

    /// A slot for a run of the task, which may have `limit`, if one is free for its depth.
    pub(super) fn try_take(self: &Arc<Self>, task: &TaskRef, limit: u32, depth: u32) -> Option<Slot> {
        let mut taken = self.taken.lock();
        let of_task = taken.by_task.get(task).copied().unwrap_or(0);
        if taken.reserved || of_task >= limit || self.room(&taken, depth) == 0 {
            return None;
        }
        Some(self.take(&mut taken, task, false))
    }

    /// Keeps all free slots for the holder, until dropped. There is one at a time.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let mut taken = self.taken.lock();
        if taken.reserved || taken.all >= self.max {
            return None;
        }
        taken.reserved = true;
        Some(Reservation { slots: Arc::clone(self) })
    }

    /// Slots in use, those left to others included.
    pub(super) fn taken(&self) -> u32 {
        let taken = self.taken.lock();
        taken.all + taken.left
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
            // Listen before looking: the last may be freed in between.
            all_freed.as_mut().enable();
            if self.taken() == 0 {
                return;
            }
            all_freed.await;
        }
    }

    /// How many runs of this depth can be let in. It grows with each level, and most of what is
    /// beyond `max` is for the first.
    fn room(&self, taken: &Taken, depth: u32) -> u32 {
        let most = match depth {
            0 => self.max,
            deeper => {
                let kept = kept_for_locks(self.max) + MAX_DEPTH.saturating_sub(deeper);
                (self.max + self.spare).saturating_sub(kept)
            }
        };
        let by_depth = most.saturating_sub(taken.all + taken.left - taken.beyond);
        self.max.saturating_sub(taken.all).min(by_depth).min(self.memory(taken))
    }

    /// How many more guests can be there at all.
    fn memory(&self, taken: &Taken) -> u32 {
        (self.max + self.spare).saturating_sub(taken.all + taken.left)
    }

    /// Whether one child may be let in beyond the room of its depth.
    fn has_beyond(&self, taken: &Taken) -> bool {
        taken.all == 0 && taken.left > 0 && self.memory(taken) > 0
    }

    /// Whether a run of this depth can be let in.
    pub(super) fn has_room(&self, depth: u32) -> bool {
        let taken = self.taken.lock();
        self.room(&taken, depth) > 0 || (depth > 0 && self.has_beyond(&taken))
    }

    /// Whether all guests wait and there is room for none of the runs that they wait for.
    /// Then one caller after the other is told so, with time between them.
    pub(super) fn must_give_up(&self) -> bool {
        let mut taken = self.taken.lock();
        let recently = taken.given_up.is_some_and(|given_up| given_up.elapsed() < BETWEEN_GIVING_UP);
        let stuck = taken.all == 0 && self.memory(&taken) == 0 && !recently;
        if stuck {
            taken.given_up = Some(Instant::now());
        }
        stuck
    }

    fn take(self: &Arc<Self>, taken: &mut Taken, task: &TaskRef, beyond: bool) -> Slot {
        taken.all += 1;
        taken.beyond += u32::from(beyond);
        *taken.by_task.entry(task.clone()).or_default() += 1;
        Slot { slots: Arc::clone(self), task: task.clone(), beyond }
    }
}

/// All free slots, for the claiming loop.
pub(super) struct Reservation {
    slots: Arc<Slots>,
}

impl Reservation {
    /// How many runs may be taken, by their depth.
    pub(super) fn room(&self) -> DepthLimits {
        let taken = self.slots.taken.lock();
        DepthLimits::new(|depth| self.slots.room(&taken, depth)).or_deepest(self.slots.has_beyond(&taken))
    }

    /// How many runs of the task, which may have `limit`, may be taken.
    pub(super) fn room_for(&self, task: &TaskRef, limit: u32) -> u32 {
        let taken = self.slots.taken.lock();
        limit.saturating_sub(taken.by_task.get(task).copied().unwrap_or(0))
    }

    /// A slot for a run of this depth that the queue gave.
    pub(super) fn take(&self, task: &TaskRef, depth: u32) -> Slot {
        let mut taken = self.slots.taken.lock();
        let beyond = self.slots.room(&taken, depth) == 0;
        self.slots.take(&mut taken, task, beyond)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.slots.taken.lock().reserved = false;
    }
}

/// A place in which one run executes. Free again when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    task: TaskRef,
    beyond: bool,
}

impl Slot {
    /// Leaves the slot to others while its run waits for the runs that it has started,
    /// until the answer is dropped. Then more may be under way than there are slots,
    /// for a while.
    pub(super) fn leave(&self) -> LeftSlot<'_> {
        let mut taken = self.slots.taken.lock();
        taken.left += 1;
        taken.give_back(&self.task);
        drop(taken);
        self.slots.freed.notify_one();
        LeftSlot { slot: self }
    }
}

/// A slot that is left to others.
pub(super) struct LeftSlot<'a> {
    slot: &'a Slot,
}

impl Drop for LeftSlot<'_> {
    fn drop(&mut self) {
        let mut taken = self.slot.slots.taken.lock();
        taken.left -= 1;
        taken.all += 1;
        *taken.by_task.entry(self.slot.task.clone()).or_default() += 1;
    }
}

impl Taken {
    fn give_back(&mut self, task: &TaskRef) {
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
        let mut taken = self.slots.taken.lock();
        taken.give_back(&self.task);
        taken.beyond -= u32::from(self.beyond);
        let none_left = taken.all + taken.left == 0;
        drop(taken);
        self.slots.freed.notify_one();
        if none_left {
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
        assert!(slots.try_take(&task("c"), 2, MAX_DEPTH).is_none(), "of whatever depth");
        drop(first);
        assert!(slots.try_take(&task("c"), 2, 0).is_some());
    }

    #[test]
    fn a_run_that_waits_for_others_leaves_its_slot_to_its_children_alone() {
        let slots = Slots::new(1, SPARE);
        let parent = slots.try_take(&task("a"), 1, 0).unwrap();
        assert!(slots.try_take(&task("a"), 1, 1).is_none());
        let left = parent.leave();
        assert!(slots.try_take(&task("b"), 1, 0).is_none(), "another parent would only wait beside it");
        let child = slots.try_take(&task("a"), 1, 1).expect("also of the same task");
        assert_eq!(slots.taken(), 2);
        drop(left);
        assert_eq!(slots.taken(), 2);
        drop(child);
        assert!(slots.try_take(&task("a"), 1, 0).is_none());
        drop(parent);
        assert_eq!(slots.taken(), 0);
    }

    /// Whoever waits, of whichever depths: as long as one of them waits for a run of greater depth, that
    /// one finds room.
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
                std::mem::forget(slot.leave());
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
    fn where_all_wait_and_depth_leaves_no_room_one_child_is_let_in_after_the_other() {
        let slots = Slots::new(1, MAX_DEPTH + 1);
        let leave = |slot: Slot| std::mem::forget(Box::leak(Box::new(slot)).leave());
        for depth in 0..3 {
            leave(slots.try_take(&task("a"), u32::MAX, depth).unwrap());
        }
        assert!(slots.try_take(&task("a"), u32::MAX, 1).is_none(), "by its depth");
        let mut beyond = 0;
        while slots.has_room(1) {
            assert!(!slots.must_give_up());
            let reservation = slots.reserve().unwrap();
            assert_eq!(reservation.room().beyond().next(), Some(MAX_DEPTH));
            let slot = reservation.take(&task("a"), 1);
            drop(reservation);
            beyond += 1;
            assert!(!slots.has_room(1), "one at a time");
            leave(slot);
        }
        assert_eq!(beyond, 1 + 1 + MAX_DEPTH - 3, "as long as memory lasts");
        assert!(
            slots.must_give_up() && !slots.must_give_up(),
            "then one wait is given up, and not the next at once"
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
