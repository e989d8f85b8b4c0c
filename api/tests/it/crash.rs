//! `kill -9` of the server, again and again, while a marketplace lives: nothing acknowledged is lost, nothing happens
//! twice, and every rental reaches its end.
//!
//! Without the group commit's sync, with a steward that advances before it acts, or with commands that are not
//! idempotent, the books below do not balance.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use fixtures::postgres::Database;
use serde_json::{Value, json};

use crate::app::on_a_server;

pub const BERTH: &str = env!("CARGO_BIN_EXE_berth");
/// Blocks of ports that were given out.
static BLOCKS: AtomicU16 = AtomicU16::new(0);
/// Times the server is killed.
const KILLS: usize = 8;
/// Seconds bought by an order.
pub const TERM_S: i64 = 2;

/// A server in a process of its own, and agents in theirs.
pub struct World {
    /// Environment variables of the server.
    pub settings: Vec<(&'static str, String)>,
    dir: tempfile::TempDir,
    port: u16,
    /// Leased ports from here on, so that servers of other tests have theirs.
    first_port: u16,
    server: Option<Child>,
    agents: Vec<Child>,
    http: reqwest::Client,
    database: Option<Arc<Database>>,
}

impl Drop for World {
    fn drop(&mut self) {
        for child in self.agents.iter_mut().chain(&mut self.server) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl World {
    pub fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let (dir, mut settings) = (tempfile::tempdir().unwrap(), Vec::new());
        let first_port = 21_000 + 50 * BLOCKS.fetch_add(1, Ordering::Relaxed);
        let database = on_a_server().then(|| Arc::new(fixtures::postgres::server().fresh()));
        settings.extend(database.iter().map(|database| ("BERTH_DATABASE", database.url())));
        Self { settings, dir, port, first_port, server: None, agents: Vec::new(), http, database }
    }

    /// The first node on a database.
    pub fn on(database: Arc<Database>) -> Self {
        let mut first = Self::new();
        first.settings = vec![("BERTH_DATABASE", database.url())];
        first.database = Some(database);
        first
    }

    /// Another node on the same database, with the same keys and a gateway of its own name.
    pub fn join(&self) -> Self {
        let mut node = Self::new();
        node.settings = self.settings.clone();
        node.settings.push(("BERTH_GATEWAY_NAME", format!("gw{}", node.first_port)));
        std::fs::create_dir_all(node.data().join("keys")).unwrap();
        for file in std::fs::read_dir(self.data().join("keys")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), node.data().join("keys").join(file.file_name())).unwrap();
        }
        node
    }

