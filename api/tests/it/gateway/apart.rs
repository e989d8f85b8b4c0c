//! A gateway in a process of its own, with a real server, a real agent and what the demo's devices offer.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use api::clock::Clock;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::kit::{PATIENCE, eventually, free_port};
use crate::crash::World;

/// Seconds that are rented.
const TERM_S: i64 = 12;

struct Town {
    world: World,
    gateway: Child,
    http: u16,
    owner: String,
    device: String,
}

impl Drop for Town {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

fn gateway(world: &World) -> Child {
    let mut command = world.berth();
    command.arg("serve").env("BERTH_ROLES", "gateway").env("BERTH_LISTEN", world.address());
    command.stdout(Stdio::null()).spawn().unwrap()
}

impl Town {
    async fn new() -> Self {
        let mut world = World::new();
        let (port, http) = (free_port().await, free_port().await);
        world.settings = vec![
            ("BERTH_ROLES", "api,scheduler,steward,connector".into()),
            ("BERTH_GATEWAY_FIRST_PORT", port.to_string()),
            // The device's next lease is at the other one.
            ("BERTH_GATEWAY_LAST_PORT", (port + 1).to_string()),
            ("BERTH_GATEWAY_SSH_LISTEN", format!("127.0.0.1:{}", free_port().await)),
            ("BERTH_GATEWAY_INGRESS_HTTP", format!("127.0.0.1:{http}")),
            ("BERTH_GATEWAY_INGRESS_TLS", "off".into()),
            ("BERTH_GATEWAY_DRAIN_S", "0".into()),
        ];
        let (_, owner) = world.account("owner", &[]);
        world.start();
        world.get(&owner, "/v1/devices").await;
        let gateway = gateway(&world);
        let terms = json!({
            "min_term_s": 1, "max_term_s": 3600,
            "rates": [{ "per": "hour", "price": { "amount": "1800.00", "asset": "USD" } }],
        });
        let device = world.device(&owner, "pi", terms).await;
        Self { world, gateway, http, owner, device }
    }

    async fn shown(&self) -> Value {
        self.world.get(&self.owner, &format!("/v1/devices/{}", self.device)).await
    }

    async fn until_connected(&self) -> Value {
        eventually(|| async { self.shown().await["tunnel"]["connected"] == true }).await;
        self.shown().await
    }

    /// What a visitor of the device's web server is told.
    async fn page(&self, subdomain: &str) -> Option<(u16, String)> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).build().unwrap();
        let request = client.get(format!("http://127.0.0.1:{}/", self.http));
        let answer =
            request.header("host", format!("{subdomain}.localhost:{}", self.http)).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn is_served(&self, subdomain: &str) -> bool {
        self.page(subdomain).await.is_some_and(|(status, text)| status == 200 && text.contains("lease 1"))
    }
}

/// Whatever is said first by what answers at the port.
async fn greeting(port: u16) -> Option<(TcpStream, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let mut said = [0; 64];
    let n = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut said)).await.ok()?.ok()?;
    Some((stream, String::from_utf8_lossy(&said[..n]).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_apart_outlives_its_server_and_itself_and_ends_a_rental_within_a_second() {
    let mut town = Town::new().await;
    let (renter_id, renter) = town.world.account("renter", &[]);
    let (_, shop) = town.world.account("marketplace", &["--marketplace", "shop"]);
    let lease = town.until_connected().await["lease"].clone();
    let subdomain = lease["subdomain"].as_str().unwrap().to_owned();
    let port = u16::try_from(lease["port"].as_u64().unwrap()).unwrap();
    eventually(|| town.is_served(&subdomain)).await;
    assert!(greeting(port).await.is_some_and(|(_, said)| said.starts_with("SSH-2.0-")));

    // It dies, and comes back with just the lease that lives.
    town.gateway.kill().unwrap();
    town.gateway.wait().unwrap();
    assert!(town.page(&subdomain).await.is_none() && greeting(port).await.is_none());
    town.gateway = gateway(&town.world);
    eventually(|| town.is_served(&subdomain)).await;

    // Visitors do not notice that the server dies and comes back.
    town.world.kill();
    for _ in 0..5 {
        assert!(town.is_served(&subdomain).await);
    }
    town.world.start();
    town.shown().await;
    for _ in 0..10 {
        assert!(town.is_served(&subdomain).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // A rental that runs out is cut off at its second, and so is everybody on the device.
    let order = json!({
        "order_id": "o1", "renter": renter_id, "paid": { "amount": "6.00", "asset": "USD" },
        "item": { "kind": "rental", "device": town.device, "term_s": TERM_S },
    });
    let (status, accepted) = town.world.send(&shop, "POST", "/v1/orders", &order, "o1").await;
    assert_eq!(status, 201, "{accepted}");
    let contract = format!("/v1/contracts/{}", accepted["contract"].as_str().unwrap());
    let shown = town.world.get(&renter, &contract).await;
    let site = format!("http://{subdomain}.localhost:{}/", town.http);
    assert_eq!(
        (&shown["access"]["http"], &shown["access"]["https"]),
        (&json!(site), &json!(null)),
        "{shown}"
    );
    assert!(shown["access"]["host_keys"][0].as_str().is_some_and(|key| key.starts_with("ssh-ed25519 ")));
    let ends_at: DateTime<Utc> = shown["ends_at"].as_str().unwrap().parse().unwrap();
    let (mut visitor, _) = greeting(port).await.unwrap();
    let cut = tokio::time::timeout(PATIENCE, async { while visitor.read_u8().await.is_ok() {} });
    cut.await.expect("the visitor is never cut off");
    let late = Clock::System.now() - ends_at;
    assert!((0..1_000).contains(&late.num_milliseconds()), "cut off {late} after the end");
    assert!(greeting(port).await.is_none());
    assert_eq!(town.page(&subdomain).await.map(|(status, _)| status), Some(410));
}
