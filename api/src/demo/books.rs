//! The ledger held against the node: what arrived at every address, and what is in the wallet.

use anyhow::ensure;
use domain::{
    journal::Account,
    money::{Asset, Signed},
    settlement::SettlementKind,
};
use projections::views::{
    MAX_LIMIT, Page,
    orders::OrderScope,
    settlements::{SettlementFilter, SettlementRow, SettlementStatus},
};

use super::{
    bazaar::{COIN, FUNDS},
    market::{ADA, Market},
};
use crate::cli::layout;

/// Where somebody is paid.
struct Address {
    whose: String,
    address: String,
    /// What the ledger says went there, in satoshi.
    recorded: i128,
}

impl Market {
    /// The latest payments that arrived, the newest first.
    pub async fn payments(&self) -> anyhow::Result<Vec<SettlementRow>> {
        let wanted =
            SettlementFilter { status: Some(SettlementStatus::Settled), ..SettlementFilter::default() };
        Ok(self.app.views.settlements(wanted, Page::newest(MAX_LIMIT)).await?)
    }

    /// Where a payment went.
    pub fn address(&self, payment: &SettlementRow) -> anyhow::Result<String> {
        match payment.kind {
            SettlementKind::Payout => Ok(ADA.into()),
            _ => Ok(self.bazaar.order(payment.order_key.id.as_str())?.refund_address),
        }
    }

    /// What the journal says is in the wallet and in the escrow of orders, in satoshi.
    pub async fn cash(&self) -> anyhow::Result<i128> {
        let (shop, asset) = (&self.app.config.openbazaar.marketplace, "BTC".parse::<Asset>()?);
        let mut cash = 0;
        for account in [Account::EscrowCash(shop.clone()), Account::PlatformCash(shop.clone())] {
            cash += self.app.views.balance(&account, asset).await?;
        }
        Ok(cash)
    }

    async fn addresses(&self) -> anyhow::Result<Vec<Address>> {
        let mut all = vec![Address { whose: "Ada, payouts".into(), address: ADA.into(), recorded: 0 }];
        for order in self.app.views.orders(OrderScope::All, Page::oldest(MAX_LIMIT)).await? {
            let (name, paid) = (self.name(order.renter).await?, order.paid);
            let address = self.bazaar.order(order.order_key.id.as_str())?.refund_address;
            all.push(Address { whose: format!("{name}, refunds of {paid}"), address, recorded: 0 });
        }
        for payment in self.payments().await? {
            let to = self.address(&payment)?;
            let moved = payment.moved.map_or(0, domain::money::Money::minor);
            all.iter_mut().filter(|known| known.address == to).for_each(|known| known.recorded += moved);
        }
        Ok(all)
    }

    /// Prints what the node's chain and wallet say beside what the ledger says, and fails unless they agree.
    pub async fn compare(&self) -> anyhow::Result<()> {
        let asset: Asset = "BTC".parse()?;
        let text = |minor| Signed { minor, asset }.to_string();
        let mut rows = Vec::new();
        for Address { whose, address, recorded } in self.addresses().await? {
            let arrived = self.bazaar.node.received(&address);
            ensure!(arrived == recorded, "{arrived} arrived at {address}, and the ledger says {recorded}");
            rows.push(vec![whose, address, text(recorded), text(arrived)]);
        }
        println!("\nWhat arrived on the node's chain is what the ledger says, at every address:\n");
        print!("{}", layout(&["who", "address", "ledger", "chain"], &rows));
        let (wallet, holds, cash) =
            (self.bazaar.node.wallet_total(COIN), self.bazaar.holds(), self.cash().await?);
        ensure!(
            holds == cash,
            "the wallet holds {holds} more than it began with, and the journal says {cash}"
        );
        println!(
            "\nThe node's wallet holds {} {COIN}, {} more than the {} that it began with;",
            text(wallet),
            text(holds),
            text(FUNDS)
        );
        println!("the journal has {} in escrow and in the operator's cash.", text(cash));
        Ok(())
    }
}
