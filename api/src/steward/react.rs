//! What follows from each event.

use domain::{
    aggregate::Aggregate,
    any::AnyEvent,
    contract::{Contract, ContractEvent},
    device::{Device, DeviceCommand, DeviceEvent, KeyEnd, LeaseEnd},
    event::{Recorded, SystemPart},
    gateway::{Gateway, GatewayCommand},
    id::{ContractId, DeviceId, Epoch},
    order::OrderEvent,
    policy::EndedBy,
    purse::PurseEvent,
    settlement::{Resolution, SettlementDue, SettlementEvent, SettlementKind},
};
use projections::private::Attention;

use super::money::{issued, moved, settlement_due};
use crate::{
    app::App,
    contracts, disputes,
    execute::{By, ExecuteError},
    halves, orders,
};

/// What a human is called for while a settlement is in doubt.
pub const QUARANTINED: &str = "settlement quarantined";

/// What a human is called for while a dispute is open.
fn dispute(segment: u32) -> String {
    format!("segment {segment} disputed")
}

/// Issues what follows from one event.
///
/// # Errors
/// When the log or private store fails: the event must be handled again.
pub(super) async fn react(app: &App, recorded: &Recorded) -> anyhow::Result<()> {
    let meta = &recorded.event.meta;
    let by = app.by_system(SystemPart::Steward, Some((recorded.event.id, meta.correlation_id)));
    match AnyEvent::of(recorded)? {
        AnyEvent::Order(OrderEvent::OrderReceived(e)) => Ok(orders::honour(app, &e, &by).await?),
        AnyEvent::Order(OrderEvent::OrderRejected(e)) => {
            let (kind, contract) = (SettlementKind::Refund, None);
            let due = SettlementDue { kind, order: e.order, contract, to: e.renter, amount: e.refund };
            settlement_due(app, recorded, e.settlement, due, &by).await
        }
        AnyEvent::Contract(
            e @ (ContractEvent::RefundIssued(_)
            | ContractEvent::PayoutIssued(_)
            | ContractEvent::SegmentPayoutIssued(_)
            | ContractEvent::ModerationIssued(_)),
        ) => issued(app, recorded, &e, &by).await,
        AnyEvent::Contract(ContractEvent::DisputeOpened(e)) => {
            disputes::hold_disputed(app, recorded.stream.key().parse()?, e.segment, &by).await?;
            call(app, recorded, &dispute(e.segment), "the money waits for a decision".into()).await
        }
        AnyEvent::Contract(ContractEvent::DisputeDecided(e)) => {
            disputes::mend(app, recorded.stream.key().parse()?, e.segment, &by).await?;
            Ok(app.private.end_attention(recorded.stream.as_str(), &dispute(e.segment)).await?)
        }
        AnyEvent::Purse(PurseEvent::PayoutsReleased(e)) => {
            let (kind, contract) = (SettlementKind::Payout, None);
            let due = SettlementDue { kind, order: e.order, contract, to: e.owner, amount: e.amount };
            settlement_due(app, recorded, e.settlement, due, &by).await
        }
        AnyEvent::Contract(ContractEvent::RentalExpired(e)) => {
            end_lease(app, recorded, e.device, e.epoch, LeaseEnd::Expired, &by).await
        }
        AnyEvent::Contract(ContractEvent::RentalTerminated(e)) => {
            end_lease(app, recorded, e.device, e.epoch, LeaseEnd::Terminated, &by).await
        }
        AnyEvent::Contract(ContractEvent::OfferClosed(e)) => {
            end_lease(app, recorded, e.device, e.epoch, e.why, &by).await
        }
        AnyEvent::Device(DeviceEvent::LeaseGranted(e)) => {
            // The port may have been reclaimed while a very late registration was finishing.
            let device = recorded.stream.key().parse()?;
            let pool = app.executor.load::<Gateway>(&e.gateway).await?.state;
            let live = app
                .executor
                .load::<Device>(&device)
                .await?
                .state
                .live_lease()
                .is_some_and(|l| l.epoch == e.epoch);
            if !live || pool.port_of(device, e.epoch).is_some_and(|held| held.port == e.port) {
                return Ok(());
            }
            close_offer(app, recorded, device, e.epoch, EndedBy::Operator, &by).await
        }
        AnyEvent::Device(DeviceEvent::LeaseEnded(e)) => {
            let device = recorded.stream.key().parse()?;
            let release = GatewayCommand::ReleasePort { device, epoch: e.epoch };
            carry_out::<Gateway>(app, recorded, &e.gateway, release, &by).await?;
            let due_at = recorded.event.effective_at.plus(app.config.devices.appeal_s);
            app.halves.lease_ended(device, e.epoch, due_at).await?;
            destroy_if_asked(app, device, e.epoch, &by).await
        }
        AnyEvent::Contract(ContractEvent::ErasureAsked(e)) => {
            destroy_if_asked(app, e.device, e.epoch, &by).await
        }
        AnyEvent::Device(DeviceEvent::EpochErased(e)) => {
            let device: DeviceId = recorded.stream.key().parse()?;
            halves::destroy(app, device, e.epoch, KeyEnd::Erased, &by).await?;
            let floor = app.executor.load::<Device>(&device).await?.state.erased_floor();
            Ok(app.private.destroy_secrets(device, floor).await?)
        }
        AnyEvent::Device(DeviceEvent::DeviceRetired(_)) => {
            let device = recorded.stream.key().parse()?;
            let state = app.executor.load::<Device>(&device).await?.state;
            match state.live_lease() {
                Some(lease) => close_offer(app, recorded, device, lease.epoch, EndedBy::Owner, &by).await,
                None => Ok(()),
            }
        }
        AnyEvent::Settlement(SettlementEvent::SettlementSettled(e)) => {
            moved(app, recorded, e.movement.moved, &by).await
        }
        AnyEvent::Settlement(SettlementEvent::SettlementResolved(e)) => {
            app.private.end_attention(recorded.stream.as_str(), QUARANTINED).await?;
            match e.resolution {
                Resolution::Moved { movement } => moved(app, recorded, movement.moved, &by).await,
                Resolution::NotMoved {} => held_after_all(app, recorded, &by).await,
            }
        }
        AnyEvent::Settlement(SettlementEvent::SettlementFailed(_)) => {
            held_after_all(app, recorded, &by).await
        }
        AnyEvent::Settlement(SettlementEvent::SettlementWithdrawn(_)) => {
            match disputes::segment_of(app, recorded.stream.key().parse()?).await? {
                Some((contract, segment)) => Ok(disputes::mend(app, contract, segment, &by).await?),
                None => Ok(()),
            }
        }
        AnyEvent::Settlement(SettlementEvent::SettlementQuarantined(e)) => {
            call(app, recorded, QUARANTINED, e.reason).await
        }
        _ => Ok(()),
    }
}

