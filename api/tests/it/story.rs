//! One rental from enrolment to erasure, as its people see it.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::TestApp,
    shape::Names,
    world::{Device, Who, offer, rental_order, usd},
};

pub struct Story {
    pub test: TestApp,
    pub names: Names,
    pub owner: Who,
    pub renter: Who,
    pub shop: Who,
    pub device: Device,
}

impl Story {
    pub async fn new() -> Self {
        let test = TestApp::new().await;
        let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
        let shop = test.account(&["marketplace"], Some("shop")).await;
        let device = test.enrol(&owner).await;
        let mut names = Names::default();
        for (id, name) in
            [(&owner.id, "owner"), (&renter.id, "renter"), (&shop.id, "shop"), (&device.id, "device")]
        {
            names.call(id, name);
        }
        Self { test, names, owner, renter, shop, device }
    }

    pub async fn rent(&mut self) -> String {
        self.test.register(&self.device).await.ok();
        self.test
            .put(&format!("/v1/devices/{}/offer", self.device.id), &self.owner.token, &offer())
            .await
            .ok();
        let order = rental_order("o1", &self.renter, &self.device.id, 36_000, usd("6.00"));
        let accepted = self.test.post("/v1/orders", &self.shop.token, &order).await;
        self.names.call(&accepted.id("contract"), "contract");
        self.test.settle().await;
        accepted.id("contract")
    }

