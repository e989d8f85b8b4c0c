//! Webhooks: every event that concerns a receiver reaches it, signed, in order, whatever breaks meanwhile.

use std::time::Duration;

use domain::{
    event::{NewEvent, StreamName},
    id::EventId,
};
use projections::log::{Append, Expected};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{START, TestApp},
    receiver::{Answer, Receiver, until},
    world::{Who, usd},
};

/// Long enough for a webhook that is due to be looked at.
const A_LOOK: Duration = Duration::from_millis(700);

fn path(webhook: &Value) -> String {
    format!("/v1/webhooks/{}", webhook["webhook"].as_str().unwrap())
}

/// A server with an owner.
async fn owned() -> (TestApp, Who) {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    (test, owner)
}

/// Enrols devices, an event each.
async fn happen(test: &TestApp, owner: &Who, count: usize) {
    for _ in 0..count {
        test.enrol(owner).await;
    }
}

async fn next_position(test: &TestApp) -> u64 {
    test.app.executor.log().head().await.unwrap().map_or(0, |head| head + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_in_order_signed_and_as_it_is_exported() {
    let test = TestApp::new().await;
    let receiver = Receiver::new().await;
    let from = next_position(&test).await;
    let webhook = test.webhook(&receiver, json!({"label": "all"})).await;
    let secret = webhook["secret"].as_str().unwrap();
    assert_eq!((&webhook["next_position"], secret.len()), (&json!(from), "whsec_".len() + 44));
    let owner = test.account(&["owner"], None).await;
    test.offered(&owner).await;
    test.settle().await;
    let recorded = test.app.executor.log().read_all(from, 100).await.unwrap();
    let arrived = receiver.wait_for(recorded.len()).await;
    for (delivery, recorded) in arrived.iter().zip(&recorded) {
        assert_eq!(delivery.body, api::cloud_event::cloud_event(recorded).unwrap().to_string());
        assert_eq!(delivery.header("content-type"), "application/cloudevents+json");
        assert_eq!(delivery.header("webhook-id"), recorded.event.id.0.to_string());
        assert_eq!(delivery.header("webhook-timestamp"), test.clock.time().unix().to_string());
        assert_eq!(delivery.signed_with(secret), (1, true));
    }
    let end = from + recorded.len() as u64;
    until(|| "the end".into(), async || test.webhook_now(&webhook).await["next_position"] == end).await;
    let now = test.webhook_now(&webhook).await;
    assert_eq!((&now["last_success_at"], &now["secret"]), (&json!(START), &Value::Null), "shown once");
    assert_eq!(arrived.len(), recorded.len(), "each once");
}

/// An order that is rejected, because the device does not exist: it is refunded in full.
async fn rejected(test: &TestApp, shop: &Who, renter: &Who) -> String {
    let nowhere = uuid::Uuid::nil().to_string();
    let order =
        crate::world::rental_order(&format!("o-{}", test.fresh()), renter, &nowhere, 3_600, usd("0.60"));
    let rejected = test.post("/v1/orders", &shop.token, &order).await;
    rejected.body["refund"]["settlement"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marketplaces_webhook_is_told_its_orders_and_refunds_and_nobody_elses() {
    let test = TestApp::new().await;
    let renter = test.account(&["renter"], None).await;
    let owner = test.account(&["owner"], None).await;
    let mut all = Vec::new();
    for name in ["ob", "obx"] {
        let shop = test.account(&["marketplace"], Some(name)).await;
        let (orders, refunds) = (Receiver::new().await, Receiver::new().await);
        test.webhook(&orders, json!({"marketplace": name})).await;
        let types = ["SettlementSettled", "SettlementDue"];
        test.webhook(&refunds, json!({"marketplace": name, "types": types})).await;
        all.push((shop, orders, refunds));
    }
    let device = test.offered(&owner).await;
    for (shop, ..) in &all {
        let settlement = rejected(&test, shop, &renter).await;
        test.settle().await;
        let step = async |step: &str, body: Value| {
            test.post(&format!("/v1/settlements/{settlement}/{step}"), &shop.token, &body).await.ok()
        };
        step("start", json!({"method": "wallet"})).await;
        step("settled", json!({"attempt": 1, "reference": "tx", "moved": usd("0.60")})).await;
    }
    let contract = test.rental(&all[0].0, &renter, &device).await;
    test.advance(60);
    test.post(&format!("/v1/contracts/{contract}/termination"), &renter.token, &json!({})).await.ok();
    test.settle().await;
    let both = ["OrderReceived", "OrderRejected", "SettlementDue", "SettlementStarted", "SettlementSettled"];
    let (first, second) = (&all[0], &all[1]);
    first.1.wait_for(8).await;
    assert_eq!(first.1.kinds(), [&both[..], &["OrderReceived", "OrderAccepted", "SettlementDue"]].concat());
    first.2.wait_for(3).await;
    assert_eq!(first.2.kinds(), ["SettlementDue", "SettlementSettled", "SettlementDue"]);
    second.1.wait_for(5).await;
    second.2.wait_for(2).await;
    tokio::time::sleep(A_LOOK).await;
    assert_eq!((second.1.kinds(), second.2.kinds().len()), (both.map(String::from).to_vec(), 2));
    for delivery in second.1.arrived().iter().filter(|delivery| delivery.kind() == "SettlementDue") {
        assert_eq!(delivery.event()["data"]["order"]["marketplace"], "obx");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_repeated_on_schedule_and_nothing_overtakes_it() {
    let (test, owner) = owned().await;
    let (failing, stuck, healthy) = (Receiver::new().await, Receiver::new().await, Receiver::new().await);
    failing.answer(Answer::Status(500));
    stuck.answer(Answer::Never);
    let webhook = test.webhook(&failing, json!({})).await;
    test.webhook(&stuck, json!({})).await;
    test.webhook(&healthy, json!({})).await;
    let from = next_position(&test).await;
    happen(&test, &owner, 3).await;
    assert_eq!(healthy.wait_for(3).await.len(), 3, "others are not held up");
    let now = test.failures(&webhook, 1).await;
    assert_eq!(now["next_try_at"], "2026-11-22T09:00:05Z");
    assert_eq!(
        (&now["last_error"], &now["last_error_at"]),
        (&json!("answered 500 Internal Server Error"), &json!(START))
    );
    test.advance(4);
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(failing.positions(), [from], "not before its time");
    test.advance(1);
    let now = test.failures(&webhook, 2).await;
    assert_eq!(now["next_try_at"], "2026-11-22T09:05:05Z");
    failing.answer(Answer::Status(200));
    test.advance(300);
    failing.wait_for(5).await;
    assert_eq!(failing.positions(), [from, from, from, from + 1, from + 2]);
    let ids: Vec<_> = failing.arrived().iter().map(|d| d.header("webhook-id").to_owned()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "a repeated event has the same id");
    let times: Vec<_> =
        failing.arrived()[..3].iter().map(|d| d.header("webhook-timestamp").to_owned()).collect();
    assert!(times[0] < times[1] && times[1] < times[2], "and is signed anew");
    until(|| "no failures".into(), async || test.webhook_now(&webhook).await["failures"] == 0).await;
    assert_eq!(stuck.positions(), [from], "it still waits for its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_try_a_webhook_is_disabled_until_an_operator_enables_it() {
    let (test, owner) = owned().await;
    let receiver = Receiver::new().await;
    receiver.answer(Answer::Status(503));
    let webhook = test.webhook(&receiver, json!({})).await;
    let from = next_position(&test).await;
    happen(&test, &owner, 1).await;
    for (tries, wait) in (1..).zip([5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]) {
        assert_eq!(test.failures(&webhook, tries).await["disabled_at"], Value::Null);
        test.advance(wait);
    }
    let disabled = test.failures(&webhook, 8).await;
    assert_eq!(
        (&disabled["next_try_at"], &disabled["disabled_at"]),
        (&Value::Null, &disabled["last_error_at"])
    );
    let listed = test.get("/v1/attention", &test.operator).await.ok();
    assert_eq!(listed["items"][0]["what"], "webhook disabled");
    assert_eq!(listed["items"][0]["subject"], format!("webhook-{}", webhook["webhook"].as_str().unwrap()));
    happen(&test, &owner, 1).await;
    test.advance(1_000_000);
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(receiver.arrived().len(), 8);
    receiver.answer(Answer::Status(200));
    let enabled = test.post(&format!("{}/enable", path(&webhook)), &test.operator, &Value::Null).await.ok();
    assert_eq!((&enabled["disabled_at"], &enabled["failures"]), (&Value::Null, &json!(0)));
    receiver.wait_for(10).await;
    assert_eq!(receiver.positions()[7..], [from, from, from + 1], "it goes on where it stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_told_nothing_more_and_a_human_looks_at_it() {
    let (test, owner) = owned().await;
    let receiver = Receiver::new().await;
    receiver.answer(Answer::Status(410));
    let webhook = test.webhook(&receiver, json!({})).await;
    happen(&test, &owner, 2).await;
    let now = test.failures(&webhook, 1).await;
    assert_eq!((&now["disabled_at"], &now["last_error"]), (&json!(START), &json!("answered 410 Gone")));
    let listed = test.get("/v1/attention", &test.operator).await.ok();
    assert!(listed["items"][0]["detail"].as_str().unwrap().contains("410 Gone"), "{listed}");
    test.advance(86_400);
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(receiver.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() {
    let (test, owner) = owned().await;
    for (asked, next) in [
        ("60", "2026-11-22T09:01:00Z"),
        ("1", "2026-11-22T09:00:05Z"),
        ("Sun, 22 Nov 2026 10:00:00 GMT", "2026-11-22T10:00:00Z"),
        ("4000000000", "2026-11-23T09:00:00Z"),
    ] {
        let receiver = Receiver::new().await;
        receiver.answer(Answer::RetryAfter(asked));
        let webhook = test.webhook(&receiver, json!({})).await;
        happen(&test, &owner, 1).await;
        assert_eq!(test.failures(&webhook, 1).await["next_try_at"], next, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (test, owner) = owned().await;
    let (receiver, elsewhere) = (Receiver::new().await, Receiver::new().await);
    receiver.answer(Answer::RedirectTo(elsewhere.url.clone()));
    let webhook = test.webhook(&receiver, json!({})).await;
    happen(&test, &owner, 1).await;
    assert_eq!(test.failures(&webhook, 1).await["last_error"], "answered 307 Temporary Redirect");
    assert!(elsewhere.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_loses_nothing_and_repeats_only_what_was_not_answered() {
    let (mut test, owner) = owned().await;
    let receiver = Receiver::new().await;
    let webhook = test.webhook(&receiver, json!({})).await;
    let from = next_position(&test).await;
    happen(&test, &owner, 1).await;
    receiver.wait_for(1).await;
    receiver.answer(Answer::Never);
    happen(&test, &owner, 2).await;
    receiver.wait_for(2).await;
    test.restart().await;
    receiver.answer(Answer::Status(500));
    test.failures(&webhook, 1).await;
    test.restart().await;
    receiver.answer(Answer::Status(200));
    happen(&test, &owner, 1).await;
    test.advance(5);
    receiver.wait_for(6).await;
    tokio::time::sleep(A_LOOK).await;
    let mut positions = receiver.positions();
    assert_eq!(positions[0], from);
    positions.dedup();
    assert_eq!(positions, [from, from + 1, from + 2, from + 3], "in order, none left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_and_the_one_before_both_sign_for_a_day() {
    let (test, owner) = owned().await;
    let receiver = Receiver::new().await;
    let webhook = test.webhook(&receiver, json!({})).await;
    let old = webhook["secret"].as_str().unwrap();
    let rotate = format!("{}/secret", path(&webhook));
    let key = |call: crate::app::Call| call.header("idempotency-key", "rotate").send();
    let rotated = key(test.call(Method::POST, &rotate, &test.operator)).await;
    assert_eq!(rotated.status, 201);
    let new = rotated.id("secret");
    let again = key(test.call(Method::POST, &rotate, &test.operator)).await;
    assert_eq!(again.id("secret"), new, "rotated once");
    assert_ne!(new, old);
    assert_eq!(rotated.body["old_secret_until"], "2026-11-23T09:00:00Z");
    happen(&test, &owner, 1).await;
    let both = receiver.wait_for(1).await.remove(0);
    assert_eq!((both.signed_with(old), both.signed_with(&new)), ((2, true), (2, true)));
    test.advance(86_400);
    happen(&test, &owner, 1).await;
    let one = receiver.wait_for(2).await.remove(1);
    assert_eq!((one.signed_with(old), one.signed_with(&new)), ((1, false), (1, true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_to_is_refused() {
    let test = TestApp::new().await;
    let url = "https://example.org/hook";
    for (new, why) in [
        (json!({}), "url"),
        (json!({"url": "ftp://example.org"}), "http"),
        (json!({"url": "https://olga:secret@example.org"}), "password"),
        (json!({"url": format!("https://example.org/{}", "x".repeat(2_000))}), "2000 bytes"),
        (json!({"url": url, "types": ["RentalStarted", "RentalStopped"]}), "\"RentalStopped\""),
        (json!({"url": url, "marketplace": "Open Bazaar"}), "marketplace"),
        (json!({"url": url, "label": ""}), "label"),
        (json!({"url": url, "after": 1_000}), "after"),
        (json!({"url": url, "secret": "mine"}), "secret"),
    ] {
        let refused = test.post("/v1/webhooks", &test.operator, &new).await;
        assert_eq!(refused.problem(), (422, "invalid-request"), "{new}");
        assert!(refused.body["detail"].as_str().unwrap().contains(why), "{new}: {}", refused.body);
    }
    let receiver = Receiver::new().await;
    let never = json!({"types": ["DeviceLost"]});
    let first = test.webhook(&receiver, never.clone()).await;
    for _ in 1..100 {
        test.webhook(&receiver, never.clone()).await;
    }
    let add = async || test.post("/v1/webhooks", &test.operator, &json!({"url": url})).await;
    assert_eq!(add().await.problem(), (409, "too-many-webhooks"));
    assert_eq!(test.delete(&path(&first), &test.operator).await.status, 204);
    assert_eq!(test.get(&path(&first), &test.operator).await.problem(), (404, "not-found"));
    assert_eq!(add().await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_may_begin_in_the_past_and_is_added_once() {
    let (test, owner) = owned().await;
    happen(&test, &owner, 3).await;
    let receiver = Receiver::new().await;
    let new = json!({"url": receiver.url, "after": 0});
    let add = async || {
        let call = test.call(Method::POST, "/v1/webhooks", &test.operator);
        call.header("idempotency-key", "add").json(&new).send().await
    };
    let (one, two) = (add().await, add().await);
    assert_eq!((&one.body, one.header("location")), (&two.body, two.header("location")));
    let end = next_position(&test).await;
    receiver.wait_for(usize::try_from(end).unwrap() - 1).await;
    assert_eq!(receiver.positions(), (1..end).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_under_a_stale_etag_changes_nothing() {
    let test = TestApp::new().await;
    let webhook = test.webhook(&Receiver::new().await, json!({})).await;
    let seen = test.get(&path(&webhook), &test.operator).await;
    let seen = seen.header("etag").unwrap();
    let change = |method: Method, more: &str| {
        let call = test.call(method, &format!("{}{more}", path(&webhook)), &test.operator);
        call.header("if-match", seen).send()
    };
    assert_eq!(change(Method::POST, "/secret").await.status, 201);
    for (method, more) in [(Method::POST, "/secret"), (Method::POST, "/enable"), (Method::DELETE, "")] {
        assert_eq!(change(method, more).await.problem(), (412, "stale"), "{more}");
    }
    assert_eq!(test.delete(&path(&webhook), &test.operator).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_no_concern_are_passed_over_in_large_steps() {
    let (test, owner) = owned().await;
    let device = test.offered(&owner).await;
    let receiver = Receiver::new().await;
    let webhook = test.webhook(&receiver, json!({"types": ["DeviceRetired"]})).await;
    let stream = StreamName::new("device", &device.id);
    let last = test.app.executor.log().read_stream(&stream, 0, 100).await.unwrap().pop().unwrap();
    for batch in 0..3 {
        let event = |n: u64| NewEvent {
            id: EventId(uuid::Uuid::from_u128((batch * 400 + n).into())),
            kind: "OfferWithdrawn".into(),
            schema: 1,
            payload: b"{}".to_vec(),
            ..last.event.clone()
        };
        let expected = Expected::Revision(last.revision + batch * 400);
        let append = Append { stream: stream.clone(), expected, events: (0..400).map(event).collect() };
        test.app.executor.log().append(append).await.unwrap();
    }
    let far = || "the webhook to pass over a thousand events".into();
    let start = webhook["next_position"].as_u64().unwrap();
    until(far, async || test.webhook_now(&webhook).await["next_position"].as_u64().unwrap() >= start + 1_000)
        .await;
    test.delete(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
    let arrived = receiver.wait_for(1).await;
    assert_eq!((arrived.len(), arrived[0].kind()), (1, "DeviceRetired".into()));
}
