//! Cancels runs that must not continue without a client (`?on_disconnect=cancel`).
//!
//! A host that is alone knows all clients of its runs. Where several hosts share a database, each stores there which of these
//! runs have clients of its own, and finds those that have none anywhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Api;
use super::presence::{Presence, RECONNECT_TIME};
use crate::model::{HostId, RunId};
use crate::storage::{Clients, Result};

/// Interval between checks for abandoned runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Most abandoned runs that one check finds. The next one finds the others.
const MAX_FOUND: u32 = 256;

/// Cancels abandoned runs until the host stops. From then on, streams end because of the host.
pub(super) async fn cancel_abandoned(api: Arc<Api>) {
    let mut told = Told::default();
    let mut next_check = tokio::time::Instant::now() + CHECK_INTERVAL;
    loop {
        tokio::select! {
            biased;
            () = api.stopping.cancelled() => break,
            () = api.presence.changed() => {}
            () = tokio::time::sleep_until(next_check) => {}
        }
        let is_due = next_check <= tokio::time::Instant::now();
        if is_due {
            next_check = tokio::time::Instant::now() + CHECK_INTERVAL;
        }
        match told.check(&api.presence, &*api.storage, (api.shared_host)(), is_due).await {
            Ok(abandoned) => cancel(&api, abandoned).await,
            Err(error) => tracing::warn!(%error, "failed to look for runs without clients; trying again"),
        }
    }
}

async fn cancel(api: &Api, abandoned: Vec<RunId>) {
    for id in abandoned {
        tracing::info!(run = %id, "cancelling a run whose last client disconnected");
        if let Err(error) = api.scheduler.cancel(&id).await {
            tracing::warn!(run = %id, %error, "failed to cancel a run whose last client disconnected");
        }
    }
}

/// The report of this host's clients in storage.
#[derive(Default)]
struct Told {
    /// The id under which it is stored. A host that was declared dead gets another.
    host: Option<HostId>,
}

impl Told {
    /// Stores what has changed since the last call. Returns abandoned runs if a check is due.
    async fn check<S: Clients + ?Sized>(
        &mut self,
        presence: &Presence,
        storage: &S,
        host: Option<HostId>,
        is_due: bool,
    ) -> Result<Vec<RunId>> {
        let abandoned = if is_due { presence.take_abandoned(Instant::now()) } else { Vec::new() };
        let Some(host) = host else {
            presence.take_changed();
            return Ok(abandoned);
        };
        if self.host.as_ref() != Some(&host) {
            presence.change_all();
            self.host = Some(host.clone());
        }
        let mut changed = presence.take_changed();
        while let Some(run) = changed.pop() {
            if let Err(error) = storage.set_clients(&run, &host, presence.clients(run.no)).await {
                changed.push(run);
                presence.put_back(changed);
                return Err(error);
            }
        }
        if !is_due {
            return Ok(Vec::new());
        }
        storage.without_clients(RECONNECT_TIME.as_millis() as u32, MAX_FOUND).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use parking_lot::Mutex;

    use super::super::presence::run;
    use super::*;
    use crate::model::{OnDisconnect, RunKey};
    use crate::storage::StorageError;

    /// Records what it is told, and reports one run as abandoned.
    #[derive(Default)]
    struct Recorded {
        told: Mutex<Vec<(i64, HostId, u32)>>,
        fails: AtomicBool,
    }

    #[async_trait]
    impl Clients for Recorded {
        async fn set_clients(&self, run: &RunKey, host: &HostId, clients: u32) -> Result<()> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(StorageError::Fenced);
            }
            self.told.lock().push((run.no, host.clone(), clients));
            Ok(())
        }

        async fn without_clients(&self, since_ms: u32, _limit: u32) -> Result<Vec<RunId>> {
            assert_eq!(since_ms, 10_000);
            Ok(vec![RunId::parse("elsewhere").unwrap()])
        }
    }

    impl Recorded {
        fn take(&self) -> Vec<(i64, HostId, u32)> {
            let mut told = std::mem::take(&mut *self.told.lock());
            told.sort_by_key(|(no, ..)| *no);
            told
        }
    }

    #[tokio::test]
    async fn hosts_that_share_a_database_store_their_clients_and_find_runs_without_any() {
        let (presence, storage) = (Arc::<Presence>::default(), Recorded::default());
        let (first, second) = (HostId::new(), HostId::new());
        let (mut told, host) = (Told::default(), Some(first.clone()));
        let (one, two) = (run(1, OnDisconnect::Cancel), run(2, OnDisconnect::Cancel));
        let three = run(3, OnDisconnect::Continue);
        let register = |run, is_client| presence.register(run, None, "sse", 0, is_client);
        let client = register(&one, true);
        let (_others, _stays) = (register(&one, false), register(&three, true));
        assert_eq!(told.check(&presence, &storage, host.clone(), false).await.unwrap(), []);
        assert_eq!(storage.take(), [(1, first.clone(), 1)]);
        drop(client);
        let _client = register(&two, true);
        let abandoned = told.check(&presence, &storage, host.clone(), true).await.unwrap();
        assert_eq!(abandoned, [RunId::parse("elsewhere").unwrap()], "storage decides");
        assert_eq!(storage.take(), [(1, first.clone(), 0), (2, first, 1)]);
        told.check(&presence, &storage, host, true).await.unwrap();
        assert_eq!(storage.take(), [], "nothing has changed");
        told.check(&presence, &storage, Some(second.clone()), true).await.unwrap();
        assert_eq!(storage.take(), [(2, second, 1)], "it is another host now");
    }

    #[tokio::test]
    async fn what_could_not_be_stored_is_stored_later() {
        let (presence, storage) = (Arc::<Presence>::default(), Recorded::default());
        let (mut told, host) = (Told::default(), Some(HostId::new()));
        let run = run(1, OnDisconnect::Cancel);
        let _client = presence.register(&run, None, "sse", 0, true);
        storage.fails.store(true, Ordering::Relaxed);
        assert!(told.check(&presence, &storage, host.clone(), true).await.is_err());
        storage.fails.store(false, Ordering::Relaxed);
        told.check(&presence, &storage, host, true).await.unwrap();
        assert_eq!(storage.take().len(), 1);
    }
}
