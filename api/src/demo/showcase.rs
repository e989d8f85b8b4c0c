//! What the living marketplace lends to whoever looks around in a browser: Ada's devices, Rosa's rental, and coins.

use std::time::Duration;

use anyhow::{Context, ensure};
use domain::{
    account::Role,
    id::{AccountId, DeviceId},
    time::Seconds,
};
use fixtures::openbazaar::State;
use projections::{
    private::PersonPatch,
    views::{
        Page,
        contracts::{ContractScope, ContractStatus},
    },
};
use tokio::sync::mpsc;

use super::{
    agents::Machine,
    bazaar::rental,
    client::until,
    life::{TERM_S, offer},
    market::Market,
};
use crate::{
    error::Problem,
    showcase::{Payment, Purchase, Showcase, Somebody},
};

/// Devices that nobody but Rosa rents, and satoshi for a minute.
const DEVICES: [(&str, &str, i128); 2] = [
    ("pi-workshop", "Raspberry Pi 5 in the workshop", 60_000),
    ("pi-balcony", "Raspberry Pi 4 on the balcony", 40_000),
];
/// Minutes that Rosa rents.
const MINUTES: u32 = 20;
/// How long the connector may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether Rosa still rents something.
const LOOK: Duration = Duration::from_secs(30);
/// Purchases that wait.
const MAX_WAITING: usize = 8;

/// What Rosa does.
pub struct Rosa<'a> {
    market: &'a Market,
    account: AccountId,
    devices: Vec<DeviceId>,
    /// They run as long as this.
    _machines: Vec<Machine>,
    till: mpsc::Receiver<Payment>,
}

impl<'a> Rosa<'a> {
    /// Lets Rosa rent a device, and lends her place, and the others', to whoever looks around.
    pub async fn begin(market: &'a Market) -> anyhow::Result<Self> {
        let (mut devices, mut machines) = (Vec::new(), Vec::new());
        for (name, title, price) in DEVICES {
            let (device, machine) = market.enrol(name).await?;
            offer(market, device, title, price).await?;
            devices.push(device);
            machines.push(machine);
        }
        let first = rental(devices[0], TERM_S);
        until("Rosa's device is listed", PATIENCE, || async {
            let listings = market.bazaar.listings().await?;
            Ok(listings.iter().any(|listing| listing.slug == first).then_some(()))
        })
        .await?;
        let order = market.bazaar.buy(market.rosa, &first, MINUTES)?;
        until("Rosa's order is fulfilled", PATIENCE, || async {
            Ok((market.bazaar.order(&order)?.state == State::Fulfilled).then_some(()))
        })
        .await?;
        let contract = market.handed_over(market.rosa, &order)?.contract;
        let row = market.app.views.contract(contract).await?.context("Rosa's rental is known")?;
        let named = PersonPatch { name: Some(market.rosa.name.into()), ..PersonPatch::default() };
        market.app.private.change_person(row.renter, &named).await?;
        let (till, payments) = mpsc::channel(MAX_WAITING);
        let people = vec![
            lent(
                row.renter,
                "Rosa",
                "She rents a Raspberry Pi: log in to it, extend the rental, or end it.",
                Role::Renter,
            ),
            lent(market.ada.account, "Ada", "She lets five small machines: see them earn.", Role::Owner),
            lent(
                market.auditor.account,
                "Audrey",
                "She replays what happened, event by event.",
                Role::Auditor,
            ),
            lent(
                market.operator.account,
                "Oscar",
                "He runs the marketplace: see what needs a human.",
                Role::Operator,
            ),
        ];
        let set = market.app.showcase.set(Showcase { people, till });
        ensure!(set.is_ok(), "the demo shows itself once");
        Ok(Self { market, account: row.renter, devices, _machines: machines, till: payments })
    }

    /// The devices that nobody else rents.
    pub fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// Buys what visitors want, and keeps something to see.
    pub async fn live(mut self) -> anyhow::Result<()> {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                payment = self.till.recv() => {
                    let Some(Payment { renter, what, done }) = payment else { return Ok(()) };
                    // Whoever asked may be gone.
                    let _ = done.send(self.buy(renter, what).await);
                }
                _ = look.tick() => {
                    if let Err(no) = self.rent_again().await {
                        tracing::warn!(error = %format!("{no:#}"), "Rosa rents nothing");
                    }
                }
            }
        }
    }

    async fn buy(&self, renter: AccountId, what: Purchase) -> Result<(), Problem> {
        if renter != self.account {
            return Err(Problem::forbidden("the demo's coins are Rosa's: look around in her place"));
        }
        let failed = |e: anyhow::Error| Problem::internal(&format!("{e:#}"));
        let (slug, quantity) = match what {
            Purchase::Rental { device, term_s } => (rental(device, TERM_S), minutes(term_s)?),
            Purchase::Extension { contract } => {
                let bazaar = &self.market.bazaar;
                let listing = until("the extension is listed", PATIENCE, || bazaar.extension(contract)).await;
                (listing.map_err(failed)?.slug, 1)
            }
        };
        self.market.bazaar.buy(self.market.rosa, &slug, quantity).map_err(failed)?;
        Ok(())
    }

    async fn rent_again(&self) -> anyhow::Result<()> {
        let scope = ContractScope::Renter(self.account);
        let rented =
            self.market.app.views.contracts(scope, Some(ContractStatus::Running), Page::newest(1)).await?;
        if !rented.is_empty() {
            return Ok(());
        }
        let listings = self.market.bazaar.listings().await?;
        let free = self.devices.iter().map(|device| rental(*device, TERM_S));
        let free = free.into_iter().find(|slug| listings.iter().any(|listing| listing.slug == *slug));
        if let Some(slug) = free {
            self.market.bazaar.buy(self.market.rosa, &slug, MINUTES)?;
        }
        Ok(())
    }
}

fn lent(account: AccountId, name: &str, sees: &'static str, role: Role) -> Somebody {
    Somebody { account, name: name.into(), sees, role }
}

/// Whole minutes, which is what the demo's node sells.
fn minutes(term_s: Seconds) -> Result<u32, Problem> {
    let whole = (term_s > 0 && term_s % TERM_S == 0).then(|| u32::try_from(term_s / TERM_S).ok()).flatten();
    whole.ok_or_else(|| Problem::invalid("the demo sells whole minutes"))
}
