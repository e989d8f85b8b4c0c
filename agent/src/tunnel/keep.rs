//! Keeps the tunnel up while it is wanted.
//!
//! # Correctness
//! What is wanted is watched while a connection is held: when it changes, the connection is dropped, and with it every
//! visitor's, before anything else is done. So no connection outlives the plan that it was made for.

use std::{convert::Infallible, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    Plan, connection,
    shown::{Shown, State},
};
use crate::{
    clock::{self, Boot},
    dice,
};

/// The first retry comes within this time; the span doubles with every failure.
const FIRST_RETRY_S: f64 = 1.0;
/// The span of a retry never exceeds this.
const RETRY_S_MAX: f64 = 30.0;
/// A connection that lasted this long was a success: two devices that push each other out are none.
const LASTED: Duration = Duration::from_secs(10);

/// Follows what is wanted until nobody can want anything any more.
pub(super) async fn keep(mut wanted: watch::Receiver<Option<Plan>>, key: Arc<SigningKey>, shown: Arc<Shown>) {
    loop {
        let plan = wanted.borrow_and_update().clone();
        let changed = match plan {
            None => wanted.changed().await,
            Some(plan) => tokio::select! {
                changed = wanted.changed() => changed,
                never = connect(&plan, &key, &shown) => match never {},
            },
        };
        if changed.is_err() {
            return;
        }
    }
}

async fn connect(plan: &Plan, key: &SigningKey, shown: &Shown) -> Infallible {
    let gateway = plan.address();
    let mut failures = 0;
    loop {
        let mut since = None;
        let down = connection::hold(plan, key, |missing| {
            let names: Vec<_> = missing.iter().map(|forward| forward.service.name()).collect();
            let without = (!names.is_empty()).then(|| format!("not forwarded: {}", names.join(", ")));
            if since.is_none() {
                info!(gateway, epoch = plan.epoch, without, "the tunnel is up");
            }
            since.get_or_insert_with(Boot::now);
            shown.show(State::Up, Some(&gateway), without);
        })
        .await;
        let lasted = since.is_some_and(|since| since.elapsed() >= LASTED);
        failures = if lasted { 1 } else { failures + 1 };
        let wait = backoff(failures, dice::unit());
        warn!(gateway, epoch = plan.epoch, why = %down, retry_ms = wait.as_millis(), "the tunnel is down");
        shown.show(State::Down, Some(&gateway), Some(down.to_string()));
        clock::sleep_until(Boot::now() + wait).await;
    }
}

/// Full jitter after `failures` (at least 1) in a row; `unit` is out of `[0, 1)`.
fn backoff(failures: u32, unit: f64) -> Duration {
    let doublings = i32::try_from(failures.min(30)).unwrap_or(30) - 1;
    Duration::from_secs_f64((FIRST_RETRY_S * 2f64.powi(doublings)).min(RETRY_S_MAX) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_is_quick_and_none_waits_longer_than_half_a_minute() {
        let spans: Vec<_> = (1..=8).map(|n| backoff(n, 0.5).as_secs_f64()).collect();
        assert_eq!(spans, [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]);
        assert_eq!(backoff(u32::MAX, 0.0), Duration::ZERO);
    }
}
