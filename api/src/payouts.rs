//! Payouts that are too small to be sent wait in a purse.

use domain::{
    contract::Contract,
    id::{AccountId, ContractId, OrderKey, SettlementId},
    money::Money,
    purse::{PayoutHeld, Purse, PurseCommand, PurseId},
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done, ExecutorError},
};

/// The smallest payout that a contract sends, as it was pinned; `None` when any is sent.
///
/// # Errors
/// When the log cannot be read.
pub async fn minimum(app: &App, contract: ContractId) -> Result<Option<Money>, ExecutorError> {
    let state = app.executor.load::<Contract>(&contract).await?.state;
    Ok(state.rental().and_then(|rental| rental.started.policy.minimum_payout))
}

/// A payout that waits: whose purse it goes into, and how.
#[must_use]
pub fn held(
    contract: ContractId,
    payout: SettlementId,
    order: OrderKey,
    owner: AccountId,
    amount: Money,
    minimum: Money,
) -> (PurseId, PurseCommand) {
    let id = PurseId { owner, marketplace: order.marketplace.clone(), asset: amount.asset() };
    let payout = PayoutHeld { payout, contract, order, amount };
    (id, PurseCommand::Hold { owner, payout, minimum })
}

/// Releases all that waits for an owner at one marketplace in one asset, however little.
///
/// # Errors
/// When the log cannot be used.
pub async fn release(app: &App, purse: &PurseId, by: &By) -> Result<Done<Purse>, Problem> {
    let command = PurseCommand::Release { owner: purse.owner };
    Ok(app.executor.execute::<Purse>(purse, command, by).await?)
}
