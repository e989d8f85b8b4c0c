//! One try of a payment in the ledger: started, and what came of it.

use domain::{
    event::Revision,
    id::SettlementId,
    money::Money,
    settlement::{Movement, Settlement, SettlementCommand, SettlementDue},
    time::Time,
};

use super::{
    client::Trouble,
    desk::{Desk, Failure, node_id},
};
use crate::{error::Problem, execute::ExecuteError};

/// How settlements that leave by the node are started; recovery goes by it.
pub(super) const SPEND: &str = "openbazaar spend";
pub(super) const REFUND: &str = "openbazaar refund";
pub(super) const REJECT: &str = "openbazaar reject";
pub(super) const DISPUTE: &str = "openbazaar dispute";
pub(super) const FOUND: &str = "openbazaar found";

/// The longest text of a reason, in bytes.
const MAX_REASON: usize = 400;

/// What came of attending to a settlement.
#[derive(Debug)]
pub(super) enum Next {
    /// It came to something.
    Done,
    /// Later; why.
    Wait(String),
}

/// A settlement being attended to.
#[derive(Debug)]
pub(super) struct Case {
    pub id: SettlementId,
    pub due: SettlementDue,
    /// The code of its coin.
    pub coin: String,
    pub revision: Option<Revision>,
    pub attempt: u32,
    /// Why the last try failed.
    pub failed: Option<String>,
    /// When the try under way began, or when it became due.
    pub since: Time,
}

impl Case {
    /// The node's id of its order.
    pub fn order(&self) -> &str {
        node_id(&self.due.order)
    }
}

/// Starts a try; `None` when somebody else was faster.
pub(super) async fn start(desk: &Desk, case: &Case, method: &str) -> Result<Option<Case>, Failure> {
    let command = SettlementCommand::Start { method: method.into() };
    let since = desk.app.clock.time();
    match desk.app.executor.execute_at::<Settlement>(&case.id, command, &desk.by(), case.revision).await {
        Ok(done) => {
            desk.app.catch_up(done.position).await;
            let (revision, attempt) = (done.revision, done.state.attempt());
            let (id, due, coin, failed) = (case.id, case.due.clone(), case.coin.clone(), case.failed.clone());
            Ok(Some(Case { id, due, coin, revision, attempt, failed, since }))
        }
        Err(ExecuteError::Stale { .. } | ExecuteError::Refused(_)) => Ok(None),
        Err(other) => Err(Problem::from(other).into()),
    }
}

async fn report(desk: &Desk, case: &Case, command: SettlementCommand) -> Result<Next, Failure> {
    let done = desk.app.executor.execute::<Settlement>(&case.id, command, &desk.by()).await;
    let done = done.map_err(Problem::from)?;
    desk.app.catch_up(done.position).await;
    Ok(Next::Done)
}

/// It moved.
pub(super) async fn settle(
    desk: &Desk,
    case: &Case,
    txid: &str,
    moved: i128,
    fee: i128,
) -> Result<Next, Failure> {
    let asset = case.due.amount.asset();
    let money = |minor| Money::from_minor(minor, asset).map_err(|e| Problem::internal(&e));
    let network_fee = if fee > 0 { Some(money(fee)?) } else { None };
    let movement = Movement { reference: txid.to_owned(), moved: money(moved)?, network_fee };
    tracing::info!(settlement = %case.id, txid, moved = %movement.moved, "a payment arrived on its way");
    report(desk, case, SettlementCommand::Settle { attempt: case.attempt, movement }).await
}

/// It left without us: started and settled in one go.
pub(super) async fn settle_found(
    desk: &Desk,
    case: &Case,
    txid: &str,
    moved: i128,
    fee: i128,
) -> Result<Next, Failure> {
    match start(desk, case, FOUND).await? {
        Some(case) => settle(desk, &case, txid, moved, fee).await,
        None => Ok(Next::Done),
    }
}

fn cut(mut reason: String) -> String {
    while reason.len() > MAX_REASON {
        reason.pop();
    }
    reason
}

/// It certainly did not move.
pub(super) async fn fail(desk: &Desk, case: &Case, reason: String) -> Result<Next, Failure> {
    tracing::warn!(settlement = %case.id, reason, "a payment failed");
    let why = reason.clone();
    report(desk, case, SettlementCommand::Fail { attempt: case.attempt, reason: cut(reason) }).await?;
    Ok(Next::Wait(why))
}

/// Nobody knows: an operator must find out.
pub(super) async fn quarantine(desk: &Desk, case: &Case, reason: String) -> Result<Next, Failure> {
    tracing::error!(settlement = %case.id, reason, "nobody knows whether a payment moved");
    report(desk, case, SettlementCommand::Quarantine { attempt: case.attempt, reason: cut(reason) }).await
}

/// Whether the time in which a call can still have its effect is over.
pub(super) fn is_over(desk: &Desk, case: &Case) -> bool {
    case.since.plus(desk.settings().unknown_after_s) <= desk.app.clock.time()
}

/// Not proved yet: quarantined when it never will be.
pub(super) async fn unproved(
    desk: &Desk,
    case: &Case,
    what: &str,
    trouble: Option<&Trouble>,
) -> Result<Next, Failure> {
    let said = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    if is_over(desk, case) {
        return quarantine(desk, case, format!("{what}{said}")).await;
    }
    Ok(Next::Wait(format!("{what}{said}")))
}
