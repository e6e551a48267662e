//! The lease of this host on its runs, and what happens if it is late or lost.
//!
//! With a database of its own, no other host can take a host's runs: the lease is renewed, and a failure changes nothing.
//! In a shared one, a host whose lease is over may be declared dead by another host, which then settles its runs. So two
//! things happen here that no other host can see to:
//!
//! - A watchdog suspends all guests when the lease has not been renewed for most of its length, and nothing is claimed.
//!   They continue with the next renewal.
//! - A host that was declared dead drops its attempts without an outcome, registers under a new id, and works on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use crate::model::{HostId, Timestamp};
use crate::notifier::Topic;
use crate::platform;
use crate::storage::{HostInfo, Lease as Renewed, Result, StorageError};

/// Lease of a host with a database of its own. Nobody takes its runs after that.
const OWN_LEASE: Duration = Duration::from_secs(30);
/// Renewals within the length of a lease: two in a row may fail.
const RENEWALS: u32 = 3;
/// Part of its lease, in thirds, after which a host without a renewal suspends its guests. The last third covers what its
/// clock and the database's differ by, and the time that a guest takes to stop.
const LATE_THIRDS: u32 = 2;
/// How often the watchdog looks. After the machine was suspended, guests compute for at most that long.
const WATCH: Duration = Duration::from_millis(200);
/// Longest time that a renewal waits for the list of other hosts, which must not delay the next one.
const PEERS_WITHIN: Duration = Duration::from_secs(1);
/// Pause before a failed registration is retried.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Longest time that a write waits for the registration after which it can be made again.
const REGISTERED_WITHIN: Duration = Duration::from_secs(5);

/// How a host takes part in a database that several hosts share.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Another host may take the host's runs when it has not renewed its lease for this long.
    pub lease: Duration,
    /// Name of the host, for operators.
    pub name: String,
    /// Its URL in lists of hosts.
    pub url: Option<String>,
}

/// One registration of the host. A host that was declared dead gets another.
pub(super) struct Registration {
    /// The owner of the runs that are claimed under it.
    pub(super) host: HostId,
    /// Cancelled when the host was declared dead: its attempts belong to other hosts.
    pub(super) lost: CancellationToken,
}

impl Registration {
    fn new() -> Arc<Self> {
        Arc::new(Self { host: HostId::new(), lost: CancellationToken::new() })
    }
}

/// The lease, and the registration that it belongs to.
pub(super) struct Lease {
    sharing: Option<Sharing>,
    started_at: Timestamp,
    registration: RwLock<Arc<Registration>>,
    renewals: Mutex<Renewals>,
    /// Whether all guests are suspended because the lease is late. Changes with `controls` locked.
    late: AtomicBool,
    /// Held while guests are suspended or continue, so that all of them end in the same state.
    changing: Mutex<()>,
    /// Number of other hosts that were alive at the last renewal.
    others: AtomicU32,
    /// The other hosts, as far as they are known.
    peers: Mutex<Vec<HostId>>,
    /// Notified when the lease is to be renewed at once.
    due: Notify,
    /// Notified after each renewal and registration.
    registered: Notify,
}

/// What is known of renewals, by the boot clock.
#[derive(Default)]
struct Renewals {
    /// When the last one that succeeded was sent.
    sent_at: Option<Duration>,
    /// Since when they have succeeded without an interruption.
    steady_since: Option<Duration>,
}

impl Renewals {
    fn succeeded(&mut self, sent_at: Duration, interval: Duration) {
        let is_steady = self.sent_at.is_some_and(|last| sent_at.saturating_sub(last) <= 2 * interval);
        if !is_steady {
            self.steady_since = None;
        }
        self.steady_since.get_or_insert(sent_at);
        self.sent_at = Some(sent_at);
    }

    fn is_late(&self, now: Duration, lease: Duration) -> bool {
        self.sent_at.is_none_or(|sent_at| now.saturating_sub(sent_at) >= lease * LATE_THIRDS / 3)
    }

    fn is_steady(&self, now: Duration, lease: Duration) -> bool {
        !self.is_late(now, lease) && self.steady_since.is_some_and(|since| now.saturating_sub(since) >= lease)
    }
}

impl Lease {
    pub(super) fn new(sharing: Option<Sharing>) -> Self {
        Self {
            sharing,
            started_at: Timestamp::now(),
            registration: RwLock::new(Registration::new()),
            renewals: Mutex::default(),
            late: AtomicBool::new(false),
            changing: Mutex::default(),
            others: AtomicU32::new(0),
            peers: Mutex::default(),
            due: Notify::new(),
            registered: Notify::new(),
        }
    }