    /// Tells the server's process something, such as to freeze.
    pub fn signal(&self, signal: &str) {
        let id = self.server.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn berth(&self) -> Command {
        let mut command = Command::new(BERTH);
        command.env("BERTH_DATA", self.data()).env("BERTH_LOG", "error").stdin(Stdio::null());
        command.env("BERTH_GATEWAY_FIRST_PORT", self.first_port.to_string());
        for job in ["EXPIRY", "EXTENSION_LAPSE", "PAYOUT", "LOST", "LOST_GRACE"] {
            command.env(format!("BERTH_JOBS_{job}"), "* * * * * *");
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn start(&mut self) {
        let server =
            self.berth().args(["serve", "--listen", &self.address()]).stdout(Stdio::null()).spawn().unwrap();
        self.server = Some(server);
    }

    /// Where the API is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Opens an account; answers with its id and token.
    pub fn account(&self, role: &str, more: &[&str]) -> (String, String) {
        let mut add = self.berth();
        add.args(["account", "add", "--json", "--name", role, "--role", role]).args(more);
        let output = add.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let row: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |field: &str| row[field].as_str().unwrap().to_string();
        (text("account"), text("token"))
    }

    /// Sends until the server answers; the same request every time.
    pub async fn send(&self, token: &str, method: &str, path: &str, body: &Value, key: &str) -> (u16, Value) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let url = format!("http://127.0.0.1:{}{path}", self.port);
            let mut request = self.http.request(method.parse().unwrap(), url).bearer_auth(token);
            if method != "GET" {
                request = request.header("idempotency-key", key).json(body);
            }
            if let Ok(response) = request.send().await {
                let status = response.status().as_u16();
                if let Ok(bytes) = response.bytes().await
                    && !(status >= 500 || status == 202 || (status == 409 && is_in_flight(&bytes)))
                {
                    return (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null));
                }
            }
            assert!(Instant::now() < deadline, "{method} {path} was never answered");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    pub async fn get(&self, token: &str, path: &str) -> Value {
        let (status, body) = self.send(token, "GET", path, &Value::Null, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Enrols a device, offers it and starts its agent.
    pub async fn device(&mut self, owner: &str, name: &str, terms: Value) -> String {
        let (status, enrolled) =
            self.send(owner, "POST", "/v1/devices", &json!({ "name": name }), name).await;
        assert_eq!(status, 201, "{enrolled}");
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let config = json!({
            "server": format!("http://127.0.0.1:{}", self.port),
            "key": enrolled["key"],
            "server_key": enrolled["server_key"],
        });
        std::fs::write(folder.join("agent.json"), config.to_string()).unwrap();
        self.agents.push(agent(&folder));
        let device = enrolled["device"].as_str().unwrap().to_string();
        let mut offer = json!({ "title": name });
        offer.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
        let (status, answer) =
            self.send(owner, "PUT", &format!("/v1/devices/{device}/offer"), &offer, &device).await;
        assert!(status < 300, "{answer}");
        device
    }

    pub fn events(&self) -> Vec<Value> {
        let output = self.berth().args(["export", "events"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn is_in_flight(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("idempotency-in-flight")
}

fn agent(folder: &Path) -> Child {
    let mut command = Command::new(BERTH);
    command.args(["agent", "run", "--config"]).arg(folder.join("agent.json"));
    command.env("RUST_LOG", "error").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Buys and extends until told to stop; answers with what the server acknowledged: order id → (status, contract).
pub async fn buy(
    world: &World,
    devices: &[String],
    shop: &str,
    renter: (&str, &str),
    until: Instant,
) -> BTreeMap<String, (u16, Value)> {
    let mut acknowledged = BTreeMap::new();
    for n in 0.. {
        if Instant::now() >= until {
            break;
        }
        let device = &devices[n % devices.len()];
        let order = json!({
            "order_id": format!("o{n}"), "renter": renter.0,
            "item": { "kind": "rental", "device": device, "term_s": TERM_S },
            "paid": { "amount": "1.00", "asset": "USD" },
        });
        let (status, body) = world.send(shop, "POST", "/v1/orders", &order, &format!("k{n}")).await;
        assert!([200, 201, 409].contains(&status), "{status} {body}");
        if status < 300 {
            let contract = body["contract"].as_str().unwrap().to_string();
            let (path, ask) = (format!("/v1/contracts/{contract}/extensions"), json!({ "term_s": TERM_S }));
            let (asked, extension) = world.send(renter.1, "POST", &path, &ask, &format!("e{n}")).await;
            if asked < 300 {
                let order = json!({
                    "order_id": format!("x{n}"), "renter": renter.0,
                    "item": { "kind": "extension", "contract": contract, "extension": extension["extension"] },
                    "paid": extension["price"],
                });
                let answer = world.send(shop, "POST", "/v1/orders", &order, &format!("kx{n}")).await;
                acknowledged.insert(format!("x{n}"), answer);
            }
        }
        acknowledged.insert(format!("o{n}"), (status, body));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_server_again_and_again_loses_nothing_and_doubles_nothing() {
    let mut world = World::new();
    let (_, owner) = world.account("owner", &[]);
    let (renter_id, renter) = world.account("renter", &[]);
    let (_, shop) = world.account("marketplace", &["--marketplace", "shop"]);
    let (_, auditor) = world.account("auditor", &[]);
    world.start();
    let mut devices = Vec::new();
    for name in ["pi-a", "pi-b"] {
        let terms = json!({
            "min_term_s": 1, "max_term_s": 3600,
            "rates": [{ "per": "hour", "price": { "amount": "1800.00", "asset": "USD" } }],
        });
        devices.push(world.device(&owner, name, terms).await);
    }

    // On a server a start takes longer, and devices come back later.
    let beat = if on_a_server() { 3 } else { 1 };
    let until = Instant::now() + Duration::from_millis(beat * 900 * KILLS as u64);
    let acknowledged = {
        let view = World {
            settings: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
            port: world.port,
            first_port: world.first_port,
            server: None,
            agents: vec![],
            http: world.http.clone(),
            database: None,
        };
        let (devices, shop, renter) = (devices.clone(), shop.clone(), renter.clone());
        let buyer =
            tokio::spawn(async move { buy(&view, &devices, &shop, (&renter_id, &renter), until).await });
        for kill in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(beat * (500 + 97 * (kill as u64 % 5)))).await;
            world.kill();
            world.start();
        }
        buyer.await.unwrap()
    };

    let accepted: Vec<_> = acknowledged.iter().filter(|(_, (status, _))| *status < 300).collect();
    assert!(accepted.len() >= 3, "too little was rented to prove anything: {acknowledged:?}");
    all_ends_are_reached(&world, &auditor, &devices, &owner).await;
    settle_everything(&world, &shop).await;
    world.kill();
    books_are_right(&world.events(), &acknowledged);
    let verified = world.berth().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Every rental ends, every device is erased and registered again.
pub async fn all_ends_are_reached(world: &World, auditor: &str, devices: &[String], owner: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let running = world.get(auditor, "/v1/contracts?status=running").await;
        let mut idle = running["items"].as_array().unwrap().is_empty();
        for device in devices {
            let device = world.get(owner, &format!("/v1/devices/{device}")).await;
            idle &= device["lease"]["ended_at"].is_null() && device["is_let"] == false;
        }
        if idle {
            return;
        }
        assert!(Instant::now() < deadline, "not everything ended: {running}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Settles what is due until the ledger holds as many settled settlements as due ones.
pub async fn settle_everything(world: &World, shop: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        for kind in ["refunds", "payouts"] {
            let due = world.get(shop, &format!("/v1/{kind}?status=due&limit=200")).await;
            for item in due["items"].as_array().unwrap() {
                let id = item["settlement"].as_str().unwrap();
                let path = format!("/v1/settlements/{id}");
                let start = json!({ "method": "test" });
                let (status, started) =
                    world.send(shop, "POST", &format!("{path}/start"), &start, &format!("s{id}")).await;
                assert!(status < 300, "{started}");
                let report =
                    json!({ "attempt": started["attempt"], "reference": id, "moved": item["amount"] });
                let (status, done) =
                    world.send(shop, "POST", &format!("{path}/settled"), &report, &format!("d{id}")).await;
                assert!(status < 300, "{done}");
            }
        }
        let events = world.events();
        let count = |kind: &str| events.iter().filter(|e| e["type"] == kind).count();
        let owed = count("RefundIssued")
            + count("OrderRejected")
            + events
                .iter()
                .filter(|e| e["type"] == "PayoutIssued" && e["data"]["amount"]["amount"] != "0.00")
                .count();
        let ended = count("RentalExpired") + count("RentalTerminated");
        if owed == count("SettlementSettled") && ended == count("PayoutIssued") {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{owed} settlements are owed, {} settled",
            count("SettlementSettled")
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn cents(money: &Value) -> i64 {
    money["amount"].as_str().unwrap().replace('.', "").parse().unwrap()
}

pub fn books_are_right(events: &[Value], acknowledged: &BTreeMap<String, (u16, Value)>) {
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["position"], n, "positions are dense");
    }
    let of = |kind: &'static str| events.iter().filter(move |e| e["type"] == kind);
    let orders: Vec<_> = of("OrderReceived").map(|e| e["data"]["order"]["id"].as_str().unwrap()).collect();
    let distinct: BTreeSet<_> = orders.iter().collect();
    assert_eq!(orders.len(), distinct.len(), "an order is received once");
    let fates = of("OrderAccepted").chain(of("OrderRejected"));
    let fates: BTreeMap<_, _> = fates.map(|e| (e["data"]["order"]["id"].as_str().unwrap(), e)).collect();
    assert_eq!(
        of("OrderAccepted").count() + of("OrderRejected").count(),
        fates.len(),
        "an order is decided once"
    );
    for (id, (status, body)) in acknowledged {
        let fate =
            fates.get(id.as_str()).unwrap_or_else(|| panic!("acknowledged order {id} is lost: {body}"));
        let kind = if *status < 300 { "OrderAccepted" } else { "OrderRejected" };
        assert_eq!(fate["type"], kind, "order {id} was acknowledged with {status}");
    }
    let leases: Vec<_> = of("RentalStarted").map(|e| (&e["data"]["device"], &e["data"]["epoch"])).collect();
    let unique: BTreeSet<_> = leases.iter().map(|lease| format!("{lease:?}")).collect();
    assert_eq!(leases.len(), unique.len(), "a lease is let once");

    let mut escrow: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let (stream, payload) = (event["stream"].as_str().unwrap(), &event["data"]);
        *escrow.entry(stream).or_default() += match event["type"].as_str().unwrap() {
            "RentalStarted" | "RentalExtended" => cents(&payload["paid"]),
            "RefundIssued" => -cents(&payload["amount"]),
            "PayoutIssued" => -cents(&payload["amount"]) - cents(&payload["fee"]),
            _ => 0,
        };
    }
    let unbalanced: Vec<_> = escrow.iter().filter(|(_, left)| **left != 0).collect();
    assert!(unbalanced.is_empty(), "every closed contract leaves nothing in escrow: {unbalanced:?}");
}
