//! What happens on the living marketplace.

use std::{collections::HashSet, time::Duration};

use domain::{
    id::{DeviceId, SettlementId},
    money::Money,
    settlement::SettlementKind,
};
use fixtures::openbazaar::State;
use serde_json::json;

use super::{
    agents::Machine,
    bazaar::{Listing, Renter, btc, rental},
    client::until,
    market::{Market, Rental},
};

/// Devices on the market, and satoshi for a minute. A second's worth can still be sent.
const DEVICES: [(&str, &str, i128); 3] = [
    ("pi-kitchen", "Raspberry Pi 5 in the kitchen", 100_000),
    ("pi-attic", "Raspberry Pi 4 in the attic", 50_000),
    ("nuc-office", "Small machine at the office", 200_000),
];
/// Seconds in one piece of what is sold.
pub const TERM_S: i64 = 60;
/// The longest rental; below an hour, so that minutes are listed.
const MAX_TERM_S: i64 = 1_800;
/// How long the connector may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Devices and what renters hold.
pub struct Life<'a> {
    market: &'a Market,
    machines: Vec<Machine>,
    rentals: Vec<Rental>,
    /// Payments that were told of.
    told: HashSet<SettlementId>,
    /// Devices that are not for these people.
    reserved: Vec<DeviceId>,
}

/// Offers a device by the minute, as soon as it holds its first lease.
pub async fn offer(market: &Market, device: DeviceId, title: &str, price: i128) -> anyhow::Result<()> {
    market.leased(device, 1).await?;
    let hour = Money::from_minor(price * 60, "BTC".parse()?)?;
    market.offer(device, title, &hour.decimal().to_string(), [TERM_S, MAX_TERM_S]).await
}

impl<'a> Life<'a> {
    /// Puts the devices on the market.
    pub async fn begin(market: &'a Market, reserved: Vec<DeviceId>) -> anyhow::Result<Self> {
        let (machines, rentals, told) = (Vec::new(), Vec::new(), HashSet::new());
        let mut life = Self { market, machines, rentals, told, reserved };
        for (name, title, price) in DEVICES {
            let (device, machine) = market.enrol(name).await?;
            life.machines.push(machine);
            offer(market, device, title, price).await?;
            life.say(&format!(
                "{name} is enrolled, registered and on OpenBazaar at {} a minute",
                btc(price)?
            ));
        }
        Ok(life)
    }

    /// Says what happened.
    pub fn say(&self, text: &str) {
        println!("{}  {text}", self.market.app.clock.time());
    }

    /// One thing happens.
    pub async fn happen(&mut self, beat: usize) -> anyhow::Result<()> {
        let [rita, ron] = [self.market.rita, self.market.ron];
        match beat % 12 {
            0 => self.rent(beat, &[rita]).await,
            6 => self.rent(beat, &[ron]).await,
            1 => self.extend().await,
            2 | 8 => self.rent(beat, &[ron, rita]).await,
            3 | 9 => self.reboot(beat).await,
            4 => self.leave().await,
            5 | 11 => self.mine().await,
            _ => Ok(()),
        }
    }

    /// Renters order the same at the same time; one of them gets it.
    async fn rent(&mut self, beat: usize, renters: &[Renter]) -> anyhow::Result<()> {
        let mut listed = self.market.bazaar.listings().await?;
        let reserved: Vec<_> = self.reserved.iter().map(|device| rental(*device, TERM_S)).collect();
        listed.retain(|listing| !listing.slug.starts_with("berth-x-") && !reserved.contains(&listing.slug));
        if listed.is_empty() {
            self.say("everything is let");
            return Ok(());
        }
        let Listing { slug, title } = &listed[beat % listed.len()];
        let mut orders = Vec::new();
        for renter in renters {
            orders.push((*renter, self.market.bazaar.buy(*renter, slug, 1)?));
        }
        let mut refused = Vec::new();
        for (renter, order) in orders {
            if self.decided(&order).await? == State::Refunded {
                refused.push(renter.name);
                continue;
            }
            let rental = self.market.handed_over(renter, &order)?;
            let (name, site) = (renter.name, self.market.site(&rental).await?);
            self.say(&format!(
                "{name} rents \"{title}\", token {}, and until the term is over:",
                rental.token
            ));
            println!("{:22}{}    # password {}", "", rental.ssh(), rental.password);
            println!("{:22}curl {site}", "");
            self.rentals.push(rental);
        }
        for name in refused {
            self.say(&format!("{name} wanted \"{title}\" too; it was let, and all is paid back"));
        }
        Ok(())
    }

