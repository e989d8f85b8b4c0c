//! What devices and owners get wrong.

use api::config::Config;
use domain::wire::PollRequest;
use serde_json::json;

use crate::{
    app::TestApp,
    world::{Device, offer, usd},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_unknown_or_was_replaced_lets_no_device_in() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    let unknown = test.post("/v1/device/register", "berth-key-nobody", &device.registration()).await;
    assert_eq!(unknown.problem(), (401, "enrolment-key-unknown"));
    assert_eq!(test.register(&device).await.status, 200);

    let replaced =
        test.post(&format!("/v1/devices/{}/enrolment-key", device.id), &owner.token, &json!({})).await;
    assert_eq!(test.register(&device).await.problem(), (401, "enrolment-key-unknown"));
    let device = Device { key: replaced.id("key"), ..device };
    assert_eq!(test.check_in(&device).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_devices_key_gives_only_that_devices_lease() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let (one, two) = (test.enrol(&owner).await, test.enrol(&owner).await);
    let lease = test.register(&one).await.ok();
    // The lease is held by the key that signed: whoever copies the enrolment key does not get it.
    let copied = test.post("/v1/device/register", &one.key, &two.registration()).await;
    assert_eq!(copied.problem(), (409, "lease-held"));
    let own = test.register(&two).await.ok();
    assert_ne!((&lease["device"], &lease["port"]), (&own["device"], &own["port"]));
    assert_eq!(test.register(&one).await.ok(), lease, "the same question gets the same answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_key_that_holds_the_lease_gives_signs_of_life() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    assert_eq!(test.check_in(&device).await.problem(), (409, "not-leased"));
    test.register(&device).await.ok();
    let lost = async || {
        test.run_due().await;
        let shown = test.get(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
        shown["lost_since"].is_string()
    };
    test.advance(test.app.config.devices.lost_after_s + 1);
    // Whoever copies the enrolment key keeps nobody else's device alive, and finds none that is lost.
    let copy = Device { signing: test.enrol(&owner).await.signing, ..device.clone() };
    assert_eq!(test.check_in(&copy).await.problem(), (409, "lease-held"));
    assert!(lost().await);
    assert_eq!(test.check_in(&copy).await.problem(), (409, "lease-held"));
    assert!(lost().await);
    assert_eq!(test.check_in(&device).await.status, 204);
    assert!(!lost().await);
    let bare = json!({"device_key": device.public()});
    let unsigned = test.post("/v1/device/check-ins", &device.key, &bare).await;
    assert_eq!(unsigned.problem(), (422, "bad-message"));
    let again = test.post("/v1/device/check-ins", &device.key, &device.check_in(1)).await;
    assert_eq!(again.problem(), (409, "message-replayed"));
    for body in [json!({}), json!({"device_key": "x"}), json!({"device_key": device.public(), "more": 1})] {
        let bad = test.post("/v1/device/check-ins", &device.key, &body).await;
        assert_eq!(bad.problem(), (422, "invalid-request"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_no_new_lease_before_the_last_is_erased() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    test.rental(&shop, &renter, &device).await;
    test.advance(36_000);
    test.run_due().await;

    assert_eq!(test.register(&device).await.problem(), (409, "epoch-not-erased"));
    let wrong = json!({"receipt": device.receipt("{\"epoch\":1}")});
    let wrong = test.post("/v1/device/erasures", &device.key, &wrong).await;
    assert_eq!(wrong.problem(), (422, "bad-receipt"));
    assert_eq!(test.erase(&device).await.status, 204);
    assert_eq!(test.register(&device).await.ok()["epoch"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_free_port_says_so_and_leases_nothing() {
    let mut config = Config::default();
    config.gateway.last_port = config.gateway.first_port;
    let test = TestApp::with(config).await;
    let owner = test.account(&["owner"], None).await;
    let (one, two) = (test.enrol(&owner).await, test.enrol(&owner).await);
    test.register(&one).await.ok();
    let full = test.register(&two).await;
    assert_eq!(full.problem(), (503, "ports-exhausted"));
    assert_eq!(full.header("retry-after"), Some("60"));
    let shown = test.get(&format!("/v1/devices/{}", two.id), &owner.token).await.ok();
    assert!(shown["lease"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_device_did_not_sign_is_not_believed() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let (device, other) = (test.enrol(&owner).await, test.enrol(&owner).await);
    let mut forged = device.registration();
    forged["signature"] = other.registration()["signature"].clone();
    for body in [forged, json!({"payload": "{}", "signature": device.registration()["signature"]})] {
        assert_eq!(
            test.post("/v1/device/register", &device.key, &body).await.problem(),
            (422, "bad-message")
        );
    }
    let newer = device.sign(&PollRequest { v: 2, ..device.poll() });
    let mut forged = device.question(0);
    forged["signature"] = other.question(0)["signature"].clone();
    let forged = test.post("/v1/device/poll", &device.key, &forged).await;
    assert_eq!(forged.problem(), (422, "bad-message"));
    let mut bare = serde_json::to_value(device.poll()).unwrap();
    bare["v"] = json!(2);
    assert_eq!(test.post("/v1/device/poll", &device.key, &bare).await.problem(), (422, "bad-message"));
    assert_eq!(test.post("/v1/device/poll", &device.key, &newer).await.problem(), (422, "bad-message"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_breaks_a_limit_is_refused_whole() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let path = format!("/v1/devices/{}/offer", device.id);
    let before = test.get(&format!("/v1/devices/{}", device.id), &owner.token).await;
    let rate = |per: &str, price| json!({"per": per, "price": price});
    for (member, value) in [
        ("title", json!("")),
        ("title", json!("x".repeat(121))),
        ("rates", json!([])),
        ("rates", json!([rate("hour", usd("0"))])),
        ("rates", json!([rate("hour", usd("1")), rate("hour", usd("2"))])),
        ("rates", json!([rate("hour", usd("1")), rate("day", json!({"amount": "2", "asset": "EUR"}))])),
        ("min_term_s", json!(0)),
        ("min_term_s", json!(31_536_001)),
        ("max_term_s", json!(315_360_001)),
    ] {
        let mut bad = offer();
        bad[member] = value;
        assert_eq!(test.put(&path, &owner.token, &bad).await.problem(), (422, "invalid-offer"), "{bad}");
    }
    let after = test.get(&format!("/v1/devices/{}", device.id), &owner.token).await;
    assert_eq!(after.header("etag"), before.header("etag"), "nothing is half-done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_let_stays_in_service_and_a_retired_one_never_returns() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    let (path, contract) = (format!("/v1/devices/{}", device.id), test.rental(&shop, &renter, &device).await);
    assert_eq!(test.delete(&path, &owner.token).await.problem(), (409, "device-let"));

    test.post(&format!("/v1/contracts/{contract}/termination"), &owner.token, &json!({})).await.ok();
    assert!(test.delete(&path, &owner.token).await.ok()["retired_at"].is_string());
    test.settle().await;
    assert_eq!(test.erase(&device).await.status, 204);
    assert_eq!(test.register(&device).await.problem(), (409, "device-retired"));
    let offered = test.put(&format!("{path}/offer"), &owner.token, &offer()).await;
    assert_eq!(offered.problem(), (409, "device-retired"));
}
