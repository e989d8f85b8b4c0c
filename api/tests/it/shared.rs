//! What servers on one database know of each other, whichever of them is asked.

use std::time::{Duration, Instant};

use api::{
    accounts,
    app::{App, DataDir},
    clock::Clock,
    config::{Config, Secret},
    nodes,
    openbazaar::Status,
    roles::Roles,
};
use domain::{
    key::Nonce,
    wire::{PollRequest, Reported, ReportedState},
};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::{START, TestApp},
    gateways::report,
    world::Device,
};

/// How long what one server was told may be news to the others.
const SOON: Duration = Duration::from_secs(8);

fn clock() -> Clock {
    Clock::manual(START.parse().unwrap())
}

async fn two() -> [TestApp; 2] {
    let one = TestApp::on_database(Config::default()).await;
    let other = one.join(clock()).await;
    [one, other]
}

/// Asks until it is so.
async fn soon(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A question of one boot of the agent.
fn poll(node: &TestApp, device: &Device, boot: u128) -> PollRequest {
    let mut nonce = Nonce([0; 32]);
    nonce.0[..8].copy_from_slice(&node.fresh().to_be_bytes());
    PollRequest { nonce, boot_id: Uuid::from_u128(boot), ..device.poll() }
}

async fn ask(node: &TestApp, device: &Device, boot: u128) -> Value {
    node.ask(device, &poll(node, device, boot)).await["verdict"]["verdict"].clone()
}

async fn listed(node: &TestApp) -> Vec<String> {
    let listed = node.get("/v1/attention", &node.operator).await.ok();
    listed["items"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap().into()).collect()
}

async fn see_to(node: &TestApp, device: &Device, what: &str) {
    let seen = json!({"subject": format!("device-{}", device.id), "what": what});
    node.post("/v1/attention/seen-to", &node.operator, &seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_erased_at_a_server_that_does_not_run_the_steward() {
    let [one, other] = two().await;
    for node in [&one, &other] {
        let who = one.account(&["renter"], None).await;
        let begun = Instant::now();
        assert_eq!(node.delete(&format!("/v1/accounts/{}", who.id), &who.token).await.status, 204);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_who_dismiss_each_other_at_two_servers_one_stays() {
    let [mut one, other] = two().await;
    let mut first = one.account(&["operator"], None).await;
    let accounts = one.get("/v1/accounts", &one.operator).await.ok();
    let others =
        accounts["items"].as_array().unwrap().iter().filter(|item| item["account"] != first.id.as_str());
    let dismiss = async |node: &TestApp, id: &str, by: &str| {
        node.delete(&format!("/v1/accounts/{id}/roles/operator"), by).await.status.as_u16()
    };
    for account in others {
        assert!(dismiss(&one, account["account"].as_str().unwrap(), &first.token).await < 300);
    }
    for _ in 0..5 {
        one.operator.clone_from(&first.token);
        let second = one.account(&["operator"], None).await;
        let (a, b) =
            tokio::join!(dismiss(&one, &first.id, &second.token), dismiss(&other, &second.id, &first.token));
        assert!((a < 300) != (b < 300), "{a} {b}");
        first = if a < 300 { second } else { first };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_from_the_same_state_at_two_servers_one_is_refused() {
    let [one, other] = two().await;
    let owner = one.account(&["owner"], None).await;
    let device = one.enrol(&owner).await;
    let path = format!("/v1/devices/{}", device.id);
    for round in 0..10 {
        let seen = one.get(&path, &owner.token).await.header("etag").unwrap().to_owned();
        let rename = async |node: &TestApp, name: String| {
            let call = node.call(Method::PATCH, &path, &owner.token).header("if-match", &seen);
            call.json(&json!({"name": name})).send().await.status.as_u16()
        };
        let (a, b) = tokio::join!(rename(&one, format!("a{round}")), rename(&other, format!("b{round}")));
        let mut said = [a, b];
        said.sort_unstable();
        assert_eq!(said, [200, 412]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_that_ask_two_servers_are_held_at_both_until_an_operator_has_seen_to_it_at_one() {
    let [one, other] = two().await;
    let owner = one.account(&["owner"], None).await;
    let device = one.offered(&owner).await;
    for (node, boot) in [(&one, 1), (&other, 2), (&one, 1), (&other, 2)] {
        assert_eq!(ask(node, &device, boot).await, "run");
    }
    assert_eq!(ask(&one, &device, 1).await, "hold");
    soon("the other hears of it", async || ask(&other, &device, 2).await == "hold").await;
    assert_eq!(listed(&other).await, [api::clones::CLONED]);
    see_to(&other, &device, api::clones::CLONED).await;
    assert_eq!(ask(&other, &device, 2).await, "run");
    soon("it is over for the first too", async || ask(&one, &device, 2).await == "run").await;
    assert!(listed(&one).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_sign_of_life_is_worth_nothing_at_any_server() {
    let [one, other] = two().await;
    let owner = one.account(&["owner"], None).await;
    let device = one.offered(&owner).await;
    let check_in = device.check_in(7);
    let send = async |node: &TestApp, sign: &Value| {
        node.post("/v1/device/check-ins", &device.key, sign).await.status.as_u16()
    };
    assert_eq!(send(&one, &check_in).await, 204);
    assert_eq!(send(&other, &check_in).await, 409);
    let (next, both) =
        (device.check_in(8), async |sign: &Value| tokio::join!(send(&one, sign), send(&other, sign)));
    let mut said = <[u16; 2]>::from(both(&next).await);
    said.sort_unstable();
    assert_eq!(said, [204, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_one_server_listed_is_taken_off_and_listed_anew_by_the_other() {
    let [one, other] = two().await;
    let owner = one.account(&["owner"], None).await;
    let device = one.offered(&owner).await;
    let tell = async |node: &TestApp, conflict: Option<&str>| {
        let (state, conflict) = (ReportedState::Leased, conflict.map(Into::into));
        let reported = Reported { state, epoch: 1, running: false, conflict, host_keys: Vec::new() };
        node.ask(&device, &PollRequest { reported, ..poll(node, &device, 1) }).await;
        listed(&one).await
    };
    assert_eq!(tell(&one, Some("the disk is full")).await, ["the device reports: the disk is full"]);
    assert_eq!(tell(&other, Some("the disk is full")).await.len(), 1);
    assert_eq!(tell(&other, Some("the disk is gone")).await, ["the device reports: the disk is gone"]);
    assert!(tell(&one, None).await.is_empty());
    assert_eq!(tell(&one, Some("the disk is full")).await.len(), 1);
    see_to(&other, &device, "the device reports: the disk is full").await;
    assert!(listed(&one).await.is_empty());
    assert_eq!(tell(&one, Some("the disk is full")).await.len(), 1, "it still lasts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_known_whichever_server_it_reports_to() {
    let [one, other] = two().await;
    let token = std::fs::read_to_string(one.data().gateway().join("token")).unwrap();
    let tell = async |node: &TestApp, name: &str, report: &Value| {
        node.post(&format!("/v1/gateways/{name}/report"), token.trim(), report).await
    };
    tell(&one, "north", &report(30_000, &[])).await.ok();
    // At once where it matters.
    let owner = one.account(&["owner"], None).await;
    let device = other.enrol(&owner).await;
    assert_eq!(other.register(&device).await.ok()["gateway"], "north");
    let polled = other.poll(&device).await;
    assert_eq!(polled["verdict"]["gateway"]["host"], "gw.example", "{polled}");
    let mut stranger = report(40_000, &[]);
    stranger["announcement"]["host_key"] = json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let refused = tell(&other, "north", &stranger).await;
    assert_eq!(refused.problem(), (409, "gateway-name-taken"));
    assert!(refused.body.to_string().contains("gateway.name"), "{}", refused.body);
    assert_eq!(tell(&other, "east", &report(30_005, &[])).await.problem(), (409, "gateway-ports-taken"));
    let tunnel = json!({"device": device.id, "epoch": 1, "heard_s_ago": 1, "visitors": 2,
        "to_device": 10, "from_device": 20, "connections": 3});
    soon("the lease is known where the gateway reports", async || {
        tell(&one, "north", &report(30_000, std::slice::from_ref(&tunnel))).await;
        let seen = one.get(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
        seen["tunnel"].is_object()
    })
    .await;
    soon("the tunnel is known at the other server", async || {
        let seen = other.get(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
        seen["tunnel"]["visitors"] == 2
    })
    .await;
    let gateways = other.get("/v1/gateways", &other.operator).await.ok();
    assert_eq!(
        (&gateways["items"][0]["is_there"], &gateways["items"][0]["tunnels"]),
        (&json!(true), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn how_jobs_and_the_connector_are_is_known_at_every_server() {
    let [one, other] = two().await;
    let now = one.clock.time();
    one.run_due().await;
    one.app.openbazaar.send_replace(Some(Status {
        url: "http://node".into(),
        leads: true,
        coins: vec!["BTC".into()],
        looked_at: now,
        answered_at: now,
        listings: 3,
        open_orders: 2,
        waiting_payments: 1,
        error: None,
    }));
    soon("the other hears of it", async || {
        let connector = other.get("/v1/openbazaar", &other.operator).await;
        connector.status == 200 && other.app.jobs.of("expiry").is_some()
    })
    .await;
    let connector = other.get("/v1/openbazaar", &other.operator).await.ok();
    assert_eq!((&connector["coins"], &connector["leads"]), (&json!(["BTC"]), &json!(false)));
    assert_eq!(other.app.jobs.all(), one.app.jobs.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_counted_while_they_are_there() {
    let [one, mut other] = two().await;
    assert_eq!(nodes::all(&one.app).await.unwrap().len(), 2);
    assert_eq!(nodes::listening_since(&other.app).await.unwrap(), Some(one.clock.time()));
    let metrics = one.call(Method::GET, "/metrics", &one.operator).open().await.text().await.unwrap();
    assert!(metrics.contains("\nberth_nodes 2\n"), "{metrics}");
    other.stop().await;
    assert_eq!(nodes::all(&one.app).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_for_the_first_operator_is_printed_by_one_server() {
    let database = fixtures::postgres::server().fresh();
    let config = Config { database: Secret(database.url()), ..Config::default() };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let data = [0, 1].map(|n| DataDir::open(folders[n].path()).unwrap());
    let open = async |data: &DataDir| App::open(data, config.clone(), clock(), |_| {}).await.unwrap();
    let one = open(&data[0]).await;
    std::fs::create_dir_all(data[1].keys()).unwrap();
    for file in std::fs::read_dir(data[0].keys()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), data[1].keys().join(file.file_name())).unwrap();
    }
    let other = open(&data[1]).await;
    let (a, b) = tokio::join!(accounts::offer_set_up(&one), accounts::offer_set_up(&other));
    let codes: Vec<_> = [a.unwrap(), b.unwrap()].into_iter().flatten().collect();
    assert_eq!(codes.len(), 1, "one of two that start at once");
    nodes::be_there(&one, &Roles::default()).await.unwrap();
    assert_eq!(accounts::offer_set_up(&other).await.unwrap(), None, "nor later");
    let by = one.by_system(domain::event::SystemPart::Steward, None);
    accounts::set_up(&other, &codes[0], "Olga", &by).await.unwrap();
}
