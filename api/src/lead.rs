//! Work that one node does for all: whoever holds its lease.
//!
//! # Shape
//! [`lead`] runs a part of the server while this process holds the part's lease in the shared store, and waits for it
//! otherwise. The lease is renewed long before it ends; a node that stops gives it back, one that dies leaves it to run
//! out. Without a shared store there is nobody to share with, and the part simply runs.
//!
//! # Correctness
//! Leases are judged by the database's clock. A leader whose lease was not renewed in time tells its work to stop before
//! the lease can be another's, by its own monotonic clock. A leader that was frozen may still believe that it leads: all of
//! this work is commands that are idempotent and places that only move forward, so two at once are wasteful, not wrong.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::App;

/// Seconds for which a lease holds.
const HOLD_S: i64 = 6;
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(1);
/// After this long without a renewal the work is told to stop.
const GIVE_UP: Duration = Duration::from_secs(4);
/// How often whoever waits for a lease asks.
const ASK: Duration = Duration::from_millis(500);

/// Runs `work` whenever this process leads `part`, until `stop`. `work` is given a token that is cancelled when it is to
/// end, and ends soon then.
pub async fn lead<W, F>(app: App, part: &'static str, stop: CancellationToken, work: W)
where
    W: Fn(App, CancellationToken) -> F,
    F: Future<Output = ()>,
{
    if !app.stores.are_shared() {
        return work(app, stop).await;
    }
    let holder = app.fresh_id();
    while !stop.is_cancelled() {
        match take(&app, part, holder).await {
            Ok(true) => {
                tracing::info!(part, "this node leads");
                let mine = stop.child_token();
                let work = pin!(work(app.clone(), mine.clone()));
                hold(&app, part, holder, work, &mine).await;
                tracing::info!(part, "this node leads no more");
                give_back(&app, part, holder).await;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(part, %error, "the lease cannot be asked for; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(ASK) => {}
        }
    }
}

/// Works and renews until the work ends, or the lease does.
async fn hold(
    app: &App,
    part: &str,
    holder: Uuid,
    mut work: impl Future<Output = ()> + Unpin,
    mine: &CancellationToken,
) {
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            () = &mut work => return,
            () = sleep(RENEW) => {}
        }
        let asked = Instant::now();
        // The work goes on while the lease is renewed, unless that takes too long.
        let answer = tokio::select! {
            () = &mut work => return,
            answer = timeout(GIVE_UP.saturating_sub(renewed.elapsed()), take(app, part, holder)) => answer,
        };
        match answer {
            Ok(Ok(true)) => renewed = asked,
            Ok(Err(error)) if renewed.elapsed() < GIVE_UP => {
                tracing::warn!(part, %error, "the lease was not renewed; trying again");
            }
            _ => {
                tracing::warn!(part, "the lease is lost; this node's work ends");
                mine.cancel();
                return work.await;
            }
        }
    }
}

async fn take(app: &App, part: &str, holder: Uuid) -> anyhow::Result<bool> {
    let now = app.clock.time();
    Ok(app.private.take_lease(part, holder, now, HOLD_S).await?.is_some())
}

async fn give_back(app: &App, part: &str, holder: Uuid) {
    if let Err(error) = app.private.end_lease(part, holder, app.clock.time()).await {
        tracing::warn!(part, %error, "a lease was not given back; it runs out by itself");
    }
}
