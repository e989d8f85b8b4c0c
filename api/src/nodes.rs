//! Servers that share a store: each says that it is there, and hears what the others tell.
//!
//! # Shape
//! One task of every server ([`run`]). Every second it reads which gateways report to other servers; every other second it
//! says that it is there, tells how the parts are that run here, and hears how those are that run elsewhere, and which
//! alarms stand on the operators' list. A server that has its store for itself does nothing of this.
//!
//! # Correctness
//! What is told is news, and stands until newer is told. What must not be wrong is decided in the store, by whoever asks.
//! Whether devices could reach any server is the exception: only the signs of life that are written here say it, and a
//! server that cannot reach the store writes none.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use domain::time::Time;
use projections::private::{Node, Private, PrivateError};
use tokio::{
    sync::{Mutex, MutexGuard, TryLockError},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    gateways,
    openbazaar::Status,
    roles::{Part, Roles},
    scheduler::JobRun,
};

/// How often it is read which gateways report elsewhere; the rest is done every other time.
const LOOK: Duration = Duration::from_secs(1);
/// What is told of the OpenBazaar connector.
const OPENBAZAAR: &str = "openbazaar";
/// What is told of the jobs' last runs.
const JOBS: &str = "jobs";

/// What is told of the era of the server's keys.
const ERA: &str = "era";

/// Makes sure that no node signs in a later era: devices that have heard that one believe nothing of an earlier.
///
/// # Errors
/// When one does, or the private store fails.
pub async fn keep_era(private: &Private, era: u32, now: Time) -> anyhow::Result<()> {
    let told = private.status(ERA).await?.and_then(|(era, _)| era.parse::<u32>().ok()).unwrap_or(0);
    ensure!(
        told <= era,
        "this node's keys are of era {era}, and another's of era {told}: devices believe only the later ones; copy the folder \
         keys of that node"
    );
    if told < era {
        private.put_status(ERA, &era.to_string(), now).await?;
    }
    Ok(())
}

/// This server among those on its store.
#[derive(Debug)]
pub struct Nodes {
    id: Uuid,
    looks_for_steward: Mutex<()>,
}

impl Nodes {
    /// A server that was just started.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self { id, looks_for_steward: Mutex::default() }
    }

    /// Held by the one who looks how far the steward is.
    pub(crate) fn look_for_steward(&self) -> Result<MutexGuard<'_, ()>, TryLockError> {
        self.looks_for_steward.try_lock()
    }
}

/// Says that this server begins to listen, so that silence counts from now on.
///
/// # Errors
/// When the private store fails.
pub async fn begin(app: &App, roles: &Roles) -> Result<(), PrivateError> {
    if app.private.is_shared() { be_there(app, roles).await } else { Ok(()) }
}

/// Says that this server is there, and hears what the others tell, until stopped.
pub async fn run(app: App, roles: Roles, stop: CancellationToken) {
    if !app.private.is_shared() {
        return;
    }
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_turn, mut fails, mut old) = (true, false, false);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let all = async {
            if is_turn {
                be_there(&app, &roles).await?;
                if let Err(e) = keep_era(&app.private, app.keys.online().era, app.clock.time()).await
                    && !old
                {
                    tracing::error!(error = %e, "this node's answers are believed no more; it stops");
                    old = true;
                    app.stop.cancel();
                }
                exchange(&app).await?;
            }
            gateways::refresh(&app).await
        };
        let failed = all.await.err();
        if let Some(e) = failed.as_ref().filter(|_| !fails) {
            tracing::error!(error = %e, "other servers cannot be told anything, nor heard of; trying again");
        }
        (fails, is_turn) = (failed.is_some(), !is_turn);
    }
    if let Err(e) = app.private.node_stops(app.nodes.id).await {
        tracing::warn!(error = %e, "other servers cannot be told that this one stops");
    }
}

/// Says that this server is there.
///
/// # Errors
/// When the private store fails.
pub async fn be_there(app: &App, roles: &Roles) -> Result<(), PrivateError> {
    let listens = roles.has(Part::Api) && app.address.get().is_some();
    let this = this(app, roles.to_string());
    app.private.node_is_there(&this, listens.then(|| app.clock.time())).await
}

fn this(app: &App, roles: String) -> Node {
    let address = app.address.get().map_or_else(|| app.config.listen.clone(), ToString::to_string);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Node { id: app.nodes.id, roles, address, version, started_at: app.up_since }
}

/// The servers that are there.
///
/// # Errors
/// When the private store fails.
pub async fn all(app: &App) -> Result<Vec<Node>, PrivateError> {
    match app.private.is_shared() {
        true => app.private.nodes().await,
        false => Ok(vec![this(app, app.config.roles.clone())]),
    }
}

/// Whether another server is there.
///
/// # Errors
/// When the private store fails.
pub async fn has_others(app: &App) -> Result<bool, PrivateError> {
    Ok(app.private.is_shared() && all(app).await?.iter().any(|node| node.id != app.nodes.id))
}

/// Since when devices can reach some server without a gap: before that, silence is nobody's fault. `None` while they can
/// reach none.
///
/// # Errors
/// When the private store fails.
pub async fn listening_since(app: &App) -> Result<Option<Time>, PrivateError> {
    match app.private.is_shared() {
        true => app.private.listening_since().await,
        false => Ok(Some(app.up_since)),
    }
}

/// Tells how the parts are that run here, and hears how those are that run elsewhere.
///
/// # Errors
/// When the private store fails.
pub async fn exchange(app: &App) -> Result<(), PrivateError> {
    for device in app.clones.look(&app.private).await? {
        app.feed.wake(device);
    }
    let now = app.clock.time();
    let known = told::<BTreeMap<String, JobRun>>(app, JOBS).await?.unwrap_or_default();
    app.jobs.take(known.clone());
    let runs = app.jobs.all();
    if runs != known {
        tell(app, JOBS, &runs, now).await?;
    }
    let known = told::<Status>(app, OPENBAZAAR).await?;
    let own = app.openbazaar.borrow().clone().filter(|status| status.leads);
    match own {
        Some(own) if known.as_ref() != Some(&own) => tell(app, OPENBAZAAR, &own, now).await?,
        Some(_) => {}
        None => {
            let Some(known) = known.map(|known| Status { leads: false, ..known }) else { return Ok(()) };
            let known = Some(known);
            app.openbazaar.send_if_modified(|shown| std::mem::replace(shown, known.clone()) != known);
        }
    }
    Ok(())
}

/// What was told last; nothing when a server of another version tells it in another way.
async fn told<T: serde::de::DeserializeOwned>(app: &App, name: &str) -> Result<Option<T>, PrivateError> {
    Ok(app.private.status(name).await?.and_then(|(value, _)| serde_json::from_str(&value).ok()))
}

async fn tell<T: serde::Serialize + Sync>(
    app: &App,
    name: &str,
    value: &T,
    now: Time,
) -> Result<(), PrivateError> {
    match serde_json::to_string(value) {
        Ok(value) => app.private.put_status(name, &value, now).await,
        Err(e) => {
            tracing::error!(error = %e, name, "what is told to other servers cannot be written");
            Ok(())
        }
    }
}
