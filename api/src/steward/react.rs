//! What follows from each event.

use domain::{
    aggregate::Aggregate,
    any::AnyEvent,
    contract::ContractEvent,
    device::{Device, DeviceCommand, DeviceEvent, LeaseEnd},
    event::{Recorded, SystemPart},
    gateway::{Gateway, GatewayCommand},
    id::{AccountId, ContractId, DeviceId, Epoch, OrderKey, SettlementId},
    money::Money,
    order::OrderEvent,
    policy::EndedBy,
    purse::{Purse, PurseEvent},
    settlement::{Resolution, Settlement, SettlementCommand, SettlementDue, SettlementEvent, SettlementKind},
};
use projections::private::Attention;

use crate::{
    app::App,
    contracts, disputes,
    execute::{By, ExecuteError},
    orders, payouts,
};

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
        AnyEvent::Contract(ContractEvent::RefundIssued(e)) => {
            let (kind, contract) = (SettlementKind::Refund, recorded.stream.key().parse().ok());
            let due = SettlementDue { kind, order: e.order, contract, to: e.renter, amount: e.amount };
            settlement_due(app, recorded, e.settlement, due, &by).await
        }
        AnyEvent::Contract(ContractEvent::PayoutIssued(e)) => {
            let paid = Payout { settlement: e.settlement, order: e.order, owner: e.owner, amount: e.amount };
            pay_out(app, recorded, paid, &by).await
        }
        AnyEvent::Contract(ContractEvent::SegmentPayoutIssued(e)) => {
            let paid = Payout { settlement: e.settlement, order: e.order, owner: e.owner, amount: e.amount };
            pay_out(app, recorded, paid, &by).await
        }
        AnyEvent::Contract(ContractEvent::ModerationIssued(e)) => {
            let (kind, contract) = (SettlementKind::Moderation, recorded.stream.key().parse().ok());
            let due = SettlementDue { kind, order: e.order, contract, to: e.moderator, amount: e.amount };
            settlement_due(app, recorded, e.settlement, due, &by).await
        }
        AnyEvent::Contract(ContractEvent::DisputeOpened(e)) => {
            let contract = recorded.stream.key().parse()?;
            let refund = SettlementId::refund(contract, usize::try_from(e.segment)?);
            // A dispute from before the end has no refund to hold.
            if app.executor.load::<Settlement>(&refund).await?.state.due().is_some() {
                disputes::hold(app, refund, &by).await?;
            }
            Ok(())
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
            carry_out::<Gateway>(app, recorded, &e.gateway, release, &by).await
        }
        AnyEvent::Device(DeviceEvent::EpochErased(_)) => {
            let device: DeviceId = recorded.stream.key().parse()?;
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
        AnyEvent::Settlement(SettlementEvent::SettlementResolved(e)) => match e.resolution {
            Resolution::Moved { movement } => moved(app, recorded, movement.moved, &by).await,
            Resolution::NotMoved => Ok(()),
        },
        AnyEvent::Settlement(SettlementEvent::SettlementQuarantined(e)) => {
            let (subject, since) = (recorded.stream.to_string(), app.clock.time());
            let (what, detail) = ("settlement quarantined".into(), e.reason);
            Ok(app.private.call_attention(&Attention { subject, what, detail, since }).await?)
        }
        _ => Ok(()),
    }
}

/// What an owner is to be paid.
struct Payout {
    settlement: SettlementId,
    order: OrderKey,
    owner: AccountId,
    amount: Money,
}

/// Makes a payout due, or lets it wait: the contract pinned which, so a repetition decides the same.
async fn pay_out(app: &App, recorded: &Recorded, payout: Payout, by: &By) -> anyhow::Result<()> {
    let Payout { settlement, order, owner, amount } = payout;
    if amount.is_zero() {
        return Ok(());
    }
    let contract = recorded.stream.key().parse()?;
    if let Some(minimum) = payouts::minimum(app, contract).await? {
        let (purse, hold) = payouts::held(contract, settlement, order, owner, amount, minimum);
        return carry_out::<Purse>(app, recorded, &purse, hold, by).await;
    }
    let (kind, contract) = (SettlementKind::Payout, Some(contract));
    let due = SettlementDue { kind, order, contract, to: owner, amount };
    settlement_due(app, recorded, settlement, due, by).await
}

/// What really moved is recorded as reported. Of less than was due the rest is due; either way a human must look at it.
async fn moved(app: &App, recorded: &Recorded, moved: Money, by: &By) -> anyhow::Result<()> {
    let id: SettlementId = recorded.stream.key().parse()?;
    let state = app.executor.load::<Settlement>(&id).await?.state;
    let Some(all) = state.due().filter(|due| due.amount != moved).cloned() else { return Ok(()) };
    let due = all.amount;
    if moved.minor() < due.minor() {
        let amount = Money::from_minor(due.minor() - moved.minor(), due.asset())?;
        let rest = SettlementDue { amount, ..all };
        settlement_due(app, recorded, SettlementId::rest_of(id), rest, by).await?;
    }
    tracing::warn!(stream = %recorded.stream, %due, %moved, "another amount moved than was due");
    let (subject, what, since) =
        (recorded.stream.to_string(), "another amount moved".into(), app.clock.time());
    let detail = format!("{due} were due, {moved} moved");
    Ok(app.private.call_attention(&Attention { subject, what, detail, since }).await?)
}

async fn settlement_due(
    app: &App,
    cause: &Recorded,
    id: SettlementId,
    due: SettlementDue,
    by: &By,
) -> anyhow::Result<()> {
    carry_out::<Settlement>(app, cause, &id, SettlementCommand::Due(due), by).await
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

async fn carry_out<A: Aggregate>(
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
    let (subject, what) = (cause.stream.to_string(), what.to_string());
    let detail = format!("event {} ({}): {why}", cause.position, cause.event.kind);
    Ok(app.private.call_attention(&Attention { subject, what, detail, since: app.clock.time() }).await?)
}
