//! The task that keeps the mirror at what KurrentDB holds.
//!
//! # Correctness
//! - What is written continues what is there, in one transaction with the place up to which it was read; the database
//!   makes sure of both ([`Store::write`]). So it does not matter how many nodes mirror, nor where one stops.
//! - A subscription that ends, breaks or says nothing of an append that was acknowledged is replaced by another from
//!   the stored place, after a pause that grows.
//! - A gap in a stream, an event that Berth did not write, or one that differs from what was mirrored stops it for
//!   good: it never goes on behind one. What was before is there; whoever reads beyond it, or appends, hears why.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Inner,
    assembly::{Assembly, Batch, Damage},
    failure,
    feed::Feed,
    store::Written,
};
use crate::log::LogError;

/// Events in one transaction.
const BATCH: usize = 500;

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Why a subscription is left.
enum Left {
    /// It ended, or somebody waits too long for what it should say.
    Ended(String),
    /// The database cannot be used.
    Database(LogError),
    /// The log is damaged.
    Damaged(LogError),
}

/// Mirrors until it is told to stop, or the log is damaged.
pub async fn run(inner: Arc<Inner>, mut stop: watch::Receiver<bool>) {
    let mut pause = PAUSES.0;
    loop {
        let mut moved = false;
        let left = tokio::select! {
            left = follow(&inner, &mut moved) => left,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match left {
            Left::Damaged(error) => {
                tracing::error!(log = inner.address.shown(), "mirroring stops: {error}");
                inner.stopped.send_replace(Some(error));
                return;
            }
            Left::Ended(why) => tracing::warn!(log = inner.address.shown(), "subscribing again: {why}"),
            Left::Database(why) => tracing::warn!("the mirror cannot be written: {why}"),
        }
        pause = if moved { PAUSES.0 } else { PAUSES.1.min(pause * 2) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Follows one subscription to its end; `moved` says whether it has told anything.
async fn follow(inner: &Inner, moved: &mut bool) -> Left {
    let after = match inner.store.checkpoint().await {
        Ok(after) => after,
        Err(error) => return Left::Database(error),
    };
    let mut feed = Feed::start(&inner.client, inner.address.names(), after).await;
    let mut assembly = Assembly::new(inner.address.names().clone(), after);
    loop {
        let told = tokio::select! {
            told = feed.take(BATCH) => told,
            () = inner.nudge.notified() => return Left::Ended("it says nothing of what was appended".into()),
        };
        if told.is_empty() {
            return Left::Ended("it is over".into());
        }
        let mut batch = assembly.take(told);
        *moved |= batch.ended.is_none();
        if let Err(left) = write(inner, &mut batch).await {
            return left;
        }
        if batch.caught_up && batch.damage.is_none() {
            inner.caught_up.send_replace(true);
        }
        if let Some(damage) = &batch.damage {
            return damaged(inner, damage);
        }
        if let Some(error) = &batch.ended {
            return Left::Ended(failure::said(error));
        }
    }
}

/// Writes a batch, and wakes whoever waits for it.
async fn write(inner: &Inner, batch: &mut Batch) -> Result<(), Left> {
    while !batch.is_empty() {
        match inner.store.write(batch).await.map_err(Left::Database)? {
            Written::Whole(head) => {
                inner.mirrored(head);
                for arrived in &batch.events {
                    inner.waiting.tell(&arrived.stream, arrived.revision);
                }
                if let Some(upto) = batch.upto {
                    inner.upto.send_replace(Some(upto));
                }
                return Ok(());
            }
            Written::Bad(index) => cut(batch, index),
        }
    }
    Ok(())
}

/// Leaves in a batch what comes before the append of a bad event.
fn cut(batch: &mut Batch, index: usize) {
    let Some(bad) = batch.events.get(index) else { return batch.events.clear() };
    let why = "events before it are missing, or another event was mirrored in its place".to_owned();
    batch.damage = Some(Damage { stream: bad.stream.clone(), revision: bad.revision, why });
    let first = index.saturating_sub(bad.index);
    let at = bad.at;
    batch.events.truncate(first);
    batch.changes.retain(|change| change.at < at);
    batch.upto = batch.events.last().map(|last| last.at);
    batch.ended = None;
}

fn damaged(inner: &Inner, damage: &Damage) -> Left {
    let position = inner.head.borrow().map_or(0, |head| head + 1);
    tracing::debug!(?damage, "the log is damaged");
    Left::Damaged(LogError::Damaged { position, why: damage.said() })
}
