//! ETags: nobody overwrites what they have not seen, and nobody is sent what they hold.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    app::{Reply, TestApp},
    world::{offer, usd},
};

fn tag(reply: &Reply) -> String {
    let tag = reply.header("etag").unwrap_or_else(|| panic!("no ETag: {}", reply.body));
    assert!(tag.starts_with("\"r") && tag.ends_with('"'), "{tag}");
    tag.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_under_a_stale_etag_changes_nothing() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let (path, one) = (format!("/v1/devices/{}", device.id), format!("/v1/devices/{}/offer", device.id));
    let seen = tag(&test.get(&path, &owner.token).await);
    let publish = async |price: &str, tag: &str| {
        let mut offer = offer();
        offer["rates"][0]["price"] = usd(price);
        test.call(Method::PUT, &one, &owner.token).header("if-match", tag).json(&offer).send().await
    };
    let changed = publish("0.70", &seen).await;
    assert_eq!(changed.status, 200);
    assert_eq!(publish("0.80", &seen).await.problem(), (412, "stale"));
    let now = test.get(&path, &owner.token).await;
    assert_eq!(now.body["offer"]["rates"][0]["price"], usd("0.70"));
    assert_eq!(tag(&now), tag(&changed), "a change answers with the ETag that reading gives");
    assert_eq!(publish("0.80", &tag(&now)).await.status, 200);
    assert_eq!(publish("0.90", "*").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_under_the_same_etag_one_wins() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let seen = tag(&test.get(&format!("/v1/devices/{}", device.id), &owner.token).await);
    let path = format!("/v1/devices/{}/offer", device.id);
    let publish = |price: &str| {
        let mut offer = offer();
        offer["rates"][0]["price"] = usd(price);
        test.call(Method::PUT, &path, &owner.token).header("if-match", &seen).json(&offer).send()
    };
    let (a, b, c) = tokio::join!(publish("0.70"), publish("0.80"), publish("0.90"));
    let mut all = [a.status, b.status, c.status];
    all.sort_unstable();
    let stale = StatusCode::PRECONDITION_FAILED;
    assert_eq!(all, [StatusCode::OK, stale, stale]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_holds_is_not_sent_again_until_it_changes() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    let contract = test.rental(&shop, &renter, &device).await;
    let rejected = test.order(&shop, &renter, &device, 3_600, usd("0.60")).await;
    test.settle().await;
    let settlement = rejected.body["refund"]["settlement"].as_str().unwrap();
    for (path, token) in [
        (format!("/v1/devices/{}", device.id), &owner.token),
        (format!("/v1/contracts/{contract}"), &renter.token),
        (format!("/v1/orders/{}", rejected.id("order")), &shop.token),
        (format!("/v1/settlements/{settlement}"), &shop.token),
        (format!("/v1/accounts/{}", owner.id), &owner.token),
    ] {
        let first = test.get(&path, token).await;
        let ask = |known: String| test.call(Method::GET, &path, token).header("if-none-match", known).send();
        let held = ask(tag(&first)).await;
        assert_eq!((held.status, &held.body), (StatusCode::NOT_MODIFIED, &Value::Null), "{path}");
        assert_eq!(tag(&held), tag(&first));
        assert_eq!(ask(format!("\"r0-00000000\", W/{}", tag(&first))).await.status, StatusCode::NOT_MODIFIED);
        assert_eq!(ask("\"r0-00000000\"".into()).await.body, first.body);
    }
    // A name is not an event, but it is part of what is shown.
    let path = format!("/v1/devices/{}", device.id);
    let held = tag(&test.get(&path, &owner.token).await);
    test.patch(&path, &owner.token, &json!({"name": "po"})).await.ok();
    let renamed = test.call(Method::GET, &path, &owner.token).header("if-none-match", held).send().await;
    assert_eq!(renamed.ok()["name"], "po");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_reads_its_write_and_knows_its_position() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let auditor = test.account(&["auditor"], None).await;
    let device = test.offered(&owner).await;
    let path = format!("/v1/devices/{}/offer", device.id);
    for cents in 10..40 {
        let mut offer = offer();
        offer["rates"][0]["price"] = usd(&format!("0.{cents}"));
        let wrote = test.put(&path, &owner.token, &offer).await;
        let position: u64 = wrote.header("berth-position").unwrap().parse().unwrap();
        let market = test.get("/v1/market", "").await.ok();
        assert_eq!(market["items"][0]["price_per_hour"], offer["rates"][0]["price"]);
        let events = test.get(&format!("/v1/events?after={}", position - 1), &auditor.token).await.ok();
        assert_eq!(events["items"][0]["type"], "OfferPublished");
        let request = wrote.header("x-request-id").unwrap();
        assert_eq!(events["items"][0]["correlation_id"], request, "what a request wrote carries its id");
        let again = test.put(&path, &owner.token, &offer).await;
        assert_eq!(again.header("berth-position"), None, "nothing new was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_can_be_read_as_soon_as_its_order_is_accepted() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    for _ in 0..10 {
        let device = test.offered(&owner).await;
        let accepted = test.order(&shop, &renter, &device, 36_000, usd("6.00")).await;
        let contract =
            test.get(&format!("/v1/contracts/{}", accepted.id("contract")), &renter.token).await.ok();
        assert_eq!(contract["status"], "running");
        let order = test.get(&format!("/v1/orders/{}", accepted.id("order_id")), &shop.token).await.ok();
        assert_eq!(order, accepted.body);
    }
}
