//! A server that sells on an OpenBazaar node; both stand on one clock.

use std::collections::BTreeMap;

use api::{clock::Clock, config::Config, openbazaar::Connector};
use domain::time::Seconds;
use fixtures::openbazaar::{self, Buyer, Method, Node, OrderView, Purchase};
use serde_json::{Value, json};

use crate::{
    app::{START, TestApp},
    money_town::minor,
    world::{Device, Who},
};

pub const USER: &str = "vendor";
pub const PASSWORD: &str = "a password";
/// Where the owner is paid.
pub const OWNER: &str = "n1WkwTtAqdKiTVsaeF7Dytg2mNGBHzN9xh";
/// What an hour costs, in satoshi.
pub const HOUR: i128 = 1_000_000;

pub struct Bazaar {
    pub test: TestApp,
    pub node: Node,
    pub connector: Connector,
    pub owner: Who,
    /// What was put into the wallet from outside.
    funded: i128,
}

/// An amount of bitcoin.
pub fn btc(satoshi: i128) -> Value {
    json!({"amount": format!("{}.{:08}", satoshi / 100_000_000, satoshi % 100_000_000), "asset": "BTC"})
}

impl Bazaar {
    pub async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// A node with a wallet that holds something to pay miners with.
    pub async fn with(change: impl FnOnce(&mut Config, &Node)) -> Self {
        Self::with_node(|_| {}, change).await
    }

    pub async fn with_node(
        node: impl FnOnce(&mut openbazaar::Config),
        change: impl FnOnce(&mut Config, &Node),
    ) -> Self {
        let clock = Clock::manual(START.parse().unwrap());
        let told = clock.clone();
        let mut settings = openbazaar::Config::new(USER, PASSWORD, std::sync::Arc::new(move || told.now()));
        node(&mut settings);
        let node = Node::start(settings).await.unwrap();
        let mut config = Config::default();
        config.devices.lost_after_s = 100_000_000;
        config.openbazaar.url = node.url();
        config.openbazaar.username = USER.into();
        config.openbazaar.password = api::config::Secret(PASSWORD.into());
        config.openbazaar.timeout_s = 2;
        change(&mut config, &node);
        let test = TestApp::with_clock(config, clock).await;
        let owner = test.account(&["owner"], None).await;
        let pay = json!({"payout_address": OWNER});
        test.patch(&format!("/v1/accounts/{}", owner.id), &test.operator, &pay).await.ok();
        let connector = Connector::new(&test.app).unwrap().unwrap();
        let mut bazaar = Self { test, node, connector, owner, funded: 0 };
        bazaar.fund(50_000_000);
        bazaar.node.mine(1);
        bazaar.work().await;
        bazaar
    }

    pub fn fund(&mut self, satoshi: i128) {
        self.node.fund("TBTC", satoshi);
        self.funded += satoshi;
    }

    /// A device that costs [`HOUR`] an hour.
    pub async fn device(&mut self) -> Device {
        self.device_by(json!([{"per": "hour", "price": btc(HOUR)}])).await
    }

    pub async fn device_by(&mut self, rates: Value) -> Device {
        let device = self.enrol_by(rates).await;
        self.work().await;
        device
    }

    /// A device that costs [`HOUR`] an hour; the node does not know of it yet.
    pub async fn enrol(&self) -> Device {
        self.enrol_by(json!([{"per": "hour", "price": btc(HOUR)}])).await
    }

    async fn enrol_by(&self, rates: Value) -> Device {
        let device = self.test.enrol(&self.owner).await;
        self.test.register(&device).await.ok();
        let offer = json!({
            "title": "A small computer", "place": "Hamburg", "min_term_s": 60, "max_term_s": 31_536_000,
            "rates": rates,
        });
        self.test.put(&format!("/v1/devices/{}/offer", device.id), &self.owner.token, &offer).await.ok();
        device
    }

    pub async fn offer(&mut self, device: &Device, offer: &Value) {
        self.test.put(&format!("/v1/devices/{}/offer", device.id), &self.owner.token, offer).await.ok();
        self.work().await;
    }

    /// Cycles until nothing happens any more, on the node or in the ledger.
    pub async fn work(&mut self) {
        for _ in 0..40 {
            self.test.settle().await;
            let before = self.test.app.executor.log().head().await.unwrap();
            let more = self.connector.cycle().await.unwrap();
            self.test.settle().await;
            if !more && self.test.app.executor.log().head().await.unwrap() == before {
                return;
            }
        }
        panic!("the connector never comes to rest");
    }

    /// As [`Bazaar::work`], but what goes wrong is tried again, as the running server does.
    pub async fn persist(&mut self) {
        for _ in 0..40 {
            self.test.settle().await;
            let before = self.test.app.executor.log().head().await.unwrap();
            let more = self.connector.cycle().await;
            self.test.settle().await;
            if matches!(more, Ok(false)) && self.test.app.executor.log().head().await.unwrap() == before {
                return;
            }
        }
    }

    /// Works until a call is held by the node, and breaks off there, as a server that is killed; whether one was.
    pub async fn work_until_held(&mut self) -> bool {
        for _ in 0..4 {
            self.test.settle().await;
            let node = &self.node;
            let held = async {
                while node.holding() == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            };
            tokio::select! {
                _ = self.connector.cycle() => {}
                () = held => return true,
            }
        }
        false
    }

    /// The server is gone and comes back; its lease of the node has to run out.
    pub async fn restart(&mut self) {
        self.test.restart().await;
        self.test.advance(31);
        self.connector = Connector::new(&self.test.app).unwrap().unwrap();
    }