/// A refund that did not move after all is part of the dispute that was opened while it was on its way.
async fn held_after_all(app: &App, recorded: &Recorded, by: &By) -> anyhow::Result<()> {
    if let Some((contract, segment)) = disputes::segment_of(app, recorded.stream.key().parse()?).await? {
        disputes::hold_disputed(app, contract, segment, by).await?;
    }
    Ok(())
}

/// Puts something on the list of what a human should look at.
pub(super) async fn call(app: &App, about: &Recorded, what: &str, detail: String) -> anyhow::Result<()> {
    let (subject, what, since) = (about.stream.to_string(), what.to_owned(), app.clock.time());
    Ok(app.private.call_attention(&Attention { subject, what, detail, since }).await?)
}

async fn end_lease(
    app: &App,
    cause: &Recorded,
    device: DeviceId,
    epoch: Epoch,
    why: LeaseEnd,
    by: &By,
) -> anyhow::Result<()> {
    let command = DeviceCommand::EndLease { epoch, contract: ContractId::of(device, epoch), why };
    carry_out::<Device>(app, cause, &device, command, by).await?;
    // An event handled again must not stop the watch over the lease that came after.
    let watched = app.executor.load::<Device>(&device).await?.state.live_lease().is_some();
    Ok(app.private.watch_device(device, watched, app.clock.time()).await?)
}

/// Destroys the key half of a lease that is over, if its renter does not want to wait for that.
async fn destroy_if_asked(app: &App, device: DeviceId, epoch: Epoch, by: &By) -> anyhow::Result<()> {
    let contract = app.executor.load::<Contract>(&ContractId::of(device, epoch)).await?.state;
    let asked = contract.rental().is_some_and(|rental| rental.erasure_asked);
    if asked && app.executor.load::<Device>(&device).await?.state.is_over(epoch) {
        halves::destroy(app, device, epoch, KeyEnd::Asked, by).await?;
    }
    Ok(())
}

/// Closes a lease's offer.
async fn close_offer(
    app: &App,
    cause: &Recorded,
    device: DeviceId,
    epoch: Epoch,
    ended_by: EndedBy,
    by: &By,
) -> anyhow::Result<()> {
    match contracts::close_offer(app, device, epoch, ended_by, by).await {
        Ok(()) => Ok(()),
        Err(problem) if problem.status().is_server_error() => {
            anyhow::bail!("an offer cannot be closed: {problem}")
        }
        Err(problem) => attention(app, cause, "contract refused", &problem).await,
    }
}

pub(super) async fn carry_out<A: Aggregate>(
    app: &App,
    cause: &Recorded,
    id: &A::Id,
    command: A::Command,
    by: &By,
) -> anyhow::Result<()> {
    let outcome = app.executor.execute::<A>(id, command, by).await.map(|_| ());
    note::<A>(app, cause, outcome).await
}

/// A refusal here means that the event's consequence is impossible: a human must look at it.
async fn note<A: Aggregate>(
    app: &App,
    cause: &Recorded,
    outcome: Result<(), ExecuteError<A::Refusal>>,
) -> anyhow::Result<()> {
    match outcome {
        Ok(()) => Ok(()),
        Err(ExecuteError::Log(e)) => Err(e.into()),
        Err(refused) => attention(app, cause, &format!("{} refused", A::CATEGORY), &refused).await,
    }
}

async fn attention(
    app: &App,
    cause: &Recorded,
    what: &str,
    why: &(dyn std::error::Error + Sync),
) -> anyhow::Result<()> {
    tracing::error!(stream = %cause.stream, position = cause.position, error = %why, "a consequence was refused");
    let detail = format!("event {} ({}): {why}", cause.position, cause.event.kind);
    call(app, cause, what, detail).await
}
