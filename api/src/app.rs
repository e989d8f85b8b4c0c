//! Everything a running server shares.

use std::{
    collections::HashMap,
    fs::File,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use domain::{
    event::{Actor, Position, SystemPart},
    id::{CommandId, CorrelationId, DeviceId, EventId},
    key::Digest,
    time::Time,
};
use projections::{
    halves::Halves,
    postgres::Postgres,
    private::{Attention, Private, PrivateError},
    rebuild::{self, Step},
    views::Views,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    check_ins::CheckIns,
    clock::{Clock, fresh_id},
    clones::Clones,
    config::Config,
    execute::{By, Executor},
    feed::Feed,
    gateway::{leases::Leases, token},
    gateways::Gateways,
    halves,
    host_keys::HostKeys,
    keys::Keys,
    nodes::{self, Nodes},
    openbazaar::Status,
    reports::Reports,
    scheduler::JobRuns,
    showcase::Showcase,
    steward::place,
    stores::Stores,
};

/// Devices remembered by their enrolment keys.
const MAX_KNOWN_DEVICES: usize = 50_000;
/// How long a writer waits for its own event to reach the views.
const READ_YOUR_WRITES: Duration = Duration::from_secs(10);

/// The files of a data folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// A data folder, made when missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(!path.is_file(), "{} is a file; name a folder with --data", path.display());
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("the data folder {} cannot be made", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// A data folder, whether or not it is there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A data folder that must exist already.
    ///
    /// # Errors
    /// When there is none.
    pub fn existing(path: &Path) -> anyhow::Result<Self> {
        let data = Self(path.to_owned());
        anyhow::ensure!(
            data.log().exists(),
            "{} holds no ledger; name one with --data, or make one with `berth serve`",
            path.display()
        );
        Ok(data)
    }

    /// Makes sure that no other server runs on this folder; the answer keeps it so until it is dropped.
    ///
    /// # Errors
    /// When another server runs on it.
    pub fn lock(&self) -> anyhow::Result<File> {
        let path = self.0.join("serve.lock");
        let file = File::options().create(true).write(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("{} cannot be made", path.display()))?;
        let other = "another server runs on this data folder; stop it, or name another folder with --data";
        file.try_lock().with_context(|| format!("{}: {other}", self.0.display()))?;
        Ok(file)
    }

    /// Refuses a folder whose parts do not belong together: a missing part is never silently made anew. Answers whether
    /// it holds a ledger.
    async fn check(&self) -> anyhow::Result<bool> {
        let missing = |part: &Path| {
            let (part, folder) = (part.file_name().unwrap_or_default().display(), self.0.display());
            anyhow::anyhow!(
                "{folder} holds a ledger's other parts but no {part}; restore it from a backup (nothing was changed)"
            )
        };
        let used =
            self.log().exists() || (self.private().exists() && Private::is_used(&self.private()).await?);
        for part in [self.keys(), self.private(), self.log()] {
            if used && !part.exists() {
                return Err(missing(&part));
            }
        }
        Ok(used)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The event log: the only truth.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log.db")
    }

    /// The views: can be rebuilt from the log.
    #[must_use]
    pub fn views(&self) -> PathBuf {
        self.0.join("views.db")
    }

    /// The private store: people, tokens, sealed secrets.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.0.join("private.db")
    }

    /// The server's halves of volume keys: never part of a backup.
    #[must_use]
    pub fn halves(&self) -> PathBuf {
        self.0.join("halves.db")
    }

    /// Where mails are put while there is no mail server.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.0.join("mail")
    }

    /// What the gateway keeps: its key, its certificate.
    #[must_use]
    pub fn gateway(&self) -> PathBuf {
        self.0.join("gateway")
    }

    /// The server's keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }
}

/// Everything a running server shares; cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

