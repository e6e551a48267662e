//! How many runs execute here, in all and of each task.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::TaskRef;

/// The places in which runs execute.
pub(super) struct Slots {
    max: u32,
    /// How many may be left to others at once.
    max_left: u32,
    taken: Mutex<Taken>,
    /// Notified when a slot becomes free.
    freed: Notify,
    /// Notified when none is taken any more.
    all_freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: u32,
    /// Not counted in `all`: their runs wait for others.
    left: u32,
    by_task: HashMap<TaskRef, u32>,
    /// While the queue is being asked for as many runs as there is room, nobody
    /// else may fill that room.
    reserved: bool,
}

impl Slots {
    pub(super) fn new(max: u32, max_left: u32) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_left,
            taken: Mutex::default(),
            freed: Notify::new(),
            all_freed: Notify::new(),
        })
    }

    /// A slot for a run of the task, which may have `limit`, if one is free.
    pub(super) fn try_take(self: &Arc<Self>, task: &TaskRef, limit: u32) -> Option<Slot> {
        let mut taken = self.taken.lock();
        let of_task = taken.by_task.get(task).copied().unwrap_or(0);
        if taken.reserved || taken.all >= self.max || of_task >= limit {
            return None;
        }
        Some(self.take(&mut taken, task))
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

    fn take(self: &Arc<Self>, taken: &mut Taken, task: &TaskRef) -> Slot {
        taken.all += 1;
        *taken.by_task.entry(task.clone()).or_default() += 1;
        Slot { slots: Arc::clone(self), task: task.clone() }
    }
}

/// All free slots, for who asks the queue.
pub(super) struct Reservation {
    slots: Arc<Slots>,
}

impl Reservation {
    /// How many runs may be taken in all.
    pub(super) fn room(&self) -> u32 {
        let taken = self.slots.taken.lock();
        self.slots.max.saturating_sub(taken.all)
    }

    /// How many runs of the task, which may have `limit`, may be taken.
    pub(super) fn room_for(&self, task: &TaskRef, limit: u32) -> u32 {
        let taken = self.slots.taken.lock();
        limit.saturating_sub(taken.by_task.get(task).copied().unwrap_or(0))
    }

    /// A slot for a run that the queue gave.
    pub(super) fn take(&self, task: &TaskRef) -> Slot {
        let mut taken = self.slots.taken.lock();
        self.slots.take(&mut taken, task)
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
}

impl Slot {
    /// Leaves the slot to others while its run waits for the runs that it has started,
    /// until the answer is dropped. Then more may be under way than there are slots,
    /// for a while. None if too many are left already.
    pub(super) fn leave(&self) -> Option<LeftSlot<'_>> {
        let mut taken = self.slots.taken.lock();
        if taken.left >= self.slots.max_left {
            return None;
        }
        taken.left += 1;
        taken.give_back(&self.task);
        drop(taken);
        self.slots.freed.notify_one();
        Some(LeftSlot { slot: self })
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

    #[test]
    fn neither_bound_is_ever_exceeded() {
        let slots = Slots::new(3, 0);
        let first = slots.try_take(&task("a"), 2);
        let _second = slots.try_take(&task("a"), 2);
        assert!(slots.try_take(&task("a"), 2).is_none(), "two of one task");
        let _third = slots.try_take(&task("b"), 2);
        assert!(slots.try_take(&task("c"), 2).is_none(), "three in all");
        drop(first);
        assert!(slots.try_take(&task("c"), 2).is_some());
    }

    #[test]
    fn who_waits_for_others_leaves_its_slot_to_them() {
        let slots = Slots::new(1, 1);
        let parent = slots.try_take(&task("a"), 1).unwrap();
        assert!(slots.try_take(&task("a"), 1).is_none());
        let left = parent.leave().unwrap();
        let child = slots.try_take(&task("a"), 1).expect("also of the same task");
        assert!(child.leave().is_none(), "one may be left at a time");
        assert_eq!(slots.taken(), 2);
        drop(left);
        assert_eq!(slots.taken(), 2);
        drop(child);
        assert!(slots.try_take(&task("a"), 1).is_none());
        drop(parent);
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn a_reservation_keeps_the_room_that_it_saw() {
        let slots = Slots::new(3, 0);
        let _one = slots.try_take(&task("a"), 2);
        let reservation = slots.reserve().unwrap();
        assert_eq!((reservation.room(), reservation.room_for(&task("a"), 2)), (2, 1));
        assert!(slots.try_take(&task("b"), 2).is_none());
        let _two = reservation.take(&task("a"));
        drop(reservation);
        assert!(slots.try_take(&task("a"), 2).is_none());
        assert!(slots.try_take(&task("b"), 2).is_some());
    }
}
