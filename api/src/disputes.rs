//! Disputes: money that waits for a decision, and how it is divided.
//!
//! # Correctness
//! A refund that was issued before the dispute is part of it only if it is held: its settlement is withdrawn, which only
//! succeeds while it is not on its way. [`decide`] finds that out last, so what it divides has not left and cannot leave
//! any more.

use axum::http::StatusCode;
use domain::{
    account::Account,
    contract::{Contract, ContractCommand, ContractRefusal, Verdict, Weights},
    id::{AccountId, ContractId, SettlementId},
    key::Digest,
    settlement::{Settlement, SettlementCommand, SettlementRefusal},
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done, ExecuteError},
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
    by: &By,
) -> Result<Done<Contract>, Problem> {
    let command = ContractCommand::OpenDispute { segment, evidence };
    Ok(app.executor.execute(&contract, command, by).await?)
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
    by: &By,
) -> Result<Done<Contract>, Problem> {
    if let Some(moderator) = moderator
        && !app.executor.load::<Account>(&moderator).await?.state.exists()
    {
        let (detail, action) = ("the moderator has no account", "open one with POST /v1/accounts first");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "moderator-unknown", detail, action));
    }
    let state = app.executor.load::<Contract>(&contract).await?.state;
    let rental = state.rental().ok_or(ContractRefusal::Unknown)?;
    let found = usize::try_from(segment).ok().and_then(|i| rental.segments.get(i));
    let found = found.ok_or(ContractRefusal::SegmentUnknown(segment))?;
    let refund_held = match found.verdict {
        Verdict::Disputed { refunded } if refunded > 0 => {
            hold(app, SettlementId::refund(contract, usize::try_from(segment).unwrap_or(usize::MAX)), by)
                .await?
        }
        _ => false,
    };
    let command = ContractCommand::DecideDispute { segment, weights, moderator, refund_held };
    Ok(app.executor.execute(&contract, command, by).await?)
}

/// Holds a refund back, if it is not on its way; answers whether it is held.
///
/// # Errors
/// When the log cannot be used, or the refund is not due yet: then it must be tried again.
pub async fn hold(app: &App, refund: SettlementId, by: &By) -> Result<bool, Problem> {
    match app.executor.execute::<Settlement>(&refund, SettlementCommand::Withdraw, by).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Refused(SettlementRefusal::Unknown)) => Err(Problem::overloaded()),
        Err(ExecuteError::Refused(_)) => Ok(false),
        Err(other) => Err(other.into()),
    }
}