    pub async fn shape(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> String {
        let call = self.test.call(method, path, token);
        let call = match &body {
            Some(body) => call.json(body),
            None => call,
        };
        let reply = call.send().await;
        self.test.settle().await;
        self.names.shape(&reply)
    }

    pub async fn read(&self, path: &str, token: &str) -> String {
        self.shape(Method::GET, path, token, None).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_comes_to_the_market() {
    let mut story = Story::new().await;
    let enrolled = story.test.post("/v1/devices", &story.owner.token, &json!({"name": "pi"})).await;
    story.names.call(&enrolled.id("device"), "second device");
    assert_snapshot!(story.names.shape(&enrolled), @r#"
    201 Created
    berth-position: 9
    location: /v1/devices/<second device>
    {"device":"<second device>","key":"<key>","server_key":"<server_key>"}
    "#);
    let registered = story.test.register(&story.device).await;
    assert_snapshot!(story.names.shape(&registered), @r#"
    200 OK
    {
      "device": "<device>",
      "epoch": 1,
      "gateway": "local",
      "host": "localhost",
      "password": "<password>",
      "port": 20000,
      "proof": "<proof>",
      "server_key": "<server_key>",
      "subdomain": "<subdomain>",
      "user": "berth"
    }
    "#);
    let path = format!("/v1/devices/{}/offer", story.device.id);
    assert_snapshot!(story.shape(Method::PUT, &path, &story.owner.token, Some(offer())).await, @r#"
    200 OK
    berth-position: 12
    {
      "contract": null,
      "device": "<device>",
      "enrolled_at": "2026-11-22T09:00:00Z",
      "first_leased_at": "2026-11-22T09:00:00Z",
      "give_up_at": null,
      "is_let": false,
      "last_seen": "2026-11-22T09:00:00Z",
      "lease": {
        "device_key": "<device_key>",
        "ended_at": null,
        "epoch": 1,
        "erased_at": null,
        "granted_at": "2026-11-22T09:00:00Z",
        "hardware": {"cores":4,"disk_mib":65536,"memory_mib":4096,"processor":""},
        "host": "localhost",
        "port": 20000,
        "subdomain": "<subdomain>",
        "tunnel_to": null,
        "why_ended": null
      },
      "lost_since": null,
      "lost_total_s": 0,
      "name": "pi",
      "offer": {
        "max_term_s": 31536000,
        "min_term_s": 60,
        "place": "Hamburg",
        "rates": [{"per":"hour","price":{"amount":"0.60","asset":"USD"}}],
        "title": "A small computer"
      },
      "owner": "<owner>",
      "retired_at": null,
      "tunnel": null
    }
    "#);
    assert_snapshot!(story.read("/v1/market", "").await, @r#"
    200 OK
    {
      "items": [
        {
          "device": "<device>",
          "first_leased_at": "2026-11-22T09:00:00Z",
          "hardware": {"cores":4,"disk_mib":65536,"memory_mib":4096,"processor":""},
          "offer": {
            "max_term_s": 31536000,
            "min_term_s": 60,
            "place": "Hamburg",
            "rates": [{"per":"hour","price":{"amount":"0.60","asset":"USD"}}],
            "title": "A small computer"
          },
          "price_per_hour": {"amount":"0.60","asset":"USD"},
          "uptime_ppm": 1000000
        }
      ],
      "next": null
    }
    "#);
    story.rent().await;
    let again = rental_order("o1", &story.renter, &story.device.id, 36_000, usd("6.00"));
    assert_snapshot!(story.shape(Method::POST, "/v1/orders", &story.shop.token, Some(again)).await, @r#"
    200 OK
    {
      "contract": "<contract>",
      "item": {"device":"<device>","kind":"rental","term_s":36000},
      "marketplace": "shop",
      "order_id": "o1",
      "paid": {"amount":"6.00","asset":"USD"},
      "reason": null,
      "received_at": "2026-11-22T09:00:00Z",
      "refund": null,
      "renter": "<renter>",
      "segment": {"end":"2026-11-22T19:00:00Z","start":"2026-11-22T09:00:00Z"},
      "status": "accepted"
    }
    "#);
    assert_snapshot!(story.read("/v1/orders/o1", &story.shop.token).await, @r#"
    200 OK
    {
      "contract": "<contract>",
      "item": {"device":"<device>","kind":"rental","term_s":36000},
      "marketplace": "shop",
      "order_id": "o1",
      "paid": {"amount":"6.00","asset":"USD"},
      "reason": null,
      "received_at": "2026-11-22T09:00:00Z",
      "refund": null,
      "renter": "<renter>",
      "segment": {"end":"2026-11-22T19:00:00Z","start":"2026-11-22T09:00:00Z"},
      "status": "accepted"
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_with_a_tombstone_an_erasure_and_a_new_epoch() {
    let mut story = Story::new().await;
    let contract = story.rent().await;
    let verdict = async |story: &Story| {
        let mut told = story.test.poll(&story.device).await["verdict"].clone();
        let sealed = told.as_object_mut().and_then(|told| told.remove("key_half"));
        assert_eq!(sealed.is_some(), told["verdict"] == "run", "{told}");
        told
    };
    let until = json!({"verdict": "run", "epoch": 1, "until": "2026-11-22T19:00:00Z", "valid_for_s": 900});
    assert_eq!(verdict(&story).await, until);
    story.test.advance(36_000);
    assert_eq!(verdict(&story).await, json!({"verdict": "hold", "epoch": 1, "why": "ending"}));
    story.test.run_due().await;
    assert_eq!(verdict(&story).await["verdict"], "end");
    story.test.restart().await;
    assert_eq!(verdict(&story).await["verdict"], "end", "a restart forgets nothing");
    assert_eq!(story.test.erase(&story.device).await.status, 204);
    assert_eq!(verdict(&story).await, json!({"verdict": "vacant", "floor": 1}));
    let lease = story.test.register(&story.device).await.ok();
    assert_eq!(lease["epoch"], 2);
    assert_eq!(
        verdict(&story).await,
        json!({"verdict": "run", "epoch": 2, "until": null, "valid_for_s": 900})
    );
    story.test.settle().await;
    assert_snapshot!(story.read(&format!("/v1/contracts/{contract}"), &story.owner.token).await, @r#"
    200 OK
    {
      "access": null,
      "contract": "<contract>",
      "device": "<device>",
      "ended_at": "2026-11-22T19:00:00Z",
      "ended_by": "term",
      "ends_at": "2026-11-22T19:00:00Z",
      "epoch": 1,
      "erased_at": "2026-11-22T19:00:00Z",
      "extension": null,
      "fee": {"amount":"0.60","asset":"USD"},
      "key_half": {
        "commitment": "<commitment>",
        "destroyed_at": "2026-11-22T19:00:00Z",
        "state": "destroyed",
        "why": "erased"
      },
      "moderation": {"amount":"0.00","asset":"USD"},
      "offer": {
        "max_term_s": 31536000,
        "min_term_s": 60,
        "place": "Hamburg",
        "rates": [{"per":"hour","price":{"amount":"0.60","asset":"USD"}}],
        "title": "A small computer"
      },
      "offline_resume": false,
      "owner": "<owner>",
      "paid": {"amount":"6.00","asset":"USD"},
      "payout": {"amount":"5.40","asset":"USD"},
      "payout_due_at": "2026-11-22T19:00:00Z",
      "quote_valid_s": 300,
      "refunded": {"amount":"0.00","asset":"USD"},
      "renter": "<renter>",
      "segments": [
        {
          "end": "2026-11-22T19:00:00Z",
          "marketplace": "shop",
          "order_id": "o1",
          "paid": {"amount":"6.00","asset":"USD"},
          "refunded": {"amount":"0.00","asset":"USD"},
          "start": "2026-11-22T09:00:00Z",
          "verdict": "closed"
        }
      ],
      "starts_at": "2026-11-22T09:00:00Z",
      "status": "expired"
    }
    "#);
}
