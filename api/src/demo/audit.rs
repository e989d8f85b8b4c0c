//! The end of the story: who got what, and where every account of the journal ends.

use anyhow::{Context, ensure};
use domain::money::{Money, Signed};
use projections::views::{
    MAX_LIMIT, Page,
    contracts::ContractScope,
    journal::Accounts,
    orders::{OrderRow, OrderScope, OrderStatus},
};

use super::market::Market;
use crate::cli::layout;

impl Market {
    /// Prints who got what, and checks that it is all of what was paid.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let app = &self.app;
        let mut rows = Vec::new();
        for c in &app.views.contracts(ContractScope::All, None, Page::oldest(MAX_LIMIT)).await? {
            let zero = Money::zero(c.paid.asset());
            let (owner, fee) = (c.payout.unwrap_or(zero), c.fee.unwrap_or(zero));
            let parts = c.refunded.plus(owner).and_then(|sum| sum.plus(fee));
            ensure!(
                parts == Some(c.paid),
                "contract {}: {parts:?} is not what was paid, {}",
                c.contract,
                c.paid
            );
            let status = format!("{:?}", c.status).to_lowercase();
            let cells = [c.epoch.to_string(), self.name(c.renter).await?, status];
            let money = [c.paid, c.refunded, owner, fee].map(|m| m.decimal().to_string());
            rows.push(cells.into_iter().chain(money).collect::<Vec<_>>());
        }
        for order in &app.views.orders(OrderScope::All, Page::oldest(MAX_LIMIT)).await? {
            if order.status == OrderStatus::Rejected {
                rows.push(self.refused(order).await?);
            }
        }
        let open = self.auditor.api.get("/v1/refunds?status=due").await?;
        ensure!(open["items"].as_array().is_some_and(Vec::is_empty), "every refund is settled");
        println!();
        print!("{}", layout(&["epoch", "renter", "end", "paid", "refunded", "owner", "fee"], &rows));
        let events = app.executor.log().head().await?.map_or(0, |head| head + 1);
        println!(
            "\nAmounts in BTC. {events} events hold all of this; paid = refunded + owner + fee in every row."
        );
        self.accounts().await
    }

    /// The row of an order that was refused.
    async fn refused(&self, order: &OrderRow) -> anyhow::Result<Vec<String>> {
        let settlement = order.settlement.context("a refused order is paid back")?;
        let back = self.app.views.settlement(settlement).await?.and_then(|row| row.moved);
        ensure!(back == Some(order.paid), "{back:?} of {} went back", order.paid);
        let (paid, zero) = (order.paid.decimal().to_string(), Money::zero(order.paid.asset()));
        let zero = zero.decimal().to_string();
        let cells = ["-".into(), self.name(order.renter).await?, "refused".into()];
        Ok(cells.into_iter().chain([paid.clone(), paid, zero.clone(), zero]).collect())
    }

    /// Prints where every account of the journal ends.
    async fn accounts(&self) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for row in self.app.views.balances(Accounts::All, None, MAX_LIMIT).await? {
            let holds = Signed { minor: row.minor, asset: row.asset };
            ensure!(
                row.minor == 0 || !row.account.is_liability(),
                "nothing is owed any more: {}",
                row.account
            );
            rows.push(vec![row.account.to_string(), holds.to_string()]);
        }
        println!(
            "\nWhat is left in escrow are the operator's fees, and miners were paid by the operator. Every account of"
        );
        println!(
            "the journal ends like this, which `berth export journal | hledger -f - balance --flat --empty` shows of"
        );
        println!("a folder kept with --data:\n");
        print!("{}", layout(&["account", "BTC"], &rows));
        Ok(())
    }
}
