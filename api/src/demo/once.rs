//! One whole story on a manual clock.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use domain::{id::DeviceId, money::Money, time::Time};
use fixtures::openbazaar::{Method, Purchase, State};
use serde_json::json;

use super::{
    agents::Machine,
    bazaar::{Renter, btc, rental},
    client::until,
    market::{ADA, Market, Rental},
    visit::{Visit, is_closed, web},
};
use crate::{app::DataDir, clock::Clock, config::Config, openbazaar::Connector, scheduler};

/// When the story begins.
const BEGIN: Time = Time::from_unix(1_772_355_600);
/// How long an agent may take to do what it was told.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the gateway may take to cut a lease that has ended.
const CUT: Duration = Duration::from_secs(1);
const HOUR: i64 = 3_600;
/// Ada's price of an hour, in satoshi.
const PRICE: i128 = 100_000;
/// Looks at the node after which it should be at rest.
const MAX_CYCLES: usize = 40;

/// Tells the story; fails when any of it comes out otherwise.
pub async fn tell(data: &DataDir, mut config: Config, listen: &str) -> anyhow::Result<()> {
    // Hours pass at once here: no device was silent for them.
    config.devices.lost_after_s = 1_000_000;
    let market = Market::open(data, config, Clock::manual(BEGIN), listen, false).await?;
    let connector = Connector::new(&market.app)?.context("there is a node")?;
    let mut story = Story { market, connector, chapter: 0 };
    let told = story.all().await;
    story.market.server.stop().await?;
    told
}

struct Story {
    market: Market,
    connector: Connector,
    chapter: u32,
}

impl Story {
    fn say(&mut self, title: &str, text: &str) {
        self.chapter += 1;
        println!("{:>2}. {} {title:<10} {text}", self.chapter, self.market.app.clock.time());
    }

    async fn all(&mut self) -> anyhow::Result<()> {
        let (device, mut machine) = self.market.enrol("pi-kitchen").await?;
        self.say(
            "enrol",
            &format!("Ada enrols a Raspberry Pi as device {device} and copies its key into agent.json"),
        );
        self.register(device).await?;
        self.list(device).await?;
        let (rented, too_late) = self.rent(device, &machine).await?;
        self.visit(&rented).await?;
        self.reboot(&mut machine).await?;
        self.refuse(&too_late).await?;
        self.extend(&rented).await?;
        self.expire(&rented, device, &machine).await?;
        self.terminate(device).await?;
        self.pay().await?;
        self.market.audit().await?;
        self.market.compare().await?;
        machine.cut_power().await
    }

    /// Lets the connector work until nothing happens any more, on the node or in the ledger.
    async fn work(&mut self) -> anyhow::Result<()> {
        for _ in 0..MAX_CYCLES {
            self.market.settle_down().await?;
            let before = self.market.app.executor.log().head().await?;
            let more = self.connector.cycle().await?;
            self.market.settle_down().await?;
            if !more && self.market.app.executor.log().head().await? == before {
                return Ok(());
            }
        }
        bail!("the connector does not come to rest")
    }

    /// What a renter has of an order that must be fulfilled by now.
    fn handed_over(&self, renter: Renter, order: &str) -> anyhow::Result<Rental> {
        let state = self.market.bazaar.order(order)?.state;
        ensure!(state == State::Fulfilled, "a paid order is fulfilled, not {}", state.name());
        self.market.handed_over(renter, order)
    }

    async fn register(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let lease = self.market.leased(device, 1).await?;
        let text =
            format!("its agent registers: epoch 1, port {}, subdomain {}", lease["port"], lease["subdomain"]);
        self.say("register", &text);
        Ok(())
    }

    async fn list(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let terms = [60, 30 * 24 * HOUR];
        self.market.offer(device, "Raspberry Pi 5 in the kitchen", "0.001", terms).await?;
        self.work().await?;
        let listed = self.market.bazaar.listings().await?;
        let [listing] = &listed[..] else { bail!("OpenBazaar lists one device, not {}", listed.len()) };
        ensure!(listing.slug == rental(device, HOUR), "it is listed by the hour, not as {}", listing.slug);
        let text = format!("Ada asks {} an hour; OpenBazaar lists \"{}\"", btc(PRICE)?, listing.title);
        self.say("list", &text);
        Ok(())
    }

    /// Rita orders and pays; Ron has ordered too, and not paid yet.
    async fn rent(&mut self, device: DeviceId, machine: &Machine) -> anyhow::Result<(Rental, String)> {
        let (bazaar, slug) = (&self.market.bazaar, rental(device, HOUR));
        let (rita, ron) = (self.market.rita, self.market.ron);
        let too_late = bazaar.node.purchase(ron.buyer, Purchase::of(&slug, Method::AddressRequest))?;
        let order = bazaar.buy(rita, &slug, 2)?;
        self.work().await?;
        let rented = self.handed_over(rita, &order)?;
        let login = rented.api.get(&format!("/v1/contracts/{}/credentials", rented.contract)).await?;
        let note = self.market.bazaar.note(&order)?;
        ensure!(
            note.get("password").map(String::as_str) == login["password"].as_str(),
            "one login, told twice"
        );
        ensure!(self.market.bazaar.listings().await?.is_empty(), "what is let is not listed");
        std::fs::write(machine.data().join("thesis.txt"), "Rita's only copy")?;
        let text = format!(
            "Rita pays {} for 2 hours, reads her login in the fulfilled order and saves her thesis",
            btc(2 * PRICE)?,
        );
        self.say("rent", &text);
        Ok((rented, too_late))
    }

