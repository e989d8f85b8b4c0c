//! Webhooks: events delivered to whoever an operator names, as Standard Webhooks with CloudEvents.
//!
//! # Shape
//! [`manage`] adds and changes webhooks in the private store. [`run`] looks, when the log grows and twice a second, which
//! of them are due, and starts a [`courier`] for each that has none. A courier delivers what [`concerns`] its webhook,
//! one event after the other, until the log's end or the first failure, and goes.
//!
//! # Correctness
//! A webhook has one courier at most, so its events keep their order. Its place in the log moves only after a delivery,
//! or over events that do not concern it, so a crash repeats the last delivery and skips none. Couriers share nothing but
//! the stores: one that waits for an answer holds up no other, and not the steward. Whatever a webhook's state is, it is
//! in the store: a look finds it again after a crash, a failed courier, or a change by an operator.

mod concerns;
mod courier;
pub mod manage;
mod send;
pub mod sign;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;
use courier::Courier;
use send::Sender;

/// How often is looked without a hint: time passes, and operators change webhooks.
const POLL: Duration = Duration::from_millis(500);

/// The last courier of a webhook.
struct Run {
    /// The first position that was not looked at yet; may be ahead of the store by events of no concern.
    seen: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Delivers until stopped.
pub async fn run(app: App, stop: CancellationToken) {
    let (mut hint, sender) = (app.executor.log().follow(), Arc::new(Sender::default()));
    let mut runs = HashMap::new();
    loop {
        if let Err(e) = look(&app, &sender, &mut runs, &stop).await {
            tracing::error!(error = %e, "due webhooks cannot be found; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tokio::time::timeout(POLL, hint.changed()) => {}
        }
    }
    for (_, run) in runs {
        let _ = run.task.await;
    }
}

/// Starts a courier for every webhook that is due, has none, and has something to look at.
async fn look(
    app: &App,
    sender: &Arc<Sender>,
    runs: &mut HashMap<Uuid, Run>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let due = app.private.due_webhooks(app.clock.time()).await?;
    runs.retain(|id, run| !run.task.is_finished() || due.iter().any(|webhook| webhook.id == *id));
    if due.is_empty() {
        return Ok(());
    }
    let end = app.executor.log().head().await?.map_or(0, |head| head + 1);
    for webhook in due {
        let seen = match runs.get(&webhook.id) {
            Some(run) if !run.task.is_finished() => continue,
            Some(run) => run.seen.clone(),
            None => Arc::default(),
        };
        seen.fetch_max(webhook.next, Ordering::Relaxed);
        if seen.load(Ordering::Relaxed) >= end {
            continue;
        }
        let (id, app, sender) = (webhook.id, app.clone(), sender.clone());
        let courier = Courier { app, sender, webhook, seen: seen.clone(), stop: stop.clone() };
        runs.insert(id, Run { seen, task: tokio::spawn(courier.go()) });
    }
    Ok(())
}
