//! What goes wrong, in an order from the seed.

use std::fmt;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use super::{AWAY, Cluster, DEAD_MS, LEASE, OVERTIME_MS};
use crate::Options;
use crate::victim::Kills;

/// Kills and stops for each fault of the server.
const EACH: u32 = 6;
/// The share of kills that are SIGTERM first, in tenths.
const IN_ORDER: u8 = 3;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, or SIGTERM.
    Kill,
    /// SIGSTOP for longer than the lease, then SIGCONT.
    Stop,
    /// The server crashes and recovers.
    Restart,
    /// The server is away for a while.
    Away,
    /// The server cuts connections.
    Cut,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) kills: Kills,
    stops: u32,
    restarts: u32,
    aways: u32,
    cuts: u32,
    /// Hosts that ended because there was no server.
    pub(super) gave_up: u32,
    /// From the last fault until the last run ended.
    pub(super) settled: Duration,
}

impl Fault {
    /// All faults, last one first.
    pub(super) fn in_order(options: &Options, rng: &mut Rng) -> Vec<Self> {
        let mut faults = vec![Self::Kill; options.kills as usize];
        faults.extend(std::iter::repeat_n(Self::Stop, options.stops as usize));
        let server = (options.kills + options.stops) / EACH;
        let kinds = [Self::Cut, Self::Restart, Self::Away];
        faults.extend(kinds.iter().cycle().take(server as usize));
        rng.shuffle(&mut faults);
        faults
    }
}

impl Cluster {
    /// Waits for a while, and makes a fault.
    pub(super) async fn suffer(&mut self, fault: Fault) {
        let pause = Duration::from_millis(self.rng.u64(100..2_000));
        self.pass(pause).await;
        match fault {
            Fault::Kill => self.kill().await,
            Fault::Stop => {
                // Somebody must be there to take over.
                let nth = self.any_live(2).await;
                let host = &mut self.hosts[nth];
                let Some(life) = &host.life else { return };
                life.signal(Signal::STOP);
                host.is_stopped = true;
                let time = LEASE + Duration::from_millis(self.rng.u64(500..OVERTIME_MS));
                host.due = Some(Instant::now() + time);
                self.done.stops += 1;
            }
            Fault::Restart => {
                self.unwell_at = Some(Instant::now());
                tokio::task::block_in_place(|| self.server.restart());
                self.done.restarts += 1;
            }
            Fault::Away => {
                tokio::task::block_in_place(|| self.server.crash());
                self.unwell_at = Some(Instant::now());
                self.pass(AWAY).await;
                tokio::task::block_in_place(|| self.server.start_again());
                self.unwell_at = Some(Instant::now());
                self.done.aways += 1;
            }
            Fault::Cut => {
                // All at once, or those of one lane.
                let name = if self.rng.bool() { "" } else { "lane 1" };
                tokio::task::block_in_place(|| self.server.cut_others(name));
                self.done.cuts += 1;
            }
        }
    }

    async fn kill(&mut self) {
        let nth = self.any_live(1).await;
        let in_order = self.rng.u8(..10) < IN_ORDER;
        if in_order && let Some(life) = &self.hosts[nth].life {
            life.signal(Signal::TERM);
            let grace = Duration::from_millis(self.rng.u64(..700));
            self.pass(grace).await;
        }
        let serves = crate::victim::is_ready(self.hosts[nth].address).await;
        let host = &mut self.hosts[nth];
        let has_stopped =
            in_order && host.life.as_mut().is_none_or(|life| matches!(life.has_ended(), Ok(true)));
        let life = host.life.take();
        host.due = Some(Instant::now() + Duration::from_millis(self.rng.u64(..DEAD_MS)));
        let Some(life) = life.filter(|_| !has_stopped) else {
            self.done.kills.stopped += 1;
            return;
        };
        match (in_order, serves) {
            (true, _) => self.done.kills.draining += 1,
            (false, true) => self.done.kills.serving += 1,
            (false, false) => self.done.kills.starting += 1,
        }
        if let Err(problem) = life.kill() {
            self.violations.push(crate::history::Violation::of_host(problem));
        }
    }

    /// A host that runs and is not stopped, once there are so many of them.
    async fn any_live(&mut self, least: usize) -> usize {
        loop {
            let live: Vec<usize> = self
                .hosts
                .iter()
                .filter(|host| host.life.is_some() && !host.is_stopped)
                .map(|host| host.nth)
                .collect();
            if live.len() >= least
                && let Some(&nth) = self.rng.choice(&live)
            {
                return nth;
            }
            self.pass(super::LOOK).await;
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} stops for longer than the lease, {} restarts of the server, {} times away, {} cuts; {} hosts gave up \
             without a server; the last run ended {:.1} s after the last fault",
            self.stops,
            self.restarts,
            self.aways,
            self.cuts,
            self.gave_up,
            self.settled.as_secs_f64()
        )
    }
}