/// What [`App`] points to.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Config,
    /// The data folder.
    pub data: DataDir,
    /// Where everything is kept.
    pub stores: Stores,
    /// The clock.
    pub clock: Clock,
    /// The keys.
    pub keys: Keys,
    /// Carries out commands.
    pub executor: Executor,
    /// Answers questions.
    pub views: Views,
    /// People, tokens, secrets.
    pub private: Private,
    /// The server's halves of volume keys.
    pub halves: Halves,
    /// Device keys that two machines answer to.
    pub clones: Clones,
    /// Which check-ins were counted.
    pub check_ins: CheckIns,
    /// What devices report to a human.
    pub reports: Reports,
    /// Wakes devices that wait for news.
    pub feed: Feed,
    /// The leases that live, for gateways.
    pub leases: Leases,
    /// The gateways that are there.
    pub gateways: Gateways,
    /// SHA-256 of what gateways in processes of their own prove themselves with.
    pub gateway_token: Digest,
    /// The SSH host keys of workloads.
    pub host_keys: HostKeys,
    /// This server among those that share its store.
    pub nodes: Nodes,
    /// The first position the steward has not handled, as this process knows it.
    pub steward: watch::Sender<Position>,
    /// How the OpenBazaar connector is, if there is one.
    pub openbazaar: watch::Sender<Option<Status>>,
    /// How the jobs' last runs went.
    pub jobs: JobRuns,
    /// What a demo lends to whoever looks around.
    pub showcase: OnceLock<Showcase>,
    /// Where this process listens, once it does.
    pub address: OnceLock<SocketAddr>,
    /// Cancelled when the server shuts down: whoever waits answers at once.
    pub stop: CancellationToken,
    /// When this server began to listen: silence before that is not a device's fault.
    pub up_since: Time,
    seen: Mutex<HashMap<DeviceId, Time>>,
    devices_by_key: Mutex<HashMap<Digest, DeviceId>>,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Opens a data folder: log, views (rebuilt when outdated, reported by `report`), private store and keys.
    ///
    /// # Errors
    /// When a file is damaged, newer than this program, or cannot be written; nothing is changed then.
    pub async fn open(
        data: &DataDir,
        config: Config,
        clock: Clock,
        report: impl Fn(Step) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let stores = Stores::new(data, &config)?;
        let (keys, private, halves) = match stores.database() {
            None => in_folder(&stores, &clock).await?,
            Some(database) => on_database(&stores, database, &clock).await?,
        };
        // The log comes last: a first start that was cut off before it is simply started again.
        let log = stores.open_log().await?;
        rebuild::prepare(&log, stores.views(), report).await?;
        let views = Views::open(stores.views())?;
        // Rounded up, so that nothing an earlier process did in the same second counts as this one's.
        let up_since = clock.time().plus(i64::from(!matches!(clock, Clock::Manual(_))));
        let gateway_token = match config.gateway.token.0.is_empty() {
            // Any node may be asked by any gateway.
            true if stores.are_shared() => token::keep(&data.gateway(), keys.gateway_token())?,
            true => token::load_or_create(&data.gateway())?,
            false => config.gateway.token.clone(),
        };
        let executor = Executor::new(log, clock.clone());
        let (stop, nodes) = (CancellationToken::new(), Nodes::new(fresh_id(&clock)));
        let (feed, steward, seen) = (Feed::default(), watch::Sender::new(0), Mutex::default());
        let openbazaar = watch::Sender::new(None);
        let (clones, reports) = (Clones::load(&private).await?, Reports::load(&private).await?);
        Ok(Self(Arc::new(Shared {
            config,
            data: data.clone(),
            stores,
            clock,
            keys,
            executor,
            views,
            private,
            halves,
            clones,
            check_ins: CheckIns::default(),
            reports,
            feed,
            leases: Leases::default(),
            gateways: Gateways::default(),
            gateway_token: Digest::of(gateway_token.0.as_bytes()),
            host_keys: HostKeys::default(),
            nodes,
            steward,
            openbazaar,
            jobs: JobRuns::default(),
            showcase: OnceLock::new(),
            address: OnceLock::new(),
            stop,
            up_since,
            seen,
            devices_by_key: Mutex::default(),
        })))
    }

    /// Where people reach the pages, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> String {
        let listened = self.address.get().map(ToString::to_string);
        self.config.web.base(&listened.unwrap_or_else(|| self.config.listen.clone()))
    }

    /// A fresh id at the clock's time.
    #[must_use]
    pub fn fresh_id(&self) -> Uuid {
        fresh_id(&self.clock)
    }

    /// A command of a part of the server, caused by an event or by time.
    #[must_use]
    pub fn by_system(&self, part: SystemPart, cause: Option<(EventId, CorrelationId)>) -> By {
        let command = CommandId(self.fresh_id());
        By {
            actor: Actor::System(part),
            on_behalf_of: None,
            command,
            causation: cause.map(|(event, _)| event),
            correlation: cause.map_or(CorrelationId(command.0), |(_, correlation)| correlation),
        }
    }

    /// Waits until the views hold the event at `position`, so that whoever wrote it reads it.
    pub async fn catch_up(&self, position: Option<Position>) {
        let Some(position) = position else { return };
        match self.views.wait_for(position, READ_YOUR_WRITES).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(position, "the views have not caught up with a write; answering without it")
            }
            Err(e) => tracing::error!(error = %e, position, "the views cannot be read"),
        }
    }

    /// Waits until what follows from the event at `position` has happened too, and the views hold that.
    pub async fn follow_up(&self, position: Option<Position>) {
        let Some(position) = position else { return };
        if tokio::time::timeout(READ_YOUR_WRITES, place::passed(self, position)).await.is_err() {
            tracing::warn!(position, "the steward has not followed up on a write; answering without it");
        }
        match self.executor.log().head().await {
            Ok(head) => self.catch_up(head).await,
            Err(e) => tracing::error!(error = %e, position, "the log cannot be read"),
        }
    }

    /// The device that had an enrolment key when it was last looked up; the ledger says whether it has it now.
    #[must_use]
    pub fn known_device(&self, key: Digest) -> Option<DeviceId> {
        self.devices_by_key.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// Remembers whose enrolment key this is, so that a device that asks again needs no look-up.
    pub fn remember_device(&self, key: Digest, device: DeviceId) {
        let mut known = self.devices_by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN_DEVICES {
            known.clear();
        }
        known.insert(key, device);
    }

    /// Notes that a device was heard of; written down by [`App::flush_presence`].
    pub fn heard_of(&self, device: DeviceId) {
        let now = self.clock.time();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(device, now);
    }

    /// When some devices were last heard of, written down or not.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn last_seen(&self, devices: &[DeviceId]) -> Result<HashMap<DeviceId, Time>, PrivateError> {
        let mut known = self.private.last_seen_of(devices).await?;
        let fresh = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for device in devices {
            if let Some(at) = fresh.get(device) {
                let last = known.entry(*device).or_insert(*at);
                *last = (*last).max(*at);
            }
        }
        Ok(known)
    }

    /// Writes down which devices were heard of since the last time.
    ///
    /// # Errors
    /// When the private store fails; then they are kept for the next try.
    pub async fn flush_presence(&self) -> Result<(), PrivateError> {
        let seen: Vec<_> = self.seen.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        if seen.is_empty() {
            return Ok(());
        }
        let written = self.private.seen(&seen).await;
        if written.is_err() {
            let mut kept = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for (device, at) in seen {
                kept.entry(device).or_insert(at);
            }
        }
        written
    }
}