    /// Lets time pass, and what is due happen.
    pub async fn pass(&mut self, seconds: Seconds) {
        self.test.advance(seconds);
        self.test.run_due().await;
        self.work().await;
    }

    pub fn slug(device: &Device, term_s: Seconds) -> String {
        format!("berth-{}-{term_s}", device.id.replace('-', ""))
    }

    /// Buys hours of a device; answers with the order's id.
    pub fn buy(&self, buyer: Buyer, device: &Device, hours: u32, method: Method) -> String {
        let wanted = Purchase { quantity: hours, ..Purchase::of(&Self::slug(device, 3_600), method) };
        self.node.buy(buyer, wanted).unwrap()
    }

    pub fn seen(&self, order: &str) -> OrderView {
        self.node.order(order).unwrap()
    }

    pub async fn items(&self, path: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page =
                if cursor.is_empty() { path.to_owned() } else { format!("{path}{mark}cursor={cursor}") };
            let list = self.test.get(&page, &self.test.operator).await.ok();
            all.extend(list["items"].as_array().unwrap().iter().cloned());
            match list["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return all,
            }
        }
    }

    pub async fn order(&self, id: &str) -> Value {
        let path = format!("/v1/orders/{id}?marketplace=openbazaar");
        self.test.get(&path, &self.test.operator).await.ok()
    }

    /// The pairs of a fulfilled order's note.
    pub fn note(&self, order: &str) -> BTreeMap<String, String> {
        let note = self.seen(order).note.unwrap_or_else(|| panic!("{order} is not handed over"));
        let pairs = note.split("; ").filter_map(|pair| pair.split_once(": "));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// What the renter of an order can do with the token in the note.
    pub async fn terminate(&mut self, order: &str) {
        let note = self.note(order);
        let path = format!("/v1/contracts/{}/termination", note["contract"]);
        self.test.post(&path, &note["token"], &json!({})).await.ok();
        self.work().await;
    }

    /// Operators end every rental that runs.
    pub async fn end_all(&self) {
        for contract in self.items("/v1/contracts?status=running").await {
            let path = format!("/v1/contracts/{}/termination", contract["contract"].as_str().unwrap());
            self.test.post(&path, &self.owner.token, &json!({})).await.ok();
        }
        self.test.settle().await;
    }

    /// What settlements of a kind have come to: (status, due, moved).
    pub async fn settlements(&self, kind: &str) -> Vec<(String, i128, i128)> {
        let mut all = self.items(&format!("/v1/settlements?kind={kind}&limit=200")).await;
        all.reverse();
        let moved = |item: &Value| item["moved"].as_object().map_or(0, |moved| minor(&moved["amount"]));
        let shape = |item: &Value| {
            (item["status"].as_str().unwrap().to_owned(), minor(&item["amount"]["amount"]), moved(item))
        };
        all.iter().map(shape).collect()
    }

    pub async fn attention(&self) -> Vec<(String, String, String)> {
        let word = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let all = self.items("/v1/attention").await;
        all.iter().map(|item| (word(item, "subject"), word(item, "what"), word(item, "detail"))).collect()
    }

    /// Calls the node as its operator would.
    pub async fn call(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.node.url()));
        let answer = request.basic_auth(USER, Some(PASSWORD)).json(body).send().await.unwrap();
        let (status, bytes) = (answer.status(), answer.bytes().await.unwrap());
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    pub async fn listing(&self, slug: &str) -> Value {
        self.call(reqwest::Method::GET, &format!("/ob/listing/{slug}"), &json!({})).await
    }

    /// A renter asks for more time; answers with the name of the listing to buy.
    pub async fn extend(&mut self, order: &str, term_s: Seconds) -> String {
        let note = self.note(order);
        let path = format!("/v1/contracts/{}/extensions", note["contract"]);
        self.test.post(&path, &note["token"], &json!({"term_s": term_s})).await.ok();
        self.work().await;
        let all = self.listings().await;
        let prefix = format!("berth-x-{}-", note["contract"].replace('-', ""));
        all.into_iter().find(|slug| slug.starts_with(&prefix)).expect("it is listed")
    }

    /// The names of the listings that are up.
    pub async fn listings(&self) -> Vec<String> {
        let list = self.call(reqwest::Method::GET, "/ob/listings", &json!({})).await;
        let mut slugs: Vec<_> =
            list.as_array().unwrap().iter().map(|row| row["slug"].as_str().unwrap().to_owned()).collect();
        slugs.sort();
        slugs
    }

    /// The wallet and the journal agree to the last unit: what is in the wallet, and in the escrow of orders that are in
    /// the ledger, is what the journal says.
    pub async fn books_agree(&self) {
        self.test.settle().await;
        self.test.audit().await;
        let held: BTreeMap<_, _> = self
            .items("/v1/balances?limit=200")
            .await
            .into_iter()
            .map(|row| (row["account"].as_str().unwrap().to_owned(), minor(&row["amount"])))
            .collect();
        let of = |prefix: &str| -> i128 {
            held.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, minor)| minor).sum()
        };
        let mut escrow = 0;
        for id in self.node.order_ids() {
            let path = format!("/v1/orders/{id}?marketplace=openbazaar");
            let known = self.test.get(&path, &self.test.operator).await.status == 200;
            let order = self.seen(&id);
            if order.method != Method::AddressRequest {
                escrow += if known { order.held } else { 0 };
            }
        }
        let there = self.node.wallet_total("TBTC") - self.funded + escrow;
        let said = of("Assets:Escrow:Cash:") + of("Assets:Platform:Cash:");
        assert_eq!(there, said, "wallet and escrow against the journal: {held:#?}");
    }
}
