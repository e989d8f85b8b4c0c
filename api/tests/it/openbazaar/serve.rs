//! `berth serve` with an `[openbazaar]` section, killed again and again while it sells and pays: what the ledger says moved,
//! moved on the node exactly once.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use api::clock::Clock;
use fixtures::openbazaar::{Config, Method, Node, Purchase, State};
use serde_json::{Value, json};

use super::kit::{OWNER, PASSWORD, USER};
use crate::{crash::World, money_town::minor};

/// Times the server is killed.
const KILLS: u64 = 6;
/// Seconds bought by an order.
const TERM_S: i64 = 2;
/// What they cost, in satoshi.
const PRICE: i128 = 2_000_000;

async fn node() -> Node {
    let config = Config::new(USER, PASSWORD, Arc::new(|| Clock::System.now()));
    let node = Node::start(config).await.unwrap();
    node.fund("TBTC", 5_000_000_000);
    node
}

/// A server that sells on the node, and two devices with agents.
async fn world(node: &Node) -> (World, String, Vec<String>) {
    let mut world = World::new();
    world.settings = vec![
        ("BERTH_OPENBAZAAR_URL", node.url()),
        ("BERTH_OPENBAZAAR_USERNAME", USER.into()),
        ("BERTH_OPENBAZAAR_PASSWORD", PASSWORD.into()),
        ("BERTH_OPENBAZAAR_POLL_S", "1".into()),
        ("BERTH_OPENBAZAAR_TIMEOUT_S", "2".into()),
        ("BERTH_OPENBAZAAR_UNKNOWN_AFTER_S", "4".into()),
        ("BERTH_OPENBAZAAR_LEASE_S", "1".into()),
    ];
    let (owner_id, owner) = world.account("owner", &[]);
    let (_, operator) = world.account("operator", &[]);
    world.start();
    let (path, body) = (format!("/v1/accounts/{owner_id}"), json!({"payout_address": OWNER}));
    let (status, answer) = world.send(&operator, "PATCH", &path, &body, "address").await;
    assert!(status < 300, "{answer}");
    let mut devices = Vec::new();
    for name in ["pi-a", "pi-b"] {
        let terms = json!({
            "min_term_s": TERM_S, "max_term_s": 600,
            "rates": [{"per": "hour", "price": {"amount": "36.00000000", "asset": "BTC"}}],
        });
        devices.push(world.device(&owner, name, terms).await);
    }
    (world, operator, devices)
}

/// Buys what is listed; now and then twice, and a little too much.
fn buy(node: &Node, devices: &[String], n: usize) -> Option<String> {
    let slug = format!("berth-{}-{TERM_S}", devices[n % devices.len()].replace('-', ""));
    let buyer = node.buyer();
    let quantity = if n.is_multiple_of(4) { 4 } else { 1 };
    let order =
        node.purchase(buyer, Purchase { quantity, ..Purchase::of(&slug, Method::AddressRequest) }).ok()?;
    let price = PRICE * i128::from(quantity);
    node.pay(&order, if n.is_multiple_of(3) { price + 5_000 } else { price }).unwrap();
    Some(order)
}

/// Ends some rentals early.
async fn leave(world: &World, operator: &str) {
    let running = world.get(operator, "/v1/contracts?status=running").await;
    for contract in running["items"].as_array().unwrap() {
        let id = contract["contract"].as_str().unwrap();
        // It may be over by now.
        world.send(operator, "POST", &format!("/v1/contracts/{id}/termination"), &json!({}), id).await;
    }
}

/// Waits until every order is decided and every settlement has come to something.
async fn all_is_quiet(world: &World, node: &Node, operator: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let mut open = Vec::new();
        for status in ["due", "started", "failed"] {
            let path = format!("/v1/settlements?status={status}&limit=200");
            open.extend(world.get(operator, &path).await["items"].as_array().unwrap().clone());
        }
        let running = world.get(operator, "/v1/contracts?status=running").await;
        let waits = node.order_ids().iter().any(|id| {
            matches!(
                node.order(id).unwrap().state,
                State::AwaitingFulfillment | State::AwaitingPayment | State::Pending
            )
        });
        if open.is_empty() && running["items"].as_array().unwrap().is_empty() && !waits {
            return;
        }
        assert!(Instant::now() < deadline, "still open: {open:#?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Every movement that the ledger knows happened on the node once, and none that it does not know.
fn books_are_right(events: &[Value], node: &Node) {
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let known: Vec<_> = of("SettlementSettled").map(|event| event["data"]["movement"].clone()).collect();
    let moved: BTreeMap<_, _> = known
        .iter()
        .map(|movement| (movement["reference"].as_str().unwrap(), minor(&movement["moved"]["amount"])))
        .collect();
    assert_eq!(moved.len(), known.len(), "a transaction pays one settlement");
    let ledger = node.ledger();
    for (txid, amount) in &moved {
        let tx =
            ledger.iter().find(|tx| tx.txid == **txid).unwrap_or_else(|| panic!("{txid} never happened"));
        assert!(tx.to.iter().any(|(_, got)| got == amount), "{txid} moved something else than {amount}");
    }
    let in_doubt = of("SettlementQuarantined").count();
    let mut places: Vec<_> =
        node.order_ids().iter().map(|id| node.order(id).unwrap().refund_address).collect();
    places.push(OWNER.to_owned());
    let paid = ledger.iter().filter(|tx| tx.to.iter().any(|(to, _)| places.contains(to))).count();
    assert!(
        paid >= moved.len() && paid <= moved.len() + in_doubt,
        "{paid} payments for {} settlements",
        moved.len()
    );
    let received = of("OrderReceived").map(|event| minor(&event["data"]["paid"]["amount"])).sum::<i128>();
    let orders = node
        .order_ids()
        .iter()
        .map(|id| node.received(&node.order(id).unwrap().payment_address))
        .sum::<i128>();
    assert_eq!(received, orders, "every payment is recorded once");
    assert!(of("OrderAccepted").count() >= 4 && of("OrderRejected").count() >= 2, "too little happened");
    assert!(of("RefundIssued").count() >= 1 && of("PayoutIssued").count() >= 4, "too little happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_sells_and_pays_everything_once() {
    let node = node().await;
    let (mut world, operator, devices) = world(&node).await;
    let mut n = 0;
    for kill in 0..KILLS {
        let until = Instant::now() + Duration::from_millis(2_500 + 371 * kill);
        while Instant::now() < until {
            n += usize::from(buy(&node, &devices, n).is_some());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        leave(&world, &operator).await;
        tokio::time::sleep(Duration::from_millis(37 * kill)).await;
        world.kill();
        world.start();
    }
    all_is_quiet(&world, &node, &operator).await;
    world.kill();
    books_are_right(&world.events(), &node);
    let verified = world.berth().arg("verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
