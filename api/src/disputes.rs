//! Disputes: money that waits for a decision, and how it is divided.
//!
//! # Correctness
//! A refund that was issued before the dispute is part of it only if it is held: its settlement is withdrawn, which only
//! succeeds while it is not on its way. [`decide`] finds that out last, so what it divides has not left and cannot leave
//! any more. The other way round, a refund may be withdrawn by whoever saw the dispute open while a decision goes by that
//! it is on its way; whoever sees the decision or the withdrawal last, [`mend`] makes it due again.

use axum::http::StatusCode;
use domain::{
    account::Account,
    contract::{Contract, ContractCommand, Verdict, Weights},
    event::Revision,
    id::{AccountId, ContractId, SettlementId},
    key::Digest,
    settlement::{Settlement, SettlementCommand, SettlementRefusal},
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done, ExecuteError, ExecutorError},
};

/// Lets a segment's money wait for a decision.
///
/// # Errors
/// When there is no such segment or its money is decided.
pub async fn open(
    app: &App,
    contract: ContractId,
    segment: u32,
    evidence: Option<Digest>,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Contract>, Problem> {
    let command = ContractCommand::OpenDispute { segment, evidence };
    execute(app, contract, command, only_at, by).await
}

async fn execute(
    app: &App,
    contract: ContractId,
    command: ContractCommand,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Contract>, Problem> {
    Ok(match only_at {
        Some(revision) => app.executor.execute_at(&contract, command, by, revision).await?,
        None => app.executor.execute(&contract, command, by).await?,
    })
}

/// Divides a disputed segment's money.
///
/// # Errors
/// When nobody disputes it, the weights divide nothing, or the moderator has no account.
pub async fn decide(
    app: &App,
    contract: ContractId,
    segment: u32,
    weights: Weights,
    moderator: Option<AccountId>,
    only_at: Option<Option<Revision>>,
    by: &By,
) -> Result<Done<Contract>, Problem> {
    if let Some(moderator) = moderator
        && app.executor.load::<Account>(&moderator).await?.state.roles().is_empty()
    {
        let (detail, action) =
            ("the moderator has no account, or none with a role", "open one with POST /v1/accounts first");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "moderator-unknown", detail, action));
    }
    let refund_held = hold_disputed(app, contract, segment, by).await?;
    let command = ContractCommand::DecideDispute { segment, weights, moderator, refund_held };
    execute(app, contract, command, only_at, by).await
}

/// Holds back the refund of a segment that is disputed, if it was issued and is not on its way; answers whether it is
/// held.
///
/// # Errors
/// When the log cannot be used.
pub async fn hold_disputed(app: &App, contract: ContractId, segment: u32, by: &By) -> Result<bool, Problem> {
    match verdict(app, contract, segment).await? {
        Some(Verdict::Disputed { refunded, .. }) if refunded > 0 => {
            hold(app, refund(contract, segment), by).await
        }
        _ => Ok(false),
    }
}

/// Makes a refund due again that was withdrawn although the dispute was decided without it.
///
/// # Errors
/// When the log cannot be used.
pub async fn mend(app: &App, contract: ContractId, segment: u32, by: &By) -> Result<(), Problem> {
    match verdict(app, contract, segment).await? {
        Some(Verdict::Decided(division)) if division.gone > 0 => {
            let refund = refund(contract, segment);
            match app.executor.execute::<Settlement>(&refund, SettlementCommand::Reinstate, by).await {
                Ok(_) | Err(ExecuteError::Refused(SettlementRefusal::Unknown)) => Ok(()),
                Err(other) => Err(other.into()),
            }
        }
        _ => Ok(()),
    }
}

/// The refund that a segment's end or close issued, if it did.
fn refund(contract: ContractId, segment: u32) -> SettlementId {
    SettlementId::refund(contract, usize::try_from(segment).unwrap_or(usize::MAX))
}

/// How the money of a segment is decided.
async fn verdict(app: &App, contract: ContractId, segment: u32) -> Result<Option<Verdict>, ExecutorError> {
    let state = app.executor.load::<Contract>(&contract).await?.state;
    let i = usize::try_from(segment).unwrap_or(usize::MAX);
    Ok(state.rental().and_then(|rental| rental.segments.get(i)).map(|segment| segment.verdict))
}

/// The segment whose refund a settlement is, if it is the refund of one.
///
/// # Errors
/// When the log cannot be read.
pub async fn segment_of(app: &App, refund: SettlementId) -> Result<Option<(ContractId, u32)>, ExecutorError> {
    let due = app.executor.load::<Settlement>(&refund).await?.state.due().cloned();
    let Some(contract) = due.as_ref().and_then(|due| due.contract) else { return Ok(None) };
    let state = app.executor.load::<Contract>(&contract).await?.state;
    let count = state.rental().map_or(0, |rental| rental.segments.len());
    let found = (0..count).position(|i| SettlementId::refund(contract, i) == refund);
    Ok(found.and_then(|i| u32::try_from(i).ok()).map(|segment| (contract, segment)))
}

/// Holds a refund back, if it is not on its way; answers whether it is held.
///
/// # Errors
/// When the log cannot be used, or the refund is not due yet: then it must be tried again.
async fn hold(app: &App, refund: SettlementId, by: &By) -> Result<bool, Problem> {
    match app.executor.execute::<Settlement>(&refund, SettlementCommand::Withdraw, by).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Refused(SettlementRefusal::Unknown)) => Err(Problem::overloaded()),
        Err(ExecuteError::Refused(_)) => Ok(false),
        Err(other) => Err(other.into()),
    }
}