/// Keys, private store and key halves of a data folder.
async fn in_folder(stores: &Stores, clock: &Clock) -> anyhow::Result<(Keys, Private, Halves)> {
    let data = &stores.data;
    let halves_lost = data.check().await? && !data.halves().exists();
    let keys = Keys::open(&data.keys(), clock.time())?;
    let (private, halves) = (stores.private().await?, stores.halves().await?);
    if halves_lost {
        let (subject, what) = ("halves.db".to_owned(), halves::LOST.to_owned());
        let detail = "the data folder had no halves.db, which has no backup by design: devices are told to run the \
                      leases granted before now without a key half, so an encrypted volume stays locked after a restart; \
                      end such leases and let the devices register again";
        tracing::error!(data = %data.0.display(), "{detail}");
        let (detail, since) = (detail.to_owned(), clock.time());
        private.call_attention(&Attention { subject, what, detail, since }).await?;
    }
    Ok((keys, private, halves))
}

/// The same of a database that nodes share. The keys are those that it was made with, or nothing is opened.
async fn on_database(
    stores: &Stores,
    database: &Postgres,
    clock: &Clock,
) -> anyhow::Result<(Keys, Private, Halves)> {
    database.prepare().await?;
    let private = stores.private().await?;
    let private = if matches!(clock, Clock::Manual(_)) { private.go_by_given_times() } else { private };
    let (folder, shown) = (stores.data.keys(), database.shown());
    let copy = "copy the folder keys of a node that runs";
    if private.known_node_key().await?.is_some() {
        ensure!(
            folder.exists(),
            "the database {shown} was made with keys that {} does not hold; {copy}",
            folder.display()
        );
    }
    let keys = Keys::open(&folder, clock.time())?;
    let first = private.node_key(keys.fingerprint()).await?;
    ensure!(
        first == keys.fingerprint(),
        "the keys in {} are not those that the database {shown} was made with; {copy}",
        folder.display()
    );
    nodes::keep_era(&private, keys.online().era, clock.time()).await?;
    Ok((keys, private, stores.halves().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_a_folder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let first = data.lock().unwrap();
        assert!(format!("{:#}", data.lock().unwrap_err()).contains("another server"));
        drop(first);
        data.lock().unwrap();
    }

    #[tokio::test]
    async fn a_missing_part_of_a_used_folder_is_never_made_anew() {
        for part in ["keys", "private.db", "log.db"] {
            let dir = tempfile::tempdir().unwrap();
            let data = DataDir::open(dir.path()).unwrap();
            let open = || App::open(&data, Config::default(), Clock::System, |_| {});
            let app = open().await.unwrap();
            let person = projections::private::Person { name: "Ada".into(), ..Default::default() };
            let by = app.by_system(SystemPart::Cli, None);
            crate::accounts::open(&app, person, vec![domain::account::Role::Owner], &by).await.unwrap();
            app.private.close().await;
            drop(app);
            let path = dir.path().join(part);
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.unwrap();
            let refused = open().await.unwrap_err().to_string();
            assert!(refused.contains(part) && refused.contains("backup"), "{part}: {refused}");
            assert!(!path.exists(), "{part} was made anew");
        }
    }
}
