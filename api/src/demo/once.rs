//! One whole story on a manual clock.

use std::time::Duration;

use anyhow::{Context, ensure};
use domain::{
    id::{ContractId, DeviceId},
    money::{Money, Signed},
    time::Time,
};
use projections::views::{MAX_LIMIT, Page, contracts::ContractScope, journal::Accounts};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{
    agents::Machine,
    client::until,
    market::{Market, Somebody},
};
use crate::{app::DataDir, cli::layout, clock::Clock, config::Config, scheduler};

/// When the story begins.
const BEGIN: Time = Time::from_unix(1_772_355_600);
/// How long an agent may take to do what it was told.
const PATIENCE: Duration = Duration::from_secs(20);
const HOUR: i64 = 3_600;

/// Tells the story; fails when any of it comes out otherwise.
pub async fn tell(data: &DataDir, listen: &str) -> anyhow::Result<()> {
    let config = Config::default();
    let clock = Clock::manual(BEGIN);
    let market = Market::open(data, config, clock, listen, false).await?;
    let mut story = Story { market, chapter: 0 };
    let told = story.all().await;
    let Story { market, .. } = story;
    market.server.stop().await?;
    told
}

struct Story {
    market: Market,
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
        let contract = self.rent(device, &machine).await?;
        self.reboot(&mut machine).await?;
        self.order_twice(device).await?;
        self.extend(contract).await?;
        self.expire(device, &machine).await?;
        self.terminate(device).await?;
        self.pay().await?;
        self.audit().await?;
        machine.cut_power().await
    }

    async fn register(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let lease = self.market.leased(device, 1).await?;
        let text =
            format!("its agent registers: epoch 1, port {}, subdomain {}", lease["port"], lease["subdomain"]);
        self.say("register", &text);
        Ok(())
    }

    async fn list(&mut self, device: DeviceId) -> anyhow::Result<()> {
        self.market.offer(device, "Raspberry Pi 5 in the kitchen", "0.60", 60).await?;
        let listed = self.market.rita.api.get("/v1/market").await?;
        ensure!(
            listed["items"].as_array().is_some_and(|items| items.len() == 1),
            "the market lists one device"
        );
        self.say("list", "Ada asks 0.60 USD an hour; the device is on the market");
        Ok(())
    }

    async fn rent(&mut self, device: DeviceId, machine: &Machine) -> anyhow::Result<ContractId> {
        let order = self.market.order("1001", &self.market.rita, device, 2 * HOUR, "1.20");
        let accepted = self.market.shop.api.post("/v1/orders", order).await?;
        let contract: ContractId =
            accepted["contract"].as_str().context("an accepted order has a contract")?.parse()?;
        let login = self.market.rita.api.get(&format!("/v1/contracts/{contract}/credentials")).await?;
        std::fs::write(machine.data().join("thesis.txt"), "Rita's only copy")?;
        let text = format!(
            "Rita pays 1.20 USD for 2 hours, gets {}@{}:{} and saves her thesis",
            login["user"].as_str().unwrap_or_default(),
            login["host"].as_str().unwrap_or_default(),
            login["port"]
        );
        self.say("rent", &text);
        Ok(contract)
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

    async fn order_twice(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let order = self.market.order("1002", &self.market.ron, device, HOUR, "0.60");
        let refused = self.market.shop.api.send(Method::POST, "/v1/orders", Some(order)).await?;
        ensure!(refused.status == StatusCode::CONFLICT, "a let device cannot be let again: {}", refused.body);
        ensure!(refused.body["refund"]["amount"]["amount"] == "0.60", "a refused order is refunded in full");
        self.say(
            "refuse",
            "Ron orders the same device; the order is refused and his 0.60 USD are due back in full",
        );
        Ok(())
    }

    async fn extend(&mut self, contract: ContractId) -> anyhow::Result<()> {
        self.market.app.clock.advance(HOUR);
        let path = format!("/v1/contracts/{contract}/extensions");
        let asked = self.market.rita.api.post(&path, json!({ "term_s": HOUR })).await?;
        let order = json!({
            "order_id": "1003",
            "renter": self.market.rita.id,
            "item": { "kind": "extension", "contract": contract, "extension": asked["extension"] },
            "paid": asked["price"],
        });
        self.market.shop.api.post("/v1/orders", order).await?;
        self.say("extend", "Rita asks for another hour and pays 0.60 USD; her rental runs 3 hours");
        Ok(())
    }

    async fn expire(&mut self, device: DeviceId, machine: &Machine) -> anyhow::Result<()> {
        self.market.app.clock.advance(2 * HOUR);
        scheduler::run_all(&self.market.app).await;
        self.say(
            "expire",
            "the term is over: lease 1 ends, the port is free, the server signs the tombstone",
        );
        self.market.leased(device, 2).await?;
        ensure!(!machine.data().join("thesis.txt").exists(), "ended data is erased before the next lease");
        self.say("erase", "the agent erases Rita's data, sends its receipt and registers again at epoch 2");
        Ok(())
    }

    async fn terminate(&mut self, device: DeviceId) -> anyhow::Result<()> {
        let order = self.market.order("1004", &self.market.ron, device, 10 * HOUR, "6.00");
        let accepted = self.market.shop.api.post("/v1/orders", order).await?;
        let contract = accepted["contract"].as_str().context("an accepted order has a contract")?.to_string();
        self.say("rent", "Ron pays 6.00 USD for 10 hours on epoch 2");
        self.market.app.clock.advance(4 * HOUR);
        let quote = self.market.ron.api.get(&format!("/v1/contracts/{contract}/refund-quote")).await?;
        let end = json!({ "quoted_at": quote["at"] });
        self.market.ron.api.post(&format!("/v1/contracts/{contract}/termination"), end).await?;
        ensure!(quote["total"]["amount"] == "3.60", "6 of 10 hours come back: {quote}");
        self.say("terminate", "after 4 hours Ron ends it; the quote said 3.60 USD and 3.60 USD are due back");
        self.market.leased(device, 3).await?;
        self.say("erase", "erased again, and back on the market at epoch 3");
        Ok(())
    }

    async fn pay(&mut self) -> anyhow::Result<()> {
        self.market.settle_down().await?;
        scheduler::run_all(&self.market.app).await;
        self.market.settle_down().await?;
        let settled = self.market.shop.api.settle_all().await?;
        self.market.settle_down().await?;
        self.say("pay", &format!("the shop settles {settled} refunds and payouts and reports each"));
        Ok(())
    }

    /// Prints who got what, and checks that it is all of what was paid.
    async fn audit(&mut self) -> anyhow::Result<()> {
        let app = &self.market.app;
        let contracts = app.views.contracts(ContractScope::All, None, Page::oldest(100)).await?;
        let name = |id| {
            let people: [(&str, &Somebody); 2] = [("Rita", &self.market.rita), ("Ron", &self.market.ron)];
            people.into_iter().find(|(_, somebody)| somebody.id == id).map_or("?", |(name, _)| name)
        };
        let mut rows = Vec::new();
        for c in &contracts {
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
            let cells = [c.epoch.to_string(), name(c.renter).into(), status, c.paid.decimal().to_string()];
            let money = [c.refunded, owner, fee].map(|m| m.decimal().to_string());
            rows.push(cells.into_iter().chain(money).collect::<Vec<_>>());
        }
        rows.push(["-", "Ron", "refused", "0.60", "0.60", "0.00", "0.00"].map(String::from).to_vec());
        let open = self.market.auditor.api.get("/v1/refunds?status=due").await?;
        ensure!(open["items"].as_array().is_some_and(Vec::is_empty), "every refund is settled");
        println!();
        print!("{}", layout(&["epoch", "renter", "end", "paid", "refunded", "owner", "fee"], &rows));
        let events = app.executor.log().head().await?.map_or(0, |head| head + 1);
        println!(
            "\nAmounts in USD. {events} events hold all of this; paid = refunded + owner + fee in every row."
        );
        self.accounts().await
    }

    /// Prints where every account of the journal ends.
    async fn accounts(&self) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for row in self.market.app.views.balances(Accounts::All, None, MAX_LIMIT).await? {
            let holds = Signed { minor: row.minor, asset: row.asset };
            ensure!(
                row.minor == 0 || !row.account.is_liability(),
                "nothing is owed any more: {}",
                row.account
            );
            rows.push(vec![row.account.to_string(), holds.to_string()]);
        }
        println!(
            "\nWhat is left in escrow are the operator's fees. Every account of the journal ends like this, which"
        );
        println!(
            "`berth export journal | hledger -f - balance --flat --empty` shows of a folder kept with --data:\n"
        );
        print!("{}", layout(&["account", "USD"], &rows));
        Ok(())
    }
}