    /// Rita reaches her device through the gateway, and nobody else's machine.
    async fn visit(&mut self, rented: &Rental) -> anyhow::Result<()> {
        let visit = Visit::begin(rented).await?;
        let thesis = visit.run("cat thesis.txt").await?;
        ensure!(thesis == "Rita's only copy", "her shell is on her device, not where it says {thesis:?}");
        let site = self.market.site(rented).await?;
        let page = web(&site, self.market.http).await?;
        ensure!(page.contains("thesis.txt"), "her web site is on her device, not what says {page:?}");
        let text = format!(
            "{} leads through the gateway to her device, under the host key in her contract, and {site} to its web server",
            rented.ssh()
        );
        self.say("visit", &text);
        Ok(())
    }

    async fn reboot(&mut self, machine: &mut Machine) -> anyhow::Result<()> {
        let before = machine.times_running();
        machine.cut_power().await?;
        machine.start()?;
        self.resumed(machine, before).await?;
        self.say("reboot", "the power fails; the agent asks, resumes lease 1, and the thesis is still there");
        Ok(())
    }

    /// The agent has come back and says that it runs.
    async fn resumed(&self, machine: &Machine, before: usize) -> anyhow::Result<()> {
        until("the agent resumes after the reboot", PATIENCE, || async {
            Ok((machine.times_running() > before).then_some(()))
        })
        .await?;
        let thesis = std::fs::read_to_string(machine.data().join("thesis.txt"))?;
        ensure!(thesis == "Rita's only copy", "the renter's data survives a reboot");
        Ok(())
    }

    async fn refuse(&mut self, order: &str) -> anyhow::Result<()> {
        self.market.bazaar.node.pay(order, PRICE)?;
        self.work().await?;
        let refused = self.market.bazaar.order(order)?;
        ensure!(refused.state == State::Refunded, "a let device is not let again: {}", refused.state.name());
        let back = self.market.bazaar.node.received(&refused.refund_address);
        ensure!(back == PRICE, "a refused order is refunded in full, not {back} of {PRICE}");
        let back = btc(back)?;
        let text = format!("Ron had ordered the same device and pays too late; all of his {back} are back");
        self.say("refuse", &text);
        Ok(())
    }

    async fn extend(&mut self, rented: &Rental) -> anyhow::Result<()> {
        self.market.app.clock.advance(HOUR);
        let path = format!("/v1/contracts/{}/extensions", rented.contract);
        rented.api.post(&path, json!({ "term_s": HOUR })).await?;
        self.work().await?;
        let listing = self.market.bazaar.extension(rented.contract).await?;
        let listing = listing.context("an extension that was asked for is listed")?;
        let order = self.market.bazaar.buy(rented.renter, &listing.slug, 1)?;
        self.work().await?;
        let note = self.market.bazaar.note(&order)?;
        let until = note.get("until").context("an extension says until when")?;
        ensure!(*until == BEGIN.plus(3 * HOUR).to_string(), "her rental runs 3 hours, not until {until}");
        let price = btc(PRICE)?;
        let text =
            format!("Rita asks for another hour and buys its listing for {price}; she has until {until}");
        self.say("extend", &text);
        Ok(())
    }

    async fn expire(&mut self, rented: &Rental, device: DeviceId, machine: &Machine) -> anyhow::Result<()> {
        let visit = Visit::begin(rented).await?;
        self.market.app.clock.advance(2 * HOUR);
        scheduler::run_all(&self.market.app).await;
        let cut = until("the gateway cuts what has ended", CUT, || async {
            Ok((visit.is_over() && is_closed(&rented.host, rented.port).await).then_some(()))
        });
        cut.await?;
        self.say(
            "expire",
            "the term is over: lease 1 ends, Rita's session is cut, the port answers nobody, the server signs the tombstone",
        );
        self.market.leased(device, 2).await?;
        ensure!(!machine.data().join("thesis.txt").exists(), "ended data is erased before the next lease");
        self.say("erase", "the agent erases Rita's data, sends its receipt and registers again at epoch 2");
        self.work().await
    }

    async fn terminate(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let order = self.market.bazaar.buy(self.market.ron, &rental(device, HOUR), 10)?;
        self.work().await?;
        let rented = self.handed_over(self.market.ron, &order)?;
        self.say("rent", &format!("Ron pays {} for 10 hours on epoch 2", btc(10 * PRICE)?));
        self.market.app.clock.advance(4 * HOUR);
        let path = format!("/v1/contracts/{}", rented.contract);
        let quote = rented.api.get(&format!("{path}/refund-quote")).await?;
        let quoted: Money = serde_json::from_value(quote["total"].clone())?;
        ensure!(quoted.minor() == 6 * PRICE, "6 of 10 hours come back: {quote}");
        rented.api.post(&format!("{path}/termination"), json!({ "quoted_at": quote["at"] })).await?;
        self.work().await?;
        let back = self.market.bazaar.node.received(&self.market.bazaar.order(&order)?.refund_address);
        ensure!(back == quoted.minor(), "{back} came back of the quoted {quoted}");
        let back = btc(back)?;
        self.say("terminate", &format!("after 4 hours Ron ends it; {back} were quoted and are back"));
        self.market.leased(device, 3).await?;
        self.say("erase", "erased again, and back on the market at epoch 3");
        Ok(())
    }

    async fn pay(&mut self) -> anyhow::Result<()> {
        self.market.settle_down().await?;
        scheduler::run_all(&self.market.app).await;
        self.work().await?;
        self.market.bazaar.node.mine(1);
        self.work().await?;
        let payments = self.market.payments().await?.len();
        let arrived = btc(self.market.bazaar.node.received(ADA))?;
        let text = format!("{payments} refunds and payouts have left the node's wallet; Ada has {arrived}");
        self.say("pay", &text);
        Ok(())
    }
}
