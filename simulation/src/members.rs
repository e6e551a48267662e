//! The hosts of one life: one with a database of its own, or several that share one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use streamtask_host::model::Retention;
use streamtask_host::scheduler::Capacity;
use streamtask_host::storage::sqlite::Sqlite;
use streamtask_host::storage::{Durability, Storage};
use tokio::time::sleep;

use crate::hints::Hints;
use crate::link::Link;
use crate::rooms::{Rooms, Shared};
use crate::script::{Scripts, Watched};

/// One in this many hints between hosts is lost.
const LOSES_ONE_IN: u32 = 10;

/// A host that is up.
pub(crate) struct Member {
    pub(crate) rooms: Rooms,
    /// The observed state of its guests.
    pub(crate) watched: Arc<Watched>,
    /// Its connection to the database that it shares; none if the database is its own.
    link: Option<Arc<Link>>,
}

impl Member {
    /// The id under which it owns runs; none if it can only be the owner.
    pub(crate) fn id(&self) -> Option<String> {
        self.rooms.scheduler.shared_host()().map(|id| id.as_str().to_owned())
    }

    /// Whether it reaches the database in time.
    pub(crate) fn is_reachable(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.is_whole())
    }
}

#[expect(clippy::large_enum_variant, reason = "there are three at most")]
enum Place {
    Up(Member),
    /// Another host starts at this time.
    Down(Duration),
}

/// The hosts, and what they share.
pub(crate) struct Members {
    folder: PathBuf,
    max_running: u32,
    shared: Option<(Arc<dyn Storage>, Hints)>,
    places: Vec<Place>,
}

impl Members {
    /// Starts this many hosts on the data in `folder`.
    pub(crate) async fn start(folder: &Path, max_running: u32, hosts: usize) -> Result<Self, String> {
        let shared = if hosts > 1 { Some(open(folder)?) } else { None };
        let mut members = Self { folder: folder.to_owned(), max_running, shared, places: Vec::new() };
        for _ in 0..hosts {
            let member = members.start_one().await?;
            members.places.push(Place::Up(member));
        }
        Ok(members)
    }

    async fn start_one(&self) -> Result<Member, String> {
        let watched = Arc::<Watched>::default();
        let max_instances = Capacity::guests(self.max_running);
        let engine = Arc::new(Scripts { max_instances, watched: Arc::clone(&watched) });
        let Some((storage, hints)) = &self.shared else {
            let rooms = Rooms::start(&self.folder, self.max_running, engine).await?;
            return Ok(Member { rooms, watched, link: None });
        };
        let link = Link::new(Arc::clone(storage));
        let shared = Shared { link: Arc::clone(&link), notifier: hints.join() };
        let keep_all = Retention::default();
        let rooms = Rooms::start_shared(&self.folder, self.max_running, engine, shared, keep_all).await?;
        Ok(Member { rooms, watched, link: Some(link) })
    }

    /// All that are up.
    pub(crate) fn up(&self) -> impl Iterator<Item = &Member> {
        self.places.iter().filter_map(|place| match place {
            Place::Up(member) => Some(member),
            Place::Down(_) => None,
        })
    }

    /// Whether there are several.
    pub(crate) fn share(&self) -> bool {
        self.shared.is_some()
    }

    /// One that is up and reaches the database, which a client happens to use.
    pub(crate) fn any(&self) -> Option<&Member> {
        if !self.share() {
            return self.up().next();
        }
        let reachable: Vec<&Member> = self.up().filter(|member| member.is_reachable()).collect();
        if reachable.is_empty() { None } else { Some(reachable[fastrand::usize(..reachable.len())]) }
    }

    /// Starts the hosts whose time has come. Returns whether there were any.
    pub(crate) async fn revive(&mut self, lived: Duration) -> Result<bool, String> {
        let mut any = false;
        for at in 0..self.places.len() {
            if matches!(self.places[at], Place::Down(until) if until <= lived) {
                self.places[at] = Place::Up(self.start_one().await?);
                any = true;
            }
        }
        Ok(any)
    }

    /// Starts all hosts, and restores all connections.
    pub(crate) async fn heal(&mut self) -> Result<(), String> {
        self.revive(Duration::MAX).await?;
        for link in self.up().filter_map(|member| member.link.as_ref()) {
            link.delay_renewals(false);
            link.restore();
        }
        Ok(())
    }

    /// Kills one of several hosts. Another starts at `until`.
    pub(crate) fn kill(&mut self, host: usize, until: Duration) {
        if let Some(Member { rooms, link: Some(link), .. }) = self.take_down(host, until) {
            link.sever();
            tokio::spawn(rooms.end());
        }
    }

    /// Takes one of several hosts out, to be stopped.
    pub(crate) fn take_down(&mut self, host: usize, until: Duration) -> Option<Member> {
        let at = host % self.places.len();
        match std::mem::replace(&mut self.places[at], Place::Down(until)) {
            Place::Up(member) => Some(member),
            down @ Place::Down(_) => {
                self.places[at] = down;
                None
            }
        }
    }

    /// Cuts one of several hosts off from the database for that long.
    pub(crate) fn cut(&self, host: usize, ms: u64) {
        let Some(link) = self.link(host) else { return };
        link.cut();
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            link.restore();
        });
    }

    /// Makes the lease of one of several hosts late by that long.
    pub(crate) fn delay_renewals(&self, host: usize, ms: u64) {
        let Some(link) = self.link(host) else { return };
        link.delay_renewals(true);
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            link.delay_renewals(false);
        });
    }

    fn link(&self, host: usize) -> Option<Arc<Link>> {
        match &self.places[host % self.places.len()] {
            Place::Up(member) => member.link.clone(),
            Place::Down(_) => None,
        }
    }

    /// Takes all out that are up, to be stopped, and the database that they share.
    pub(crate) fn into_parts(self) -> (Vec<Member>, Option<Arc<dyn Storage>>) {
        let up = self.places.into_iter().filter_map(|place| match place {
            Place::Up(member) => Some(member),
            Place::Down(_) => None,
        });
        (up.collect(), self.shared.map(|(storage, _)| storage))
    }
}

fn open(folder: &Path) -> Result<(Arc<dyn Storage>, Hints), String> {
    let sqlite = Sqlite::open(&folder.join("data"), Durability::Normal).map_err(|error| error.to_string())?;
    Ok((Arc::new(sqlite), Hints::new(LOSES_ONE_IN)))
}
