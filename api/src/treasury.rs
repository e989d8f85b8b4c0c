//! Fees that the operator takes out of escrow.
//!
//! # Correctness
//! What was earned is asked of the views when they hold all that the log held before. Earnings are read before costs, so
//! what is settled in between makes the sum smaller, never larger; the treasury's stream knows what was taken out.

use std::time::Duration;

use domain::{
    id::MarketplaceName,
    journal::Account,
    money::{Asset, Money},
    treasury::{Treasury, TreasuryCommand},
};

use crate::{
    app::App,
    error::Problem,
    execute::{By, Done},
};

/// How long the views may take to know what was earned.
const PATIENCE: Duration = Duration::from_secs(5);

/// A sweep that was recorded.
#[derive(Debug)]
pub struct Swept {
    /// What was written.
    pub done: Done<Treasury>,
    /// Earned fees that are left in escrow, in minor units; below 0 when settlements have cost more since.
    pub left: i128,
}

/// Records that earned fees were taken out of a marketplace's escrow.
///
/// # Errors
/// When more was taken than is left, nothing was taken, or the reference stands for another sweep.
pub async fn sweep(
    app: &App,
    marketplace: &MarketplaceName,
    amount: Money,
    reference: String,
    by: &By,
) -> Result<Swept, Problem> {
    let earned = earned(app, marketplace, amount.asset()).await?;
    let command = TreasuryCommand::Sweep { amount, reference, earned };
    let done = app.executor.execute::<Treasury>(marketplace, command, by).await?;
    let left = earned - done.state.swept(amount.asset());
    Ok(Swept { done, left })
}

/// All fees earned at a marketplace in an asset, less what settlements have cost, in minor units.
async fn earned(app: &App, marketplace: &MarketplaceName, asset: Asset) -> Result<i128, Problem> {
    if let Some(head) = app.executor.log().head().await?
        && !app.views.wait_for(head, PATIENCE).await?
    {
        return Err(Problem::overloaded());
    }
    // A credit is negative.
    let income = -app.views.balance(&Account::FeeIncome(marketplace.clone()), asset).await?;
    let network = app.views.balance(&Account::NetworkFees(marketplace.clone()), asset).await?;
    let overpaid = app.views.balance(&Account::Overpaid(marketplace.clone()), asset).await?;
    Ok(income - network - overpaid)
}
