//! The steward: follows the log and issues what follows from each event.
//!
//! | event | command |
//! |---|---|
//! | `OrderReceived` | start or extend the contract, then accept or reject the order |
//! | `OrderRejected`, `RefundIssued`, `ModerationIssued`, `PayoutsReleased` | the settlement is due |
//! | `PayoutIssued`, `SegmentPayoutIssued` | the settlement is due, or the payout waits in the owner's purse |
//! | `DisputeOpened` | the segment's refund is held back, if it is not on its way; a human is called to decide |
//! | `RentalExpired`, `RentalTerminated`, `OfferClosed` | the device's lease ends |
//! | `LeaseGranted` | if its port was reclaimed meanwhile, the lease's offer is closed |
//! | `LeaseEnded` | the gateway's port is released; the key half is due after the appeal window, or at once if asked for |
//! | `DeviceRetired` | the lease's offer is closed |
//! | `EpochErased` | the lease's login and key half are destroyed |
//! | `ErasureAsked` | the key half is destroyed once the lease has ended |
//! | `SettlementSettled`, `SettlementResolved` | when less moved than was due, the rest is due; a human is called |
//! | `SettlementFailed`, `SettlementResolved` | a refund that did not move is held back if its segment is disputed |
//! | `DisputeDecided`, `SettlementWithdrawn` | a refund that was withdrawn though decided to be gone is due again |
//! | `SettlementQuarantined` | a human is called |
//!
//! # Shape
//! One reader with a checkpoint in the private store. Every reaction is an ordinary command.
//!
//! # Correctness
//! The checkpoint moves after the commands, and tells other servers how far the steward is ([`place`]), so a crash repeats them; each is idempotent, so at-least-once is
//! exactly-once in effect. When the log or store fails, the same event is tried again, never skipped. When a command is
//! refused against expectation, the event is put on the operator's list and the steward goes on: one odd event must not
//! stop everybody's money. Two stewards at once are wasteful, not wrong.

mod money;
pub mod place;
mod react;

pub use react::QUARANTINED;

use std::time::Duration;

use domain::event::Position;
use projections::log::MAX_PAGE;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// The checkpoint's name.
pub(crate) const FOLLOWER: &str = "steward";
/// How often the log is looked at without a hint: other processes append too.
const POLL: Duration = Duration::from_millis(500);
/// How long the checkpoint may be behind while a batch is handled, where others read it.
const TOLD: Duration = Duration::from_millis(100);
/// How long to wait before a failed event is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Follows the log until stopped.
pub async fn run(app: App, stop: CancellationToken) {
    let mut hint = app.executor.log().follow();
    loop {
        match catch_up(&app, &stop).await {
            Ok(()) => {}
            Err(e) => {
                tracing::error!(error = %e, "the steward cannot go on; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(POLL, hint.changed()) => {}
        }
    }
}

/// Handles everything up to the log's end, what it causes included.
///
/// # Errors
/// When the log or the private store cannot be used; the event is then handled again next time.
pub async fn catch_up(app: &App, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut next: Position = app.private.follower(FOLLOWER).await?;
    loop {
        let page = app.executor.log().read_all(next, MAX_PAGE.min(500)).await?;
        if page.is_empty() {
            app.steward.send_replace(next);
            return Ok(());
        }
        let (before, mut written) = (next, Instant::now());
        for recorded in &page {
            if stop.is_cancelled() {
                break;
            }
            react::react(app, recorded).await?;
            next = recorded.position + 1;
            app.steward.send_replace(next);
            // Others read there how far the steward is.
            if app.private.is_shared() && written.elapsed() > TOLD {
                app.private.advance_follower(FOLLOWER, next).await?;
                written = Instant::now();
            }
        }
        if next != before {
            app.private.advance_follower(FOLLOWER, next).await?;
        }
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}
