//! Follows the log and puts mails into the outbox.
//!
//! | event | mail |
//! |---|---|
//! | `RentalStarted` | how to log in, to the renter; later a reminder |
//! | `RentalExtended` | until when it is, to the renter; later a reminder |
//! | `RentalTerminated`, `RentalExpired` | why, and what becomes of the money, to the renter |
//! | `EpochErased` | how the data was erased, to whoever rented |
//! | `SettlementSettled`, `SettlementResolved` | what moved, to whoever gets it |
//!
//! # Correctness
//! The checkpoint moves after the rows were written, so a crash repeats them; a cause names what happened, not when it was
//! read, so a repetition adds nothing. A reminder waits in the outbox from the moment in which the time was bought; when it
//! is due and the rental ends at another time by then, it is dropped. Bought too late to be reminded of, a time has none.

use std::time::Duration;

use domain::{
    any::AnyEvent,
    contract::{Contract, ContractEvent},
    device::DeviceEvent,
    event::Recorded,
    id::{AccountId, ContractId, SettlementId},
    settlement::{Resolution, Settlement, SettlementEvent},
    time::Time,
};
use projections::log::MAX_PAGE;
use tokio_util::sync::CancellationToken;

use super::{Caused, FOLLOWER, Letter, To, put};
use crate::app::App;

/// How often the log is looked at without a hint: other processes append too.
const POLL: Duration = Duration::from_millis(500);

/// Follows the log until stopped.
pub(super) async fn run(app: &App, stop: &CancellationToken) {
    let mut hint = app.executor.log().follow();
    loop {
        if let Err(e) = catch_up(app, stop).await {
            tracing::error!(error = %e, "what people are to be told cannot be written down; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(POLL, hint.changed()) => {}
        }
    }
}

async fn catch_up(app: &App, stop: &CancellationToken) -> anyhow::Result<()> {
    let mut next = app.private.follower(FOLLOWER).await?;
    loop {
        let page = app.executor.log().read_all(next, MAX_PAGE.min(500)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        for recorded in &page {
            if stop.is_cancelled() {
                return Ok(());
            }
            tell(app, recorded).await?;
        }
        next = last.position + 1;
        app.private.advance_follower(FOLLOWER, next).await?;
    }
}

/// Puts what an event causes into the outbox.
async fn tell(app: &App, recorded: &Recorded) -> anyhow::Result<()> {
    match AnyEvent::of(recorded)? {
        AnyEvent::Contract(event) => of_contract(app, recorded, event).await,
        AnyEvent::Device(DeviceEvent::EpochErased(e)) => {
            let contract = ContractId::of(recorded.stream.key().parse()?, e.epoch);
            let Some(renter) = renter(app, contract).await? else { return Ok(()) };
            let letter = Letter::Erased { position: recorded.position };
            now(app, recorded, &format!("erased-{contract}"), renter, letter).await
        }
        AnyEvent::Settlement(SettlementEvent::SettlementSettled(_)) => settled(app, recorded).await,
        AnyEvent::Settlement(SettlementEvent::SettlementResolved(e)) => match e.resolution {
            Resolution::Moved { .. } => settled(app, recorded).await,
            Resolution::NotMoved {} => Ok(()),
        },
        _ => Ok(()),
    }
}

async fn of_contract(app: &App, recorded: &Recorded, event: ContractEvent) -> anyhow::Result<()> {
    let contract: ContractId = recorded.stream.key().parse()?;
    match event {
        ContractEvent::RentalStarted(e) => {
            let cause = format!("rental-{contract}");
            now(app, recorded, &cause, e.renter, Letter::Credentials { contract }).await?;
            remind(app, recorded, contract, e.renter, (e.segment.start, e.segment.end)).await
        }
        ContractEvent::RentalExtended(e) => {
            let state = app.executor.load::<Contract>(&contract).await?.state;
            let Some(rental) = state.rental() else { return Ok(()) };
            let (renter, extension) = (rental.started.renter, e.extension);
            let letter = Letter::Extended { contract, extension };
            now(app, recorded, &format!("extended-{contract}-{extension}"), renter, letter).await?;
            let term = (rental.started.segment.start, e.segment.end);
            remind(app, recorded, contract, renter, term).await
        }
        ContractEvent::RentalTerminated(_) | ContractEvent::RentalExpired(_) => {
            let Some(renter) = renter(app, contract).await? else { return Ok(()) };
            now(app, recorded, &format!("ended-{contract}"), renter, Letter::Ended { contract }).await
        }
        _ => Ok(()),
    }
}

async fn settled(app: &App, recorded: &Recorded) -> anyhow::Result<()> {
    let settlement: SettlementId = recorded.stream.key().parse()?;
    let state = app.executor.load::<Settlement>(&settlement).await?.state;
    let Some(due) = state.due() else { return Ok(()) };
    now(app, recorded, &format!("settled-{settlement}"), due.to, Letter::Settled { settlement }).await
}

async fn renter(app: &App, contract: ContractId) -> anyhow::Result<Option<AccountId>> {
    let state = app.executor.load::<Contract>(&contract).await?.state;
    Ok(state.rental().map(|rental| rental.started.renter))
}

/// A mail that is sent as soon as it can be.
async fn now(
    app: &App,
    recorded: &Recorded,
    cause: &str,
    to: AccountId,
    letter: Letter,
) -> anyhow::Result<()> {
    let caused = Caused { cause, position: Some(recorded.position), due_at: app.clock.time() };
    Ok(put(app, caused, To::Account(to), letter).await?)
}

/// A reminder before the end of a rental from `start` to `end`.
async fn remind(
    app: &App,
    recorded: &Recorded,
    contract: ContractId,
    to: AccountId,
    (start, end): (Time, Time),
) -> anyhow::Result<()> {
    let before_s = app.config.mail.reminder_before_s;
    let due_at = end.plus(-before_s);
    let bought_at = Time::from_unix(recorded.event.recorded_at.timestamp());
    if before_s == 0 || end.since(start) <= before_s.saturating_mul(2) || due_at <= bought_at {
        return Ok(());
    }
    let cause = format!("reminder-{contract}-{}", end.unix());
    let caused = Caused { cause: &cause, position: Some(recorded.position), due_at };
    Ok(put(app, caused, To::Account(to), Letter::Reminder { contract, end }).await?)
}
