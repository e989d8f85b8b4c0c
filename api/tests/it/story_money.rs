//! The money of a rental, as its people see it.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{story::Story, world::usd};

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_is_extended_ended_early_and_paid_out() {
    let mut story = Story::new().await;
    let contract = story.rent().await;
    let (path, renter) = (format!("/v1/contracts/{contract}"), story.renter.token.clone());
    assert_snapshot!(story.read(&path, &renter).await, @r#"
    200 OK
    {
      "access": {
        "connected": false,
        "host": "localhost",
        "host_keys": [],
        "http": null,
        "https": null,
        "name": "<subdomain>.localhost",
        "port": 20000
      },
      "contract": "<contract>",
      "device": "<device>",
      "ended_at": null,
      "ended_by": null,
      "ends_at": "2026-11-22T19:00:00Z",
      "epoch": 1,
      "erased_at": null,
      "extension": null,
      "fee": null,
      "key_half": {"commitment":"<commitment>","destroyed_at":null,"state":"held","why":null},
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
      "payout": null,
      "payout_due_at": null,
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
          "verdict": "pending"
        }
      ],
      "starts_at": "2026-11-22T09:00:00Z",
      "status": "running"
    }
    "#);
    assert_snapshot!(story.read(&format!("{path}/credentials"), &renter).await, @r#"
    200 OK
    {"host":"localhost","password":"<password>","port":20000,"subdomain":"<subdomain>","user":"berth"}
    "#);

    let asked = story.test.post(&format!("{path}/extensions"), &renter, &json!({"term_s": 3_600})).await;
    story.names.call(&asked.id("extension"), "extension");
    assert_snapshot!(story.names.shape(&asked), @r#"
    201 Created
    berth-position: 15
    location: /v1/contracts/<contract>
    {
      "extension": "<extension>",
      "lapses_at": "2026-11-22T10:00:00Z",
      "price": {"amount":"0.60","asset":"USD"},
      "term_s": 3600
    }
    "#);
    let item = json!({"kind": "extension", "contract": contract, "extension": asked.id("extension")});
    let paid = json!({"order_id": "o2", "item": item, "renter": story.renter.id, "paid": usd("0.60")});
    assert_snapshot!(story.shape(Method::POST, "/v1/orders", &story.shop.token, Some(paid)).await, @r#"
    201 Created
    berth-position: 18
    location: /v1/orders/o2
    {
      "contract": "<contract>",
      "item": {"contract":"<contract>","extension":"<extension>","kind":"extension"},
      "marketplace": "shop",
      "order_id": "o2",
      "paid": {"amount":"0.60","asset":"USD"},
      "reason": null,
      "received_at": "2026-11-22T09:00:00Z",
      "refund": null,
      "renter": "<renter>",
      "segment": {"end":"2026-11-22T20:00:00Z","start":"2026-11-22T19:00:00Z"},
      "status": "accepted"
    }
    "#);

    story.test.advance(18_000);
    assert_snapshot!(story.read(&format!("{path}/refund-quote"), &renter).await, @r#"
    200 OK
    {
      "at": "2026-11-22T14:00:00Z",
      "fee": {"amount":"0.30","asset":"USD"},
      "owner": {"amount":"2.70","asset":"USD"},
      "refunds": [
        {"amount":{"amount":"3.00","asset":"USD"},"marketplace":"shop","order_id":"o1","segment":0},
        {"amount":{"amount":"0.60","asset":"USD"},"marketplace":"shop","order_id":"o2","segment":1}
      ],
      "stands_until": "2026-11-22T14:05:00Z",
      "total": {"amount":"3.60","asset":"USD"}
    }
    "#);
    let ended = story.shape(Method::POST, &format!("{path}/termination"), &renter, Some(json!({}))).await;
    assert_snapshot!(ended, @r#"
    200 OK
    berth-position: 21
    {
      "access": null,
      "contract": "<contract>",
      "device": "<device>",
      "ended_at": "2026-11-22T14:00:00Z",
      "ended_by": "renter",
      "ends_at": "2026-11-22T20:00:00Z",
      "epoch": 1,
      "erased_at": null,
      "extension": null,
      "fee": {"amount":"0.30","asset":"USD"},
      "key_half": {"commitment":"<commitment>","destroyed_at":null,"state":"held","why":null},
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
      "paid": {"amount":"6.60","asset":"USD"},
      "payout": {"amount":"2.70","asset":"USD"},
      "payout_due_at": "2026-11-22T14:00:00Z",
      "quote_valid_s": 300,
      "refunded": {"amount":"3.60","asset":"USD"},
      "renter": "<renter>",
      "segments": [
        {
          "end": "2026-11-22T19:00:00Z",
          "marketplace": "shop",
          "order_id": "o1",
          "paid": {"amount":"6.00","asset":"USD"},
          "refunded": {"amount":"3.00","asset":"USD"},
          "start": "2026-11-22T09:00:00Z",
          "verdict": "pending"
        },
        {
          "end": "2026-11-22T20:00:00Z",
          "marketplace": "shop",
          "order_id": "o2",
          "paid": {"amount":"0.60","asset":"USD"},
          "refunded": {"amount":"0.60","asset":"USD"},
          "start": "2026-11-22T19:00:00Z",
          "verdict": "pending"
        }
      ],
      "starts_at": "2026-11-22T09:00:00Z",
      "status": "terminated"
    }
    "#);
    story.test.run_due().await;
    for (i, item) in
        story.test.get("/v1/refunds", &renter).await.ok()["items"].as_array().unwrap().iter().enumerate()
    {
        story.names.call(item["settlement"].as_str().unwrap(), &format!("refund {i}"));
    }
    assert_snapshot!(story.read("/v1/refunds?status=due", &story.shop.token).await, @r#"
    200 OK
    {
      "items": [
        {
          "amount": {"amount":"0.60","asset":"USD"},
          "attempt": 0,
          "contract": "<contract>",
          "due_at": "2026-11-22T14:00:00Z",
          "ended_at": null,
          "kind": "refund",
          "marketplace": "shop",
          "method": null,
          "moved": null,
          "network_fee": null,
          "order_id": "o2",
          "reason": null,
          "recipient": "<renter>",
          "reference": null,
          "settlement": "<refund 0>",
          "started_at": null,
          "status": "due"
        },
        {
          "amount": {"amount":"3.00","asset":"USD"},
          "attempt": 0,
          "contract": "<contract>",
          "due_at": "2026-11-22T14:00:00Z",
          "ended_at": null,
          "kind": "refund",
          "marketplace": "shop",
          "method": null,
          "moved": null,
          "network_fee": null,
          "order_id": "o1",
          "reason": null,
          "recipient": "<renter>",
          "reference": null,
          "settlement": "<refund 1>",
          "started_at": null,
          "status": "due"
        }
      ],
      "next": null
    }
    "#);
    let payouts = story.test.get("/v1/payouts", &story.owner.token).await.ok();
    let payout = payouts["items"][0]["settlement"].as_str().unwrap().to_owned();
    story.names.call(&payout, "payout");
    assert_snapshot!(story.read(&format!("/v1/settlements/{payout}"), &story.owner.token).await, @r#"
    200 OK
    {
      "amount": {"amount":"2.70","asset":"USD"},
      "attempt": 0,
      "contract": "<contract>",
      "due_at": "2026-11-22T14:00:00Z",
      "ended_at": null,
      "kind": "payout",
      "marketplace": "shop",
      "method": null,
      "moved": null,
      "network_fee": null,
      "order_id": "o1",
      "reason": null,
      "recipient": "<owner>",
      "reference": null,
      "settlement": "<payout>",
      "started_at": null,
      "status": "due"
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_leaves_escrow_step_by_step_and_doubt_is_resolved_by_a_human() {
    let mut story = Story::new().await;
    story.rent().await;
    let rejected = story.test.order(&story.shop, &story.renter, &story.device, 3_600, usd("0.60")).await;
    let refund = rejected.body["refund"]["settlement"].as_str().unwrap().to_owned();
    story.names.call(&refund, "refund");
    assert_snapshot!(story.names.shape(&rejected), @r#"
    409 Conflict
    {
      "action": "nothing: the order is recorded and refunded in full; order again under a new id",
      "detail": "the order is rejected: the device is already let",
      "order": "order-0",
      "reason": {"code":"already_let"},
      "received_at": "2026-11-22T09:00:00Z",
      "refund": {"amount":{"amount":"0.60","asset":"USD"},"settlement":"<refund>"},
      "status": 409,
      "title": "already let",
      "type": "/problems/already-let"
    }
    "#);
    story.test.settle().await;

    let path = format!("/v1/settlements/{refund}");
    let shop = story.shop.token.clone();
    let step = async |step: &str, token: &str, body: Value| {
        let reply = story.test.post(&format!("{path}/{step}"), token, &body).await;
        if reply.status.is_success() {
            return reply.body["status"].as_str().unwrap().to_owned();
        }
        let (status, kind) = reply.problem();
        format!("{status} {kind}")
    };
    let moved = |attempt: u32| json!({"attempt": attempt, "reference": "tx1", "moved": usd("0.60")});
    assert_eq!(step("settled", &shop, moved(1)).await, "409 settlement-state", "not before it was started");
    assert_eq!(step("start", &shop, json!({"method": "wallet"})).await, "started");
    assert_eq!(step("start", &shop, json!({"method": "wallet"})).await, "409 settlement-under-way");
    assert_eq!(step("failed", &shop, json!({"attempt": 1, "reason": "no funds"})).await, "failed");
    assert_eq!(step("start", &shop, json!({"method": "wallet"})).await, "started");
    assert_eq!(step("settled", &shop, moved(1)).await, "409 wrong-attempt");
    let euros = json!({"attempt": 2, "reference": "tx1", "moved": {"amount": "0.60", "asset": "EUR"}});
    assert_eq!(step("settled", &shop, euros).await, "422 wrong-asset");
    assert_eq!(step("quarantined", &shop, json!({"attempt": 2, "reason": "timeout"})).await, "quarantined");
    assert_eq!(step("start", &shop, json!({"method": "wallet"})).await, "409 settlement-state");
    let found = json!({"resolution": {"outcome": "not_moved"}, "note": "not on the chain"});
    assert_eq!(step("resolve", &shop, found.clone()).await, "403 forbidden");
    assert_eq!(step("resolve", &story.test.operator, found).await, "due");
    assert_eq!(step("start", &shop, json!({"method": "wallet"})).await, "started");
    assert_eq!(step("settled", &shop, moved(3)).await, "settled");
    assert_eq!(step("settled", &shop, moved(3)).await, "settled", "told twice is told once");
    assert_snapshot!(story.read(&path, &shop).await, @r#"
    200 OK
    {
      "amount": {"amount":"0.60","asset":"USD"},
      "attempt": 3,
      "contract": null,
      "due_at": "2026-11-22T09:00:00Z",
      "ended_at": "2026-11-22T09:00:00Z",
      "kind": "refund",
      "marketplace": "shop",
      "method": "wallet",
      "moved": {"amount":"0.60","asset":"USD"},
      "network_fee": null,
      "order_id": "order-0",
      "reason": null,
      "recipient": "<renter>",
      "reference": "tx1",
      "settlement": "<refund>",
      "started_at": "2026-11-22T09:00:00Z",
      "status": "settled"
    }
    "#);
}
