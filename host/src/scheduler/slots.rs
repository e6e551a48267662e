//! How many runs execute here, in all and of each task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::model::TaskRef;

/// The places in which runs execute.
pub(super) struct Slots {
    max: u32,
    taken: Mutex<Taken>,
    /// Notified when a slot becomes free.
    freed: Notify,
    /// Notified when none is taken any more.
    all_freed: Notify,
}

#[derive(Default)]
struct Taken {
    all: u32,
    by_task: HashMap<TaskRef, u32>,
    /// While the queue is being asked for as many runs as there is room, nobody
    /// else may fill that room.
    reserved: bool,
}

impl Slots {
    pub(super) fn new(max: u32) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default(), freed: Notify::new(), all_freed: Notify::new() })
    }

    /// A slot for a run of the task, which may have `limit`, if one is free.
    pub(super) fn try_take(self: &Arc<Self>, task: &TaskRef, limit: u32) -> Option<Slot> {
        let mut taken = self.taken.lock().expect("no panic while held");
        let of_task = taken.by_task.get(task).copied().unwrap_or(0);
        if taken.reserved || taken.all >= self.max || of_task >= limit {
            return None;
        }
        Some(self.take(&mut taken, task))
    }

    /// Keeps all free slots for the holder, until dropped. There is one at a time.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let mut taken = self.taken.lock().expect("no panic while held");
        if taken.reserved || taken.all >= self.max {
            return None;
        }
        taken.reserved = true;
        Some(Reservation { slots: Arc::clone(self) })
    }

    /// Slots in use.
    pub(super) fn taken(&self) -> u32 {
        self.taken.lock().expect("no panic while held").all
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
        let taken = self.slots.taken.lock().expect("no panic while held");
        self.slots.max.saturating_sub(taken.all)
    }

    /// How many runs of the task, which may have `limit`, may be taken.
    pub(super) fn room_for(&self, task: &TaskRef, limit: u32) -> u32 {
        let taken = self.slots.taken.lock().expect("no panic while held");
        limit.saturating_sub(taken.by_task.get(task).copied().unwrap_or(0))
    }

    /// A slot for a run that the queue gave.
    pub(super) fn take(&self, task: &TaskRef) -> Slot {
        let mut taken = self.slots.taken.lock().expect("no panic while held");
        self.slots.take(&mut taken, task)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Ok(mut taken) = self.slots.taken.lock() {
            taken.reserved = false;
        }
    }
}

/// A place in which one run executes. Free again when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    task: TaskRef,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Ok(mut taken) = self.slots.taken.lock() else { return };
        taken.all -= 1;
        if let Some(of_task) = taken.by_task.get_mut(&self.task) {
            *of_task -= 1;
            if *of_task == 0 {
                taken.by_task.remove(&self.task);
            }
        }
        let none_left = taken.all == 0;
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
        let slots = Slots::new(3);
        let first = slots.try_take(&task("a"), 2);
        let _second = slots.try_take(&task("a"), 2);
        assert!(slots.try_take(&task("a"), 2).is_none(), "two of one task");
        let _third = slots.try_take(&task("b"), 2);
        assert!(slots.try_take(&task("c"), 2).is_none(), "three in all");
        drop(first);
        assert!(slots.try_take(&task("c"), 2).is_some());
    }

    #[test]
    fn a_reservation_keeps_the_room_that_it_saw() {
        let slots = Slots::new(3);
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
