//! The kinds of runs that clients start.

use fastrand::Rng;

use crate::history::Work;

/// Most attempts of `test/retry`; see [`RETRY`].
const ATTEMPTS: u64 = 6;
/// The manifest of `test/retry`: short pauses, so that runs are delayed when the host is
/// killed and after that.
pub(crate) const RETRY: &str =
    "[retry]\nattempts = 6\nbackoff = \"150ms\"\nfactor = 2.0\nmax-backoff = \"1s\"\n";

/// The manifest of `test/lock`: each run has a lock that one run holds, and one that two hold.
pub(crate) const LOCK: &str =
    "[concurrency]\nresources = [\"/device\"]\nkey = \"/group\"\nmax-running-per-key = 2\n";

/// The action of a client on its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Waits until it ends.
    Leave,
    /// Cancels it at some time.
    Cancel,
    /// Pauses and resumes it.
    Hold,
    /// Sends it signals and sets parameters.
    Talk,
}

/// A run to start: the task, its work, and the action on it.
pub(crate) fn any(rng: &mut Rng, nth: u64, with_locks: bool) -> (&'static str, Work, Plan) {
    let work = Work { nth, ms: rng.u64(1..8), burst: rng.u64(1..6), attempts: 1, ..Work::default() };
    let retry = Work { attempts: ATTEMPTS, ..work.clone() };
    if with_locks && rng.u8(..4) == 0 {
        // Short, because two thirds of them wait for the others.
        let steps = Some(rng.u64(5..40));
        let plan = if rng.u8(..4) == 0 { Plan::Cancel } else { Plan::Leave };
        return ("lock", Work { steps, save: rng.u8(..4) > 0, ..work }, plan);
    }
    match rng.u8(..16) {
        0 | 1 => ("work", Work { steps: Some(rng.u64(..4)), ..work }, Plan::Leave),
        2..=4 => ("work", Work { steps: Some(rng.u64(30..200)), save: true, ..work }, Plan::Leave),
        5 => ("work", Work { steps: Some(rng.u64(30..120)), ..work }, Plan::Leave),
        // More events at once than a page or a window holds.
        6 => {
            let steps = Some(rng.u64(4..12));
            ("work", Work { steps, burst: rng.u64(100..600), save: rng.bool(), ..work }, Plan::Leave)
        }
        7 | 8 => {
            let fail_before = rng.u64(2..=ATTEMPTS + 1);
            ("retry", Work { steps: Some(60), save: rng.u8(..4) > 0, fail_before, ..retry }, Plan::Leave)
        }
        9 => {
            ("work", Work { steps: Some(rng.u64(1..60)), save: rng.bool(), fail: true, ..work }, Plan::Leave)
        }
        10 | 11 => ("work", Work { save: rng.u8(..4) > 0, ..work }, Plan::Cancel),
        12 | 13 => ("work", Work { save: true, ..work }, Plan::Hold),
        _ => ("work", Work { save: true, hear: true, ..work }, Plan::Talk),
    }
}
