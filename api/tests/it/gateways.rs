//! Gateways as the server sees them: what they are told, and what follows from what they report.

use std::time::Duration;

use api::gateway::leases::News;
use domain::wire::{Reported, ReportedState};
use serde_json::{Value, json};

use crate::{
    app::{Reply, TestApp},
    world::Device,
};

const HOST_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A report of a gateway with ports from `first_port` on.
pub fn report(first_port: u16, tunnels: &[Value]) -> Value {
    let announcement = json!({
        "instance": "01890000-0000-7000-8000-000000000001",
        "host": "gw.example",
        "domain": "berth.example",
        "first_port": first_port,
        "last_port": first_port + 9,
        "ssh_port": 2222,
        "host_key": HOST_KEY,
    });
    json!({"announcement": announcement, "tunnels": tunnels})
}

/// A device that is heard over its tunnel.
fn heard(device: &Device, epoch: u32) -> Value {
    json!({"device": device.id, "epoch": epoch, "heard_s_ago": 1, "visitors": 2,
        "to_device": 10, "from_device": 20, "connections": 3})
}

struct Town {
    test: TestApp,
    token: String,
}

impl Town {
    async fn new() -> Self {
        let test = TestApp::new().await;
        let token = std::fs::read_to_string(test.data().gateway().join("token")).unwrap();
        Self { test, token: token.trim().to_owned() }
    }

    async fn report(&self, gateway: &str, report: &Value) -> Reply {
        self.test.post(&format!("/v1/gateways/{gateway}/report"), &self.token, report).await
    }

