//! How far the steward is, whichever server it runs on.
//!
//! # Correctness
//! The place only grows here: where the steward runs, it moves with every event; elsewhere it follows the checkpoint that
//! is written after each batch, so it never says more than what was handled. Only while somebody waits is the checkpoint
//! looked at, and by one of those who wait.

use std::time::Duration;

use domain::event::Position;

use super::FOLLOWER;
use crate::app::App;

/// How long the steward of this process is given before the checkpoint is looked at, each time.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until the steward has handled the event at `position`.
pub async fn passed(app: &App, position: Position) {
    let mut place = app.steward.subscribe();
    loop {
        let handled = tokio::time::timeout(LOOK, place.wait_for(|next| *next > position)).await;
        if handled.is_ok_and(|handled| handled.is_ok()) {
            return;
        }
        let Ok(_looks) = app.nodes.look_for_steward() else { continue };
        match app.private.follower(FOLLOWER).await {
            Ok(next) => drop(app.steward.send_if_modified(|place| {
                next > *place && {
                    *place = next;
                    true
                }
            })),
            Err(e) => tracing::warn!(error = %e, "how far the steward is cannot be read; trying again"),
        }
    }
}
