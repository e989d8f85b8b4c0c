//! Several nodes on one database: each may die, freeze or be cut off, and the others do everything.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{app::App, clock::Clock, config::Config};
use domain::time::Seconds;
use serde_json::{Value, json};

use crate::{
    app::{START, TestApp},
    crash::{TERM_S, World, all_ends_are_reached, books_are_right, buy, settle_everything},
    pages::kit::Browser,
};

/// How long work may stand still when the node that did it is gone.
const FAILOVER: Duration = Duration::from_secs(10);

/// A node whose end does not cut devices off: its gateway would be theirs.
fn without_gateway() -> (&'static str, String) {
    ("BERTH_ROLES", "api,scheduler,steward,connector".into())
}

fn ahead(seconds: Seconds) -> Clock {
    let clock = Clock::manual(START.parse().unwrap());
    clock.advance(seconds);
    clock
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_writes_the_others_read_at_once_and_follow_up() {
    let one = TestApp::on_database(Config::default()).await;
    let other = one.join(ahead(0)).await;
    let owner = one.account(&["owner"], None).await;
    let device = other.offered(&owner).await;
    let (shop, renter) =
        (other.account(&["marketplace"], Some("shop")).await, one.account(&["renter"], None).await);
    let begun = Instant::now();
    let contract = other.rental(&shop, &renter, &device).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "the steward of one node serves all: {:?}",
        begun.elapsed()
    );
    one.settle().await;
    for node in [&one, &other] {
        let seen = node.get(&format!("/v1/contracts/{contract}"), &renter.token).await.ok();
        assert_eq!(seen["status"], "running");
    }
    let ends: Value = one.get(&format!("/v1/contracts/{contract}"), &renter.token).await.ok();
    assert!(ends["ends_at"].is_string(), "{ends}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_the_tries_at_a_password_count_at_every_node() {
    let one = TestApp::on_database(Config::default()).await;
    let other = one.join(ahead(0)).await;
    let token = one.account(&["renter"], None).await.token;
    other.get("/v1/contracts", &token).await.ok();
    let nodes = [Browser::new(&one), Browser::new(&other)];
    let mut tried = 0;
    let status = loop {
        let node = &nodes[tried % 2];
        let page = node.get("/sign-in").await.ok();
        let wrong = [("email", "rita@example.org"), ("password", "a wrong password")];
        let answer = node.send(&page, "/sign-in", &wrong).await;
        tried += 1;
        if answer.status.as_u16() == 429 || tried > 30 {
            break answer.status;
        }
    };
    assert_eq!(status.as_u16(), 429);
    assert!((10..=11).contains(&tried), "both nodes count together: {tried}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_other_keys_is_refused_and_says_what_to_do() {
    let one = TestApp::on_database(Config::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let data = api::app::DataDir::open(dir.path()).unwrap();
    let open = async || App::open(&data, one.config().clone(), ahead(0), |_| {}).await.map(drop);
    let why = format!("{:#}", open().await.unwrap_err());
    assert!(why.contains("copy the folder keys"), "{why}");
    assert!(!data.keys().exists(), "no keys were made");
    api::keys::Keys::open(&data.keys(), ahead(0).time()).unwrap();
    let why = format!("{:#}", open().await.unwrap_err());
    assert!(why.contains("are not those that the database"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_differ_agree_on_the_books() {
    let one = TestApp::on_database(Config::default()).await;
    let other = one.join(ahead(40)).await;
    let owner = one.account(&["owner"], None).await;
    let shop = one.account(&["marketplace"], Some("shop")).await;
    let renter = one.account(&["renter"], None).await;
    for n in 0..4 {
        let (here, there) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let device = here.offered(&owner).await;
        let contract = there.rental(&shop, &renter, &device).await;
        let path = format!("/v1/contracts/{contract}");
        there.post(&format!("{path}/termination"), &renter.token, &json!({})).await.ok();
    }
    one.settle().await;
    for node in [&one, &other] {
        node.advance(1_000_000);
        node.run_due().await;
    }
    let compared =
        projections::rebuild::compare(one.app.executor.log(), one.app.views.store(), |_| {}).await.unwrap();
    assert!(compared.differences.is_empty(), "{compared:?}");
    let running = other.get("/v1/contracts?status=running", &one.operator).await.ok();
    assert_eq!(running["items"], json!([]));
}

struct Marketplace {
    owner: String,
    renter: (String, String),
    shop: String,
    auditor: String,
    devices: Vec<String>,
}

/// People and two devices, whose agents talk to `node`.
async fn marketplace(first: &World, node: &mut World) -> Marketplace {
    let (_, owner) = first.account("owner", &[]);
    let renter = first.account("renter", &[]);
    let (_, shop) = first.account("marketplace", &["--marketplace", "shop"]);
    let (_, auditor) = first.account("auditor", &[]);
    let mut devices = Vec::new();
    for name in ["pi-a", "pi-b"] {
        let terms = json!({
            "min_term_s": 1, "max_term_s": 3600,
            "rates": [{ "per": "hour", "price": { "amount": "1800.00", "asset": "USD" } }],
        });
        devices.push(node.device(&owner, name, terms).await);
    }
    Marketplace { owner, renter, shop, auditor, devices }
}

/// Buys at `node` until then, ends everything, and holds the books against what was acknowledged.
async fn prove(
    node: &World,
    market: &Marketplace,
    acknowledged: &std::collections::BTreeMap<String, (u16, Value)>,
) {
    all_ends_are_reached(node, &market.auditor, &market.devices, &market.owner).await;
    settle_everything(node, &market.shop).await;
    books_are_right(&node.events(), acknowledged);
    let verified = node.berth().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Rents once at `node`; answers how long it took until the rental ran, and from its end until that was written down.
async fn rent_once(node: &World, market: &Marketplace, order: &str) -> (Duration, Duration) {
    let begun = Instant::now();
    let mut contract = None;
    for n in 0.. {
        let device = &market.devices[n % market.devices.len()];
        let body = json!({
            "order_id": format!("{order}-{n}"), "renter": market.renter.0,
            "item": { "kind": "rental", "device": device, "term_s": TERM_S },
            "paid": { "amount": "1.00", "asset": "USD" },
        });
        let key = format!("{order}{n}");
        let (status, answer) = node.send(&market.shop, "POST", "/v1/orders", &body, &key).await;
        if status < 300 {
            contract = answer["contract"].as_str().map(str::to_owned);
            break;
        }
        assert!(begun.elapsed() < 3 * FAILOVER, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rented = begun.elapsed();
    let path = format!("/v1/contracts/{}", contract.unwrap());
    let begun = Instant::now();
    loop {
        let contract = node.get(&market.renter.1, &path).await;
        if contract["status"] == "expired" {
            return (rented, begun.elapsed().saturating_sub(Duration::from_secs(TERM_S as u64)));
        }
        assert!(begun.elapsed() < 3 * FAILOVER, "{contract}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leading_node_dies_or_freezes_another_goes_on_within_ten_seconds() {
    let database = Arc::new(fixtures::postgres::server().fresh());
    let mut one = World::on(database.clone());
    one.account("operator", &[]);
    let mut other = one.join();
    one.settings.push(without_gateway());
    one.start();
    // The first node leads everything.
    let begun = Instant::now();
    while database.sql("select count(*) from leader_leases where until > now()").trim() < "5" {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody leads");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    other.start();
    let market = marketplace(&one, &mut other).await;
    rent_once(&other, &market, "before").await;
    for (end, name) in [("-STOP", "frozen"), ("-KILL", "killed")] {
        one.signal(end);
        let (rented, expired) = rent_once(&other, &market, name).await;
        println!("{name}: rented after {rented:?}, expired {expired:?} late");
        assert!(rented < FAILOVER && expired < FAILOVER, "{name}: {rented:?} {expired:?}");
        if end == "-STOP" {
            one.signal("-CONT");
            tokio::time::sleep(Duration::from_secs(1)).await;
            // It takes the leases back when the other one gives them up.
            other.signal("-STOP");
            tokio::time::sleep(Duration::from_secs(8)).await;
            other.signal("-CONT");
        }
    }
    prove(&other, &market, &std::collections::BTreeMap::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_of_which_two_die_again_and_again_lose_nothing_and_double_nothing() {
    let database = Arc::new(fixtures::postgres::server().fresh());
    let mut one = World::on(database);
    one.account("operator", &[]);
    let (mut two, mut three) = (one.join(), one.join());
    one.settings.push(without_gateway());
    two.settings.push(without_gateway());
    one.start();
    two.start();
    three.start();
    let market = marketplace(&one, &mut three).await;
    let until = Instant::now() + Duration::from_secs(9);
    let renter = (market.renter.0.as_str(), market.renter.1.as_str());
    let (acknowledged, ()) = tokio::join!(buy(&three, &market.devices, &market.shop, renter, until), async {
        for round in 0..4 {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            let node = if round % 2 == 0 { &mut one } else { &mut two };
            node.kill();
            tokio::time::sleep(Duration::from_millis(700)).await;
            node.start();
        }
    });
    let accepted = acknowledged.iter().filter(|(_, (status, _))| *status < 300).count();
    assert!(accepted >= 3, "too little was rented to prove anything: {acknowledged:?}");
    prove(&three, &market, &acknowledged).await;
}
