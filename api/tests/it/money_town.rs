//! A small town for stories about money: one rental of ten hours for 6.00 USD, and books that are checked at every look.

use std::collections::BTreeMap;

use api::config::Config;
use domain::{any::AnyEvent, audit::Audit, journal::Happened};
use serde_json::{Value, json};

use crate::{
    app::{Reply, TestApp},
    world::{Device, Who},
};

pub struct Town {
    pub test: TestApp,
    pub owner: Who,
    pub renter: Who,
    pub shop: Who,
    pub device: Device,
    pub contract: String,
}

/// Minor units of an amount at full scale.
pub fn minor(amount: &Value) -> i128 {
    let text = amount.as_str().unwrap_or_else(|| panic!("{amount} is no amount"));
    text.replace('.', "").parse().unwrap()
}

impl Town {
    /// A town in which no device counts as lost.
    pub async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.devices.lost_after_s = 10_000_000;
        change(&mut config);
        let test = TestApp::with(config).await;
        let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
        let shop = test.account(&["marketplace"], Some("shop")).await;
        let device = test.offered(&owner).await;
        let contract = test.rental(&shop, &renter, &device).await;
        Self { test, owner, renter, shop, device, contract }
    }

    pub async fn contract(&self) -> Value {
        self.test.get(&format!("/v1/contracts/{}", self.contract), &self.renter.token).await.ok()
    }

    pub async fn terminate(&self) {
        let path = format!("/v1/contracts/{}/termination", self.contract);
        self.test.post(&path, &self.renter.token, &json!({})).await.ok();
        self.test.settle().await;
    }

    pub async fn extend(&self, term_s: i64, paid: Value) {
        let path = format!("/v1/contracts/{}/extensions", self.contract);
        let asked = self.test.post(&path, &self.renter.token, &json!({"term_s": term_s})).await;
        let item =
            json!({"kind": "extension", "contract": self.contract, "extension": asked.id("extension")});
        let id = format!("extension-{}", self.test.fresh());
        let order = json!({"order_id": id, "item": item, "renter": self.renter.id, "paid": paid});
        self.test.post("/v1/orders", &self.shop.token, &order).await.ok();
        self.test.settle().await;
    }

    pub async fn dispute(&self, token: &str, segment: u32) -> Reply {
        let path = format!("/v1/contracts/{}/disputes", self.contract);
        let reply = self.test.post(&path, token, &json!({"segment": segment})).await;
        self.test.settle().await;
        reply
    }

    pub async fn decide(&self, token: &str, weights: [u32; 3], moderator: Option<&str>) -> Reply {
        let path = format!("/v1/contracts/{}/disputes/0/decision", self.contract);
        let weights = json!({"renter": weights[0], "owner": weights[1], "moderator": weights[2]});
        let body = json!({"weights": weights, "moderator": moderator});
        let reply = self.test.post(&path, token, &body).await;
        self.test.settle().await;
        reply
    }

    pub async fn items(&self, path: &str, token: &str) -> Vec<Value> {
        let list = self.test.get(path, token).await.ok();
        assert_eq!(list["next"], json!(null), "more than one page of {path}");
        list["items"].as_array().unwrap().clone()
    }

    /// Settlements as (kind, status, cents due), in the order in which they came to be due.
    pub async fn settlements(&self) -> Vec<(String, String, i128)> {
        let mut all = self.items("/v1/settlements", &self.test.operator).await;
        all.reverse();
        let word = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let shape =
            |item: &Value| (word(item, "kind"), word(item, "status"), minor(&item["amount"]["amount"]));
        all.iter().map(shape).collect()
    }

    /// The one settlement of a kind that is due.
    pub async fn due(&self, kind: &str) -> String {
        let due = self.items(&format!("/v1/settlements?status=due&kind={kind}"), &self.shop.token).await;
        assert_eq!(due.len(), 1, "{due:?}");
        due[0]["settlement"].as_str().unwrap().to_owned()
    }

    pub async fn step(&self, settlement: &str, step: &str, body: Value) -> Reply {
        let path = format!("/v1/settlements/{settlement}/{step}");
        let reply = self.test.post(&path, &self.shop.token, &body).await;
        self.test.settle().await;
        reply
    }

    /// Settles all that is due by hand.
    pub async fn settle_all(&self) {
        for due in self.items("/v1/settlements?status=due", &self.shop.token).await {
            let settlement = due["settlement"].as_str().unwrap();
            self.step(settlement, "manual", json!({"reference": format!("tx-{settlement}")})).await.ok();
        }
    }

    /// What the journal's accounts hold in cents, after it was held against everything else that is known: escrow cash is
    /// what was received less what left, and it is what is owed plus the fees that were not swept.
    pub async fn books(&self) -> BTreeMap<String, i128> {
        self.test.settle().await;
        self.test.audit().await;
        let operator = &self.test.operator;
        let held = self.items("/v1/balances?limit=200", operator).await;
        let held: BTreeMap<_, _> = held
            .iter()
            .map(|row| (row["account"].as_str().unwrap().to_owned(), minor(&row["amount"])))
            .collect();
        let of = |prefix: &str| -> i128 {
            held.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, minor)| minor).sum()
        };
        let sum = |items: Vec<Value>, part: fn(&Value) -> i128| items.iter().map(part).sum::<i128>();
        let orders = self.items("/v1/orders?limit=200", operator).await;
        let received = sum(orders, |order| minor(&order["paid"]["amount"]));
        let moved = self.items("/v1/settlements?limit=200&status=settled", operator).await;
        let moved = sum(moved, |s| minor(&s["moved"]["amount"]).min(minor(&s["amount"]["amount"])));
        let swept = self.test.get("/v1/events?type=FeesSwept", operator).await.ok();
        let swept = sum(swept["items"].as_array().unwrap().clone(), |event| {
            minor(&event["data"]["amount"]["amount"])
        });
        let cash = of("Assets:Escrow:Cash:");
        assert_eq!(cash, received - moved - swept, "what is in escrow: {held:#?}");
        let (owed, unswept) = (-of("Liabilities:"), -of("Income:Fees:") - swept);
        assert_eq!(cash, owed + unswept, "what it is for: {held:#?}");
        let wrong_way = held.iter().find(|(name, minor)| name.starts_with("Liabilities:") && **minor > 0);
        assert_eq!(wrong_way, None, "nobody owes the escrow anything");
        held
    }
}

impl TestApp {
    /// Every event about money follows from those before it, and all that was issued is due.
    pub async fn audit(&self) {
        let (mut audit, mut from) = (Audit::default(), 0);
        loop {
            let page = self.app.executor.log().read_all(from, 200).await.unwrap();
            let Some(last) = page.last() else { break };
            from = last.position + 1;
            for recorded in &page {
                let event = AnyEvent::of(recorded).unwrap();
                let (id, at) = (recorded.stream.key().parse().ok(), recorded.event.effective_at);
                let findings = audit.next(&Happened { stream: &recorded.stream, id, event: &event, at });
                assert!(findings.faults.is_empty(), "{}: {:?}", recorded.position, findings.faults);
            }
        }
        assert_eq!((audit.unfinished(), audit.not_due()), (Vec::new(), 0));
    }
}
