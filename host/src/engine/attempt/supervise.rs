//! Supervises one call of a guest: its pause gate, its CPU slices, its CPU limit and its deadline.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use wasmtime::Store;

use crate::engine::guest::Guest;
use crate::engine::timing::{CpuBudget, CpuMeter, CpuScheduler, Deadline};
use crate::platform::Uptime;

/// The reason why a guest did not return.
pub(super) enum StopReason {
    Deadline,
    Cpu,
    Error(wasmtime::Error),
}

/// Runs `call` within the guest's limits of time, and only while its gate is open. Both are enforced outside
/// of the guest, so they also apply while it waits in a call to the host.
pub(super) async fn supervise<T>(
    store: &mut Store<Guest>,
    scheduler: &CpuScheduler,
    uptime: &Uptime,
    call: impl AsyncFnOnce(&mut Store<Guest>) -> wasmtime::Result<T>,
) -> Result<T, StopReason> {
    let gate = Arc::clone(&store.data().api.gate);
    let mut deadline = store.data().api.deadline().map(|at| Deadline::new(at, &gate, uptime));
    let mut timer = pin!(deadline.as_ref().map(Deadline::timer));
    let mut meter = store.data().api.limits.cpu.map(CpuMeter::new);
    let mut called = pin!(call(store));
    let mut budget = CpuBudget::new(scheduler);
    poll_fn(|context| {
        if gate.poll_closed(context) {
            budget.leave_queue();
            return Poll::Pending;
        }
        if let Poll::Ready(slice) = budget.poll_slice(context) {
            let began = meter.as_ref().map(|_| CpuMeter::thread_time());
            let polled = called.as_mut().poll(context);
            budget.charge(slice);
            if let Poll::Ready(called) = polled {
                return Poll::Ready(called.map_err(StopReason::Error));
            }
            if let (Some(meter), Some(began)) = (&mut meter, began)
                && meter.is_exceeded(began)
            {
                return Poll::Ready(Err(StopReason::Cpu));
            }
        }
        if let (Some(deadline), Some(timer)) = (&mut deadline, timer.as_mut().as_pin_mut())
            && deadline.poll_passed(timer, context)
        {
            return Poll::Ready(Err(StopReason::Deadline));
        }
        Poll::Pending
    })
    .await
}
