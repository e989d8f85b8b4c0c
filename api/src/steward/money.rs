//! What follows for money: what was issued becomes due, or waits; what moved is compared with what was due.
//!
//! # Correctness
//! Each settlement has one id that follows from what issued it, so a repetition makes nothing due twice. Whether a payout
//! waits in a purse was pinned when its contract started: no later configuration can make it due both ways.

use domain::{
    contract::ContractEvent,
    event::Recorded,
    id::SettlementId,
    money::Money,
    purse::Purse,
    settlement::{Settlement, SettlementCommand, SettlementDue, SettlementKind},
};

use super::react::{call, carry_out};
use crate::{app::App, execute::By, payouts};

/// Makes a settlement due.
pub(super) async fn settlement_due(
    app: &App,
    cause: &Recorded,
    id: SettlementId,
    due: SettlementDue,
    by: &By,
) -> anyhow::Result<()> {
    carry_out::<Settlement>(app, cause, &id, SettlementCommand::Due(due), by).await
}

/// Makes due what a contract's event issued. A payout may have to wait: the contract pinned that, so a repetition
/// decides the same.
pub(super) async fn issued(
    app: &App,
    recorded: &Recorded,
    event: &ContractEvent,
    by: &By,
) -> anyhow::Result<()> {
    let contract = recorded.stream.key().parse()?;
    let Some((settlement, due)) = event.settlement(contract) else { return Ok(()) };
    if due.kind == SettlementKind::Payout
        && let Some(minimum) = payouts::minimum(app, contract).await?
    {
        let (purse, hold) = payouts::held(contract, settlement, due.order, due.to, due.amount, minimum);
        return carry_out::<Purse>(app, recorded, &purse, hold, by).await;
    }
    settlement_due(app, recorded, settlement, due, by).await
}

/// What really moved is recorded as reported. Of less than was due the rest is due; either way a human must look at it.
pub(super) async fn moved(app: &App, recorded: &Recorded, moved: Money, by: &By) -> anyhow::Result<()> {
    let id: SettlementId = recorded.stream.key().parse()?;
    let state = app.executor.load::<Settlement>(&id).await?.state;
    let Some(due) = state.due().map(|due| due.amount).filter(|due| *due != moved) else { return Ok(()) };
    if let Some((rest, due)) = state.rest(id) {
        settlement_due(app, recorded, rest, due, by).await?;
    }
    tracing::warn!(stream = %recorded.stream, %due, %moved, "another amount moved than was due");
    call(app, recorded, "another amount moved", format!("{due} were due, {moved} moved")).await
}