    /// Waits until an order was handed over or paid back.
    async fn decided(&self, order: &str) -> anyhow::Result<State> {
        until("a paid order is fulfilled or refunded", PATIENCE, || async {
            let state = self.market.bazaar.order(order)?.state;
            Ok(matches!(state, State::Fulfilled | State::Refunded).then_some(state))
        })
        .await
    }

    /// The newest rental that still runs.
    async fn running(&mut self) -> anyhow::Result<Option<&Rental>> {
        while let Some(rental) = self.rentals.last() {
            let contract = rental.api.get(&format!("/v1/contracts/{}", rental.contract)).await?;
            if contract["status"] == "running" {
                break;
            }
            self.rentals.pop();
        }
        Ok(self.rentals.last())
    }

    async fn extend(&mut self) -> anyhow::Result<()> {
        let market = self.market;
        let Some(rental) = self.running().await? else { return Ok(()) };
        let (renter, contract) = (rental.renter, rental.contract);
        rental.api.post(&format!("/v1/contracts/{contract}/extensions"), json!({ "term_s": TERM_S })).await?;
        let listing =
            until("the extension is listed", PATIENCE, || market.bazaar.extension(contract)).await?;
        let order = market.bazaar.buy(renter, &listing.slug, 1)?;
        let name = renter.name;
        match self.decided(&order).await? {
            State::Fulfilled => self.say(&format!("{name} buys \"{}\"", listing.title)),
            _ => self.say(&format!("{name} pays for more time, too late; all is paid back")),
        }
        Ok(())
    }

    async fn reboot(&mut self, beat: usize) -> anyhow::Result<()> {
        let which = beat / 6 % self.machines.len();
        self.machines[which].cut_power().await?;
        self.machines[which].start()?;
        self.say(&format!("the power of {} fails and comes back", DEVICES[which].0));
        Ok(())
    }

    async fn leave(&mut self) -> anyhow::Result<()> {
        let Some(rental) = self.running().await? else { return Ok(()) };
        let (name, path) = (rental.renter.name, format!("/v1/contracts/{}", rental.contract));
        let quote = rental.api.get(&format!("{path}/refund-quote")).await?;
        let total: Money = serde_json::from_value(quote["total"].clone())?;
        rental.api.post(&format!("{path}/termination"), json!({ "quoted_at": quote["at"] })).await?;
        self.say(&format!("{name} leaves early and is to get {} back", btc(total.minor())?));
        Ok(())
    }

    /// A block is found; the wallet and the journal agree as soon as no payment is on its way.
    async fn mine(&self) -> anyhow::Result<()> {
        self.market.bazaar.node.mine(1);
        let gained = until("the wallet and the journal agree", PATIENCE, || async {
            let (holds, cash) = (self.market.bazaar.holds(), self.market.cash().await?);
            Ok((holds == cash).then_some(cash))
        })
        .await?;
        let gained = btc(gained)?;
        self.say(&format!("a block is mined; the wallet has gained {gained}, and the journal says the same"));
        Ok(())
    }

    /// Says what was paid since the last time.
    pub async fn tell_payments(&mut self) -> anyhow::Result<()> {
        let payments = self.market.payments().await?;
        for payment in payments.iter().rev().filter(|payment| !self.told.contains(&payment.settlement)) {
            let what = if payment.kind == SettlementKind::Payout { "payout" } else { "refund" };
            let (name, address) = (self.market.name(payment.recipient).await?, self.market.address(payment)?);
            let moved = btc(payment.moved.map_or(0, Money::minor))?;
            self.say(&format!("a {what} of {moved} arrives at {name}'s address {address}"));
        }
        self.told = payments.iter().map(|payment| payment.settlement).collect();
        Ok(())
    }
}