    async fn news(&self, gateway: &str, query: &str) -> News {
        let path = format!("/v1/gateways/{gateway}/leases{query}");
        serde_json::from_value(self.test.get(&path, &self.token).await.ok()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_get_their_ports_from_the_gateways_that_are_there_and_are_told_where_their_tunnels_end() {
    let town = Town::new().await;
    let owner = town.test.account(&["owner"], None).await;
    town.report("north", &report(30_000, &[])).await.ok();
    let device = town.test.enrol(&owner).await;
    let grant = town.test.register(&device).await.ok();
    assert_eq!((grant["gateway"].as_str(), grant["host"].as_str()), (Some("north"), Some("gw.example")));
    assert!(grant["port"].as_u64().is_some_and(|port| (30_000..30_010).contains(&port)), "{grant}");
    let told = town.test.poll(&device).await;
    let gateway = json!({"host": "gw.example", "port": 2222, "host_key": HOST_KEY});
    assert_eq!(told["verdict"]["gateway"], gateway, "{told}");
    // The next one goes where there is more room.
    town.report("south", &report(31_000, &[])).await.ok();
    let second = town.test.enrol(&owner).await;
    assert_eq!(town.test.register(&second).await.ok()["gateway"], "south");
    // Another machine cannot speak for it while it is there.
    let mut other = report(31_000, &[]);
    other["announcement"]["host_key"] = json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(town.report("south", &other).await.problem(), (409, "gateway-name-taken"));
    // One address leads to one lease: gateways of a host have ports of their own.
    let overlapping = town.report("east", &report(30_009, &[])).await;
    assert_eq!(overlapping.problem(), (409, "gateway-ports-taken"));
    // One that is about to stop gets no more.
    let mut leaving = report(31_000, &[]);
    leaving["announcement"]["draining"] = json!(true);
    town.report("south", &leaving).await.ok();
    let third = town.test.enrol(&owner).await;
    assert_eq!(town.test.register(&third).await.ok()["gateway"], "north");
    let listed = town.test.get("/v1/gateways", &town.test.operator).await.ok();
    let leases: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|item| item["leases"].as_u64()).collect();
    assert_eq!(leases, [Some(2), Some(1)], "{listed}");
    assert!(listed["items"][0]["host_key"].as_str().unwrap().starts_with("ssh-ed25519 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_hears_of_every_lease_and_at_once_of_its_end() {
    let town = Town::new().await;
    let owner = town.test.account(&["owner"], None).await;
    let device = town.test.enrol(&owner).await;
    let before = town.news("local", "").await;
    assert!(before.whole && before.live.is_empty());
    town.test.register(&device).await.ok();
    let since = |news: &News| format!("?after={}&source={}", news.version, news.source);
    let granted = town.news("local", &format!("{}&wait_s=20", since(&before))).await;
    assert!(!granted.whole && granted.live.len() == 1 && granted.live[0].device_key == device.public());
    assert!(town.news("other", "").await.live.is_empty());
    let waits = format!("{}&wait_s=20", since(&granted));
    let (news, ()) = tokio::join!(town.news("local", &waits), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        town.test.delete(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
    });
    assert_eq!(news.ended.iter().map(|ended| ended.epoch).collect::<Vec<_>>(), [1]);
    assert!(news.live.is_empty());
    // Whoever was away hears of it too, and a version from another log gets everything.
    let away = town.news("local", &since(&before)).await;
    assert!(away.live.is_empty() && away.ended.len() == 1);
    let other = format!("?after={}&source={}", granted.version, uuid::Uuid::nil());
    assert!(town.news("local", &other).await.whole && town.news("local", "?after=1").await.whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_heard_over_its_tunnel_is_not_lost() {
    let town = Town::new().await;
    let owner = town.test.account(&["owner"], None).await;
    let device = town.test.offered(&owner).await;
    let path = format!("/v1/devices/{}", device.id);
    let lost = async || town.test.get(&path, &owner.token).await.ok()["lost_since"].clone();
    town.test.advance(500);
    town.report("local", &report(20_000, &[heard(&device, 1)])).await.ok();
    town.test.app.flush_presence().await.unwrap();
    town.test.advance(500);
    town.test.run_due().await;
    assert_eq!(lost().await, Value::Null, "it was heard 500 seconds ago");
    let shown = town.test.get(&path, &owner.token).await.ok()["tunnel"].clone();
    let tunnel = json!({"connected": true, "port_open": true, "visitors": 2, "to_device": 10, "from_device": 20, "connections": 3});
    assert_eq!(shown, tunnel);
    town.test.advance(500);
    town.test.run_due().await;
    assert_ne!(lost().await, Value::Null);
    // Reports of another lease or by another gateway are no sign of life.
    town.report("other", &report(20_100, &[heard(&device, 1)])).await.ok();
    town.report("local", &report(20_000, &[heard(&device, 2)])).await.ok();
    town.test.settle().await;
    assert_ne!(lost().await, Value::Null);
    town.report("local", &report(20_000, &[heard(&device, 1)])).await.ok();
    town.test.settle().await;
    assert_eq!(lost().await, Value::Null, "its tunnel is up again");
}

#[tokio::test(flavor = "multi_thread")]
async fn renters_see_where_and_under_which_host_key_their_device_is_reached() {
    let town = Town::new().await;
    let owner = town.test.account(&["owner"], None).await;
    let (shop, renter) =
        (town.test.account(&["marketplace"], Some("shop")).await, town.test.account(&["renter"], None).await);
    let device = town.test.offered(&owner).await;
    let contract = town.test.rental(&shop, &renter, &device).await;
    let key = api::gateways::openssh(HOST_KEY.parse().unwrap());
    let says = |keys: &[String]| {
        let reported = Reported {
            state: ReportedState::Leased,
            epoch: 1,
            running: true,
            conflict: None,
            host_keys: keys.to_vec(),
        };
        domain::wire::PollRequest { reported, ..device.poll() }
    };
    town.test.ask(&device, &says(std::slice::from_ref(&key))).await;
    // A workload that is starting again has none for a moment.
    town.test.ask(&device, &says(&[])).await;
    let shown = town.test.get(&format!("/v1/contracts/{contract}"), &renter.token).await.ok();
    let access = &shown["access"];
    assert_eq!(access["host_keys"], json!([key]), "{shown}");
    assert_eq!((&access["host"], &access["connected"]), (&json!("localhost"), &json!(false)));
    assert!(access["name"].as_str().is_some_and(|name| name.ends_with(".localhost")), "{access}");
    town.test.post(&format!("/v1/contracts/{contract}/termination"), &renter.token, &json!({})).await.ok();
    let shown = town.test.get(&format!("/v1/contracts/{contract}"), &renter.token).await.ok();
    assert_eq!(shown["access"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_cannot_be_are_refused_and_the_numbers_are_there_for_whoever_watches() {
    let town = Town::new().await;
    let mut bad = report(20_000, &[]);
    bad["announcement"]["last_port"] = json!(1);
    assert_eq!(town.report("local", &bad).await.problem().0, 400);
    assert_eq!(town.test.post("/v1/gateways/local/report", "berth-gateway-x", &bad).await.problem().0, 401);
    let owner = town.test.account(&["owner"], None).await;
    let device = town.test.offered(&owner).await;
    town.report("local", &report(20_000, &[heard(&device, 1)])).await.ok();
    let call = town.test.call(reqwest::Method::GET, "/metrics", &town.test.operator).open().await;
    assert!(call.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = call.text().await.unwrap();
    let bytes = format!(
        "berth_tunnel_from_device_bytes_total{{gateway=\"local\",device=\"{}\",epoch=\"1\"}} 20",
        device.id
    );
    assert!(text.contains(&bytes) && text.contains("berth_gateway_up{gateway=\"local\"} 1"), "{text}");
}
