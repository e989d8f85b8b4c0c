//! Orders: how a received payment becomes a segment of a contract, or goes back.
//!
//! # Shape
//! [`receive`] records the payment and waits for the steward's decision; [`honour`] is that decision: start or extend
//! the contract, then accept the order, or else reject it.
//!
//! # Correctness
//! The contract decides, in its own stream; the order only records what came of it. Both steps are idempotent by the
//! order's id, so a crash between them is mended by running [`honour`] again.

use std::time::Duration;

use axum::http::StatusCode;
use domain::{
    account::{Account, Role},
    contract::{Contract, ContractCommand, Rental},
    device::Device,
    event::Position,
    id::{AccountId, ContractId, DeviceId, OrderKey},
    money::Money,
    order::{Fate, Order, OrderCommand, OrderItem, OrderReceived, RejectReason},
    policy::Policy,
    time::Seconds,
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, ExecuteError, ExecutorError},
};

/// How long a marketplace waits for the decision.
const PATIENCE: Duration = Duration::from_secs(8);
/// How many leases back an order's contract is looked for: an undecided order holds the steward up, so few can pass.
const EPOCHS_BACK: usize = 8;
/// How often the order is looked at without a hint.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A received order and what became of it.
#[derive(Debug, Clone)]
pub struct Received {
    /// What was received.
    pub order: OrderReceived,
    /// What became of it; `None` when that is not decided yet.
    pub fate: Option<Fate>,
    /// Whether this request was the first to bring it.
    pub new: bool,
    /// What was written.
    pub position: Option<Position>,
}

/// Records a payment and waits for what becomes of it.
///
/// # Errors
/// When the renter has no account, nothing was paid, or the id was received with other contents; then nothing is
/// recorded.
pub async fn receive(
    app: &App,
    order: OrderKey,
    item: OrderItem,
    renter: AccountId,
    paid: Money,
    by: &By,
) -> Result<Received, Problem> {
    let account = app.executor.load::<Account>(&renter).await?.state;
    if !account.may(Role::Renter) {
        let (detail, action) =
            ("the renter has no account with the role renter", "open one with POST /v1/accounts first");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "renter-unknown", detail, action));
    }
    let command = OrderCommand::Receive { order: order.clone(), item, renter, paid };
    let done = app.executor.execute::<Order>(&order, command, by).await?;
    let received =
        done.state.received().cloned().ok_or_else(|| Problem::internal(&"a received order is empty"))?;
    let fate = decided(app, &order).await?;
    Ok(Received { order: received, fate, new: done.position.is_some(), position: done.position })
}

async fn decided(app: &App, order: &OrderKey) -> Result<Option<Fate>, ExecutorError> {
    let mut hint = app.executor.log().follow();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        hint.mark_unchanged();
        let state = app.executor.load::<Order>(order).await?.state;
        if state.fate().is_some() || tokio::time::Instant::now() >= deadline {
            return Ok(state.fate().cloned());
        }
        let _ = tokio::time::timeout(LOOK_AGAIN, hint.changed()).await;
    }
}

/// Decides a received order, or finishes deciding it.
///
/// # Errors
/// When the log cannot be used; then it must be tried again.
pub async fn honour(app: &App, received: &OrderReceived, by: &By) -> Result<(), ExecutorError> {
    if app.executor.load::<Order>(&received.order).await?.state.fate().is_some() {
        return Ok(());
    }
    let honoured = match &received.item {
        OrderItem::Rental { device, term_s } => start(app, received, *device, *term_s, by).await?,
        OrderItem::Extension { contract, extension } => {
            let (order, paid) = (received.order.clone(), received.paid);
            run(app, *contract, ContractCommand::Extend { extension: *extension, order, paid }, by).await?
        }
        OrderItem::Unsellable { why, .. } => Err(why.reason()),
    };
    let command = match honoured {
        Ok((contract, rental)) => {
            let segment = rental.segments.iter().find(|segment| segment.order == received.order);
            let segment = segment.map_or(rental.started.segment, |segment| segment.term);
            OrderCommand::Accept { contract, segment }
        }
        Err(reason) => OrderCommand::Reject { reason },
    };
    match app.executor.execute::<Order>(&received.order, command, by).await {
        Ok(_) => Ok(()),
        Err(ExecuteError::Log(e)) => Err(e),
        Err(other) => {
            tracing::error!(order = %received.order, error = %other, "an order was decided twice");
            Ok(())
        }
    }
}

type Honoured = Result<(ContractId, Rental), RejectReason>;

async fn start(
    app: &App,
    received: &OrderReceived,
    device: DeviceId,
    term_s: Seconds,
    by: &By,
) -> Result<Honoured, ExecutorError> {
    let state = app.executor.load::<Device>(&device).await?.state;
    // A crash may have come between the contract's start and the order's acceptance; by now the lease may be over.
    let latest = state.lease().map_or(0, |lease| lease.granted.epoch);
    for epoch in (1..=latest).rev().take(EPOCHS_BACK) {
        let contract = ContractId::of(device, epoch);
        let rental = app.executor.load::<Contract>(&contract).await?.state.rental().cloned();
        if let Some(rental) = rental.filter(|rental| rental.started.order == received.order) {
            return Ok(Ok((contract, rental)));
        }
    }
    let rentable = match state.rentable() {
        Ok(rentable) => rentable,
        Err(reason) => return Ok(Err(reason)),
    };
    let contract = ContractId::of(device, rentable.epoch);
    let (order, renter, paid) = (received.order.clone(), received.renter, received.paid);
    let minimum_payout = app.config.payouts.minimum(paid.asset()).ok().flatten();
    let policy = Policy { minimum_payout, ..app.config.policy.clone() };
    run(app, contract, ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy }, by)
        .await
}

async fn run(
    app: &App,
    contract: ContractId,
    command: ContractCommand,
    by: &By,
) -> Result<Honoured, ExecutorError> {
    match app.executor.execute::<Contract>(&contract, command, by).await {
        Ok(done) => {
            let rental = done.state.rental().cloned().ok_or(RejectReason::ContractUnknown);
            Ok(rental.map(|rental| (contract, rental)))
        }
        Err(ExecuteError::Refused(refusal)) => Ok(Err(refusal.reject_reason())),
        Err(ExecuteError::Log(e)) => Err(e),
        Err(ExecuteError::Stale { .. }) => Ok(Err(RejectReason::ContractUnknown)),
    }
}