    /// Whether other hosts may use the database.
    pub(super) fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }

    /// Its length.
    pub(super) fn length(&self) -> Duration {
        self.sharing.as_ref().map_or(OWN_LEASE, |sharing| sharing.lease)
    }

    /// Its length as storage takes it.
    pub(super) fn length_ms(&self) -> u32 {
        u32::try_from(self.length().as_millis()).unwrap_or(u32::MAX)
    }

    fn interval(&self) -> Duration {
        self.length() / RENEWALS
    }

    /// The current registration.
    pub(super) fn registration(&self) -> Arc<Registration> {
        Arc::clone(&self.registration.read())
    }

    /// The current id of the host.
    pub(super) fn host(&self) -> HostId {
        self.registration.read().host.clone()
    }

    /// Whether all guests are suspended, and nothing may be claimed.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::SeqCst)
    }

    /// Whether other hosts were alive at the last renewal.
    pub(super) fn has_others(&self) -> bool {
        self.others.load(Ordering::Relaxed) > 0
    }

    /// The hosts that may have to be told of a message.
    pub(super) fn peers(&self) -> Vec<HostId> {
        self.peers.lock().clone()
    }

    /// Whether all hosts have had the time to renew their leases since this one has reached the database. Before that,
    /// hosts that were cut off with this one would lose their runs for no fault of theirs.
    pub(super) fn is_steady(&self) -> bool {
        self.renewals.lock().is_steady(platform::boot_clock(), self.length())
    }

    /// Asks for a renewal at once.
    pub(super) fn renew_soon(&self) {
        self.due.notify_one();
    }

    fn renewed(&self, sent_at: Duration, lease: &Renewed) {
        self.renewals.lock().succeeded(sent_at, self.interval());
        self.others.store(lease.others, Ordering::Relaxed);
    }

    fn info(&self, host: &HostId) -> HostInfo {
        let mut info = HostInfo::new(host.clone());
        info.started_at = self.started_at;
        if let Some(sharing) = &self.sharing {
            info.name.clone_from(&sharing.name);
            info.url.clone_from(&sharing.url);
        }
        info
    }
}

impl Scheduler {
    /// Reads the id of this host, if others share its database. It changes when the host was declared dead.
    pub fn shared_host(self: &Arc<Self>) -> impl Fn() -> Option<HostId> + Send + Sync + use<> {
        let scheduler = Arc::clone(self);
        move || scheduler.lease.is_shared().then(|| scheduler.lease.host())
    }

    /// The current id of this host.
    pub fn host(&self) -> HostId {
        self.lease.host()
    }

    /// Whether other hosts may use its database.
    pub fn shares_database(&self) -> bool {
        self.lease.is_shared()
    }

