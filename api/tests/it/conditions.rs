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
    let stale = publish("0.80", &seen).await;
    assert_eq!(stale.problem(), (412, "stale"));
    assert_eq!(stale.body["detail"], "it is not what If-Match names: it is at revision 3");
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
async fn a_value_outside_the_ledger_is_not_overwritten_unseen() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    for (path, one, two) in [
        (format!("/v1/devices/{}", device.id), json!({"name": "one"}), json!({"name": "two"})),
        (
            format!("/v1/accounts/{}", owner.id),
            json!({"payout_address": "bc1q-one"}),
            json!({"payout_address": "bc1q-two"}),
        ),
    ] {
        let change = |body: &Value, tag: &str| {
            test.call(Method::PATCH, &path, &owner.token).header("if-match", tag).json(body).send()
        };
        let seen = tag(&test.get(&path, &owner.token).await);
        let changed = change(&one, &seen).await;
        assert_eq!(changed.status, 200);
        let stale = change(&two, &seen).await;
        assert_eq!(stale.problem(), (412, "stale"), "{path}");
        assert!(!stale.body["detail"].as_str().unwrap().contains("Some"), "{}", stale.body);
        let now = test.get(&path, &owner.token).await;
        assert_eq!(tag(&now), tag(&changed), "a change answers with the ETag that reading gives");
        let (member, value) = one.as_object().unwrap().iter().next().unwrap();
        assert_eq!(&now.body[member], value);
        for round in 0..10 {
            let seen = tag(&test.get(&path, &owner.token).await);
            let names: Vec<_> = (0..4).map(|n| json!({"name": format!("{round} {n}")})).collect();
            let all = futures_util::future::join_all(names.iter().map(|name| change(name, &seen))).await;
            let won = all.iter().filter(|reply| reply.status == 200).count();
            let stale = all.iter().filter(|reply| reply.status == 412).count();
            assert_eq!((won, stale), (1, 3), "of those who saw the same, one wins");
        }
        let now = test.get(&path, &owner.token).await;
        // A tag that says nothing about the values stands for none of them.
        let short = format!("{}\"", tag(&now).rsplit_once('-').unwrap().0);
        assert_eq!(change(&two, &short).await.status, 412, "{short}");
        assert_eq!(change(&two, "*").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_stops_no_change() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let path = format!("/v1/devices/{}", device.id);
    let read = async || {
        test.app.flush_presence().await.unwrap();
        tag(&test.get(&path, &owner.token).await)
    };
    let seen = read().await;
    test.advance(5);
    test.poll(&device).await;
    assert_ne!(read().await, seen, "it was heard of");
    let renamed = test.call(Method::PATCH, &path, &owner.token).header("if-match", seen);
    assert_eq!(renamed.json(&json!({"name": "po"})).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etag_of_a_new_device_holds_until_it_is_changed() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let enrolled = test.post("/v1/devices", &owner.token, &json!({"name": "pi"})).await;
    let path = format!("/v1/devices/{}", enrolled.id("device"));
    let replaced = test.call(Method::POST, &format!("{path}/enrolment-key"), &owner.token);
    let replaced = replaced.header("if-match", tag(&enrolled)).send().await;
    assert_eq!(replaced.status, 201);
    let rename = |name: &str, tag: String| {
        let call = test.call(Method::PATCH, &path, &owner.token).header("if-match", tag);
        call.json(&json!({"name": name})).send()
    };
    assert_eq!(rename("po", tag(&enrolled)).await.status, 412);
    assert_eq!(rename("po", tag(&replaced)).await.status, 200);
    assert_eq!(rename("pu", tag(&replaced)).await.status, 412);
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
