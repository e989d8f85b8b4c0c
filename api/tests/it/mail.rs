//! Mail: what people are told arrives once, whatever breaks meanwhile.

mod faults;
mod files;
mod process;
mod reminders;
mod story;

use std::time::Duration;

use api::config::{Config, Secret};
use serde_json::{Value, json};

use crate::{
    app::{Reply, TestApp},
    receiver::until,
    sink::Sink,
    world::{Device, Who, usd},
};

/// Long enough for what is due to be looked at.
const A_LOOK: Duration = Duration::from_millis(700);

/// A town whose people have addresses.
pub struct Town {
    pub test: TestApp,
    pub sink: Sink,
    pub owner: Who,
    pub renter: Who,
    shop: Who,
    device: Device,
}

impl Town {
    /// A town with a mail server.
    pub async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let (sink, mut config) = (Sink::new().await, Config::default());
        config.devices.lost_after_s = 10_000_000;
        config.mail.smtp = Secret(sink.url());
        config.mail.from = "Berth <berth@berth.example>".into();
        config.web.url = "https://berth.example".into();
        change(&mut config);
        let test = TestApp::with(config).await;
        let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
        let shop = test.account(&["marketplace"], Some("shop")).await;
        for (who, address) in [(&owner, "otto@example.org"), (&renter, "rita@example.org")] {
            let path = format!("/v1/accounts/{}", who.id);
            test.patch(&path, &who.token, &json!({"email": address})).await.ok();
        }
        let device = test.offered(&owner).await;
        Self { test, sink, owner, renter, shop, device }
    }

    /// A rental of this term at 0.60 USD an hour; answers with the contract.
    pub async fn rent(&self, term_s: i64, paid: &str) -> String {
        let order = self.test.order(&self.shop, &self.renter, &self.device, term_s, usd(paid)).await;
        self.test.settle().await;
        order.id("contract")
    }

    async fn extend(&self, contract: &str, term_s: i64, paid: &str) {
        let path = format!("/v1/contracts/{contract}/extensions");
        let asked = self.test.post(&path, &self.renter.token, &json!({"term_s": term_s})).await;
        let item = json!({"kind": "extension", "contract": contract, "extension": asked.id("extension")});
        let id = format!("extension-{}", self.test.fresh());
        let order = json!({"order_id": id, "item": item, "renter": self.renter.id, "paid": usd(paid)});
        self.test.post("/v1/orders", &self.shop.token, &order).await.ok();
        self.test.settle().await;
    }

    async fn terminate(&self, contract: &str) {
        let path = format!("/v1/contracts/{contract}/termination");
        self.test.post(&path, &self.renter.token, &json!({})).await.ok();
        self.test.settle().await;
    }

    /// Settles all that is due by hand.
    async fn settle_all(&self) {
        let due = self.test.get("/v1/settlements?status=due", &self.shop.token).await.ok();
        for one in due["items"].as_array().unwrap() {
            let id = one["settlement"].as_str().unwrap();
            let reference = json!({"reference": format!("tx-{}", one["kind"].as_str().unwrap())});
            self.test.post(&format!("/v1/settlements/{id}/manual"), &self.shop.token, &reference).await.ok();
        }
        self.test.settle().await;
    }

    async fn password(&self, contract: &str) -> String {
        let path = format!("/v1/contracts/{contract}/credentials");
        self.test.get(&path, &self.renter.token).await.id("password")
    }

    /// Everything that a rental brings: it is extended, ended early, erased, and paid out.
    pub async fn whole_story(&self) -> (String, String) {
        let contract = self.rent(36_000, "6.00").await;
        let password = self.password(&contract).await;
        // Not before it was mailed: what is over by then is not.
        self.ended(&format!("rental-{contract}")).await;
        self.extend(&contract, 3_600, "0.60").await;
        self.test.advance(18_000);
        self.terminate(&contract).await;
        let erased: Reply = self.test.erase(&self.device).await;
        assert_eq!(erased.status, 204);
        self.test.run_due().await;
        self.settle_all().await;
        self.caught_up().await;
        (contract, password)
    }

    /// Waits until all that happened is in the outbox.
    async fn caught_up(&self) {
        let next = self.test.app.executor.log().head().await.unwrap().map_or(0, |head| head + 1);
        let follower = async || self.test.app.private.follower(api::mail::FOLLOWER).await.unwrap() >= next;
        until(|| "the outbox to be filled".into(), follower).await;
    }

    /// Waits until the mail of a cause has come to its end; answers with what became of it.
    pub async fn ended(&self, cause: &str) -> String {
        let outcome = async || self.test.app.private.mail_outcome(cause).await.unwrap();
        until(|| format!("the end of {cause}"), async || outcome().await.is_some()).await;
        outcome().await.unwrap()
    }

    async fn attention(&self) -> Vec<Value> {
        let list = self.test.get("/v1/attention", &self.test.operator).await.ok();
        list["items"].as_array().unwrap().clone()
    }

    /// Reads the whole log again, as after a crash that nobody remembers.
    async fn read_again(&self) {
        self.test.app.private.advance_follower(api::mail::FOLLOWER, 0).await.unwrap();
        self.caught_up().await;
        tokio::time::sleep(A_LOOK).await;
    }
}