    /// Why this host executes nothing now, if its lease is late.
    pub fn late_lease(&self) -> Option<&'static str> {
        self.lease.is_late().then_some(
            "the lease of this host on its runs is not renewed, so they are suspended: the database does not answer in time",
        )
    }

    /// Registers the host.
    pub(super) async fn register(&self) -> Result<()> {
        self.register_as(&self.lease.registration()).await
    }

    async fn register_as(&self, registration: &Registration) -> Result<()> {
        let (lease, sent_at) = (&self.lease, platform::boot_clock());
        let renewed = self.storage.register(&lease.info(&registration.host), lease.length_ms()).await?;
        lease.renewed(sent_at, &renewed);
        self.notifier.set_others(renewed.others > 0);
        Ok(())
    }

    /// Renews the lease until no run executes any more.
    pub(super) async fn keep_lease(self: Arc<Self>) {
        self.find_peers().await;
        loop {
            tokio::select! {
                biased;
                () = self.ended.cancelled() => break,
                () = self.lease.due.notified() => {}
                () = tokio::time::sleep(self.lease.interval()) => {}
            }
            match self.renew_lease().await {
                Ok(()) => {}
                Err(StorageError::Fenced) if self.lease.is_shared() => self.register_anew().await,
                Err(error) => tracing::warn!(%error, "could not renew the lease"),
            }
        }
    }

    async fn renew_lease(&self) -> Result<()> {
        let (lease, sent_at) = (&self.lease, platform::boot_clock());
        match self.storage.renew_lease(&lease.host(), lease.length_ms()).await {
            Ok(renewed) => {
                lease.renewed(sent_at, &renewed);
                self.notifier.set_others(renewed.others > 0);
                lease.registered.notify_waiters();
                self.check_lease();
                self.find_peers().await;
                Ok(())
            }
            Err(error) => {
                lease.renewals.lock().steady_since = None;
                Err(error)
            }
        }
    }

    /// Reads which other hosts there are.
    async fn find_peers(&self) {
        if !self.lease.has_others() {
            self.lease.peers.lock().clear();
            return;
        }
        // Without it, other hosts find their messages when they look for them.
        let Ok(Ok(hosts)) = timeout(PEERS_WITHIN, self.storage.hosts()).await else { return };
        let own = self.lease.host();
        let others = hosts.into_iter().map(|host| host.info.id).filter(|host| *host != own).collect();
        *self.lease.peers.lock() = others;
    }

    /// Drops all attempts, because their runs belong to other hosts, and registers this host under another id.
    async fn register_anew(&self) {
        let old = self.lease.registration();
        let runs = self.controls.lock().len();
        tracing::error!(
            runs,
            "this host has not renewed its lease in time and was declared dead; its runs belong to other hosts"
        );
        *self.lease.renewals.lock() = Renewals::default();
        // Nothing may be claimed before the next registration.
        self.check_lease();
        old.lost.cancel();
        let new = Registration::new();
        while let Err(error) = self.register_as(&new).await {
            tracing::warn!(%error, "could not register this host; retrying");
            tokio::select! {
                biased;
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
        *self.lease.registration.write() = new;
        self.lease.registered.notify_waiters();
        self.check_lease();
        self.find_peers().await;
    }

    /// Asks for a renewal if storage rejected a call because the host was declared dead.
    pub(super) fn renew_if_fenced(&self, error: &StorageError) {
        if matches!(error, StorageError::Fenced) {
            self.lease.renew_soon();
        }
    }

    /// Leaves a shared database, so that no other host waits for the end of the lease.
    pub(super) async fn leave(&self) {
        if !self.lease.is_shared() {
            return;
        }
        if let Err(error) = self.storage.leave(&self.lease.host()).await {
            tracing::warn!(%error, "could not tell other hosts that this one stops");
        }
    }

    /// Starts the watchdog, if other hosts can take this one's runs.
    pub(super) fn watch_lease(self: &Arc<Self>) {
        if !self.lease.is_shared() {
            return;
        }
        let scheduler = Arc::downgrade(self);
        let check = move || {
            let Some(scheduler) = scheduler.upgrade() else { return false };
            scheduler.check_lease();
            !scheduler.ended.is_cancelled()
        };
        if let Err(error) = platform::watch("lease-watchdog", WATCH, check) {
            tracing::error!(%error, "guests are not suspended if the lease is late");
        }
    }

    /// Suspends all guests if the lease has become late, and lets them continue if it was renewed.
    pub(super) fn check_lease(&self) {
        let changing = self.lease.changing.lock();
        let late = self.lease.is_shared()
            && self.lease.renewals.lock().is_late(platform::boot_clock(), self.lease.length());
        let gates: Vec<_> = {
            let controls = self.controls.lock();
            if self.lease.late.swap(late, Ordering::SeqCst) == late {
                return;
            }
            // An attempt that registers after this looks at `late` itself.
            controls.values().map(|control| Arc::clone(&control.gate)).collect()
        };
        for gate in &gates {
            if late { gate.suspend() } else { gate.end_suspension() }
        }
        drop(changing);
        let runs = gates.len();
        if late {
            tracing::warn!(runs, "the lease is not renewed; all runs are suspended until it is");
            // After the machine was suspended, its timers are late.
            self.lease.renew_soon();
        } else {
            tracing::info!(runs, "the lease is renewed; all runs continue");
            self.notifier.notify(&Topic::Queue);
        }
    }

    /// Makes a write in the name of the current registration. If storage rejects it, because this host was declared dead,
    /// it is made once more under the next one.
    pub(super) async fn as_registered<T, F>(&self, write: impl Fn(Arc<Registration>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let registration = self.lease.registration();
        match write(Arc::clone(&registration)).await {
            Err(StorageError::Fenced) if self.lease.is_shared() => {
                match self.registration_after(&registration).await {
                    Some(next) => write(next).await,
                    None => Err(StorageError::Fenced),
                }
            }
            written => written,
        }
    }

    /// The registration after that one. None if it is still the current one after a renewal, or if there is no other soon.
    pub(super) async fn registration_after(
        &self,
        registration: &Arc<Registration>,
    ) -> Option<Arc<Registration>> {
        self.lease.renew_soon();
        let another = async {
            let registered = self.lease.registered.notified();
            tokio::pin!(registered);
            // Register before the check.
            registered.as_mut().enable();
            if Arc::ptr_eq(&self.lease.registration(), registration) {
                registered.await;
            }
        };
        let _ = timeout(REGISTERED_WITHIN, another).await;
        Some(self.lease.registration()).filter(|current| !Arc::ptr_eq(current, registration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    #[test]
    fn a_lease_is_late_when_it_was_not_renewed_for_two_thirds_of_its_length() {
        let mut renewals = Renewals::default();
        assert!(renewals.is_late(at(0), LEASE), "there was no renewal");
        renewals.succeeded(at(0), LEASE / 3);
        assert!(!renewals.is_late(at(9), LEASE) && renewals.is_late(at(10), LEASE));
        renewals.succeeded(at(11), LEASE / 3);
        assert!(!renewals.is_late(at(20), LEASE) && renewals.is_late(at(21), LEASE));
    }

    #[test]
    fn renewals_are_steady_after_the_length_of_a_lease_without_an_interruption() {
        let mut renewals = Renewals::default();
        for seconds in [0, 5, 10] {
            renewals.succeeded(at(seconds), LEASE / 3);
            assert!(!renewals.is_steady(at(seconds), LEASE));
        }
        assert!(renewals.is_steady(at(15), LEASE));
        assert!(!renewals.is_steady(at(20), LEASE), "it is late");
        renewals.succeeded(at(21), LEASE / 3);
        for seconds in [26, 31] {
            renewals.succeeded(at(seconds), LEASE / 3);
            assert!(
                !renewals.is_steady(at(seconds), LEASE),
                "it was late less than the length of a lease ago"
            );
        }
        assert!(renewals.is_steady(at(36), LEASE));
    }
}
