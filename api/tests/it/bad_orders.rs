//! What marketplaces and renters get wrong; every rejected payment goes back in full.

use serde_json::{Value, json};

use crate::{
    app::{Reply, START, TestApp},
    world::{Device, Who, rental_order, usd},
};

struct Scene {
    test: TestApp,
    owner: Who,
    renter: Who,
    shop: Who,
    device: Device,
}

impl Scene {
    async fn new() -> Self {
        let test = TestApp::new().await;
        let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
        let shop = test.account(&["marketplace"], Some("shop")).await;
        let device = test.offered(&owner).await;
        Self { test, owner, renter, shop, device }
    }

    async fn order(&self, term_s: i64, paid: Value) -> Reply {
        self.test.order(&self.shop, &self.renter, &self.device, term_s, paid).await
    }

    async fn extension(&self, contract: &str, extension: &Value, paid: Value) -> Reply {
        let item = json!({"kind": "extension", "contract": contract, "extension": extension});
        let id = format!("extension-{}", self.test.fresh());
        let order = json!({"order_id": id, "item": item, "renter": self.renter.id, "paid": paid});
        self.test.post("/v1/orders", &self.shop.token, &order).await
    }

    /// The order is rejected and its refund is due.
    async fn goes_back(&self, rejected: &Reply, paid: &Value) {
        assert_eq!(&rejected.body["refund"]["amount"], paid, "all of it: {}", rejected.body);
        self.test.settle().await;
        let path = format!("/v1/settlements/{}", rejected.body["refund"]["settlement"].as_str().unwrap());
        let refund = self.test.get(&path, &self.shop.token).await.ok();
        assert_eq!(
            (&refund["status"], &refund["amount"], &refund["kind"]),
            (&json!("due"), paid, &json!("refund"))
        );
        assert_eq!(refund["recipient"], json!(self.renter.id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_brought_twice_is_one_order_and_with_other_contents_none() {
    let scene = Scene::new().await;
    let order = rental_order("o1", &scene.renter, &scene.device.id, 36_000, usd("6.00"));
    let first = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
    assert_eq!(first.status, 201);
    scene.test.advance(60);
    let again = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    assert_eq!(again.body["received_at"], START);
    let other = rental_order("o1", &scene.renter, &scene.device.id, 36_000, usd("6.01"));
    let other = scene.test.post("/v1/orders", &scene.shop.token, &other).await;
    assert_eq!(other.problem(), (409, "order-differs"));
    let contracts = scene.test.get("/v1/contracts", &scene.renter.token).await.ok();
    assert_eq!(contracts["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_id_without_a_letter_or_digit_is_none() {
    let scene = Scene::new().await;
    for id in ["", ".", "..", "...", "-", "_", "a/b", &"x".repeat(129)] {
        let order = rental_order(id, &scene.renter, &scene.device.id, 36_000, usd("6.00"));
        let refused = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
        assert_eq!(refused.problem(), (422, "invalid-request"), "{id:?}");
    }
    let order = rental_order("..7", &scene.renter, &scene.device.id, 36_000, usd("6.00"));
    assert_eq!(scene.test.post("/v1/orders", &scene.shop.token, &order).await.status, 201);
    assert_eq!(scene.test.get("/v1/orders/..7", &scene.shop.token).await.ok()["order_id"], "..7");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_let_device_goes_back_in_full_however_often_it_is_brought() {
    let scene = Scene::new().await;
    assert_eq!(scene.order(36_000, usd("6.00")).await.status, 201);
    let order = rental_order("late", &scene.renter, &scene.device.id, 3_600, usd("0.60"));
    let rejected = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
    assert_eq!(rejected.problem(), (409, "already-let"));
    assert_eq!(rejected.body["reason"], json!({"code": "already_let"}));
    assert_eq!(rejected.body["received_at"], START);
    scene.goes_back(&rejected, &usd("0.60")).await;
    scene.test.advance(60);
    let again = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
    assert_eq!((again.status, again.body), (rejected.status, rejected.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_the_wrong_amount_asset_or_term_goes_back_in_full() {
    let scene = Scene::new().await;
    let euros = json!({"amount": "6.00", "asset": "EUR"});
    for (term_s, paid, kind) in [
        (36_000, usd("5.99"), "wrong-amount"),
        (36_000, usd("6.01"), "wrong-amount"),
        (36_000, euros, "wrong-asset"),
        (0, usd("0.01"), "term-out-of-range"),
        (-1, usd("0.01"), "term-out-of-range"),
        (59, usd("0.01"), "term-out-of-range"),
        (i64::MAX, usd("0.01"), "term-out-of-range"),
    ] {
        let rejected = scene.order(term_s, paid.clone()).await;
        assert_eq!(rejected.problem(), (422, kind), "{}", rejected.body);
        scene.goes_back(&rejected, &paid).await;
    }
    assert_eq!(scene.order(36_000, usd("6.00")).await.status, 201, "the device is still free");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_device_that_is_gone_off_the_market_or_unknown_goes_back_in_full() {
    let scene = Scene::new().await;
    let unknown = rental_order("o", &scene.renter, &uuid::Uuid::nil().to_string(), 3_600, usd("0.60"));
    let unknown = scene.test.post("/v1/orders", &scene.shop.token, &unknown).await;
    assert_eq!(unknown.problem(), (409, "device-unknown"));
    scene.goes_back(&unknown, &usd("0.60")).await;
    let unleased = scene.test.enrol(&scene.owner).await;
    let unleased = scene.test.order(&scene.shop, &scene.renter, &unleased, 3_600, usd("0.60")).await;
    assert_eq!(unleased.problem(), (409, "not-leased"));
    scene.test.delete(&format!("/v1/devices/{}/offer", scene.device.id), &scene.owner.token).await.ok();
    let withdrawn = scene.order(3_600, usd("0.60")).await;
    assert_eq!(withdrawn.problem(), (409, "not-offered"));
    scene.goes_back(&withdrawn, &usd("0.60")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_no_asset_can_hold_is_no_order_at_all() {
    let scene = Scene::new().await;
    for (amount, asset) in [
        ("6.001", "USD"),
        ("-6.00", "USD"),
        ("1e3", "USD"),
        ("", "USD"),
        ("9999999999999999999999999999.00", "USD"),
        ("6", "XXX"),
        ("6", "usd"),
    ] {
        let bad = scene.order(36_000, json!({"amount": amount, "asset": asset})).await;
        assert_eq!(bad.problem(), (422, "invalid-request"), "{amount} {asset}");
    }
    let number = scene.order(36_000, json!({"amount": 6.0, "asset": "USD"})).await;
    assert_eq!(number.problem(), (422, "invalid-request"), "money is never a number");
    assert_eq!(scene.order(36_000, usd("0")).await.problem(), (422, "nothing-paid"));
    let orders = scene.test.get("/v1/orders", &scene.shop.token).await.ok();
    assert_eq!(orders["items"], json!([]), "none of them was recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_nobody_who_rents_is_not_recorded() {
    let scene = Scene::new().await;
    let order = rental_order("o", &scene.owner, &scene.device.id, 3_600, usd("0.60"));
    let refused = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
    assert_eq!(refused.problem(), (422, "renter-unknown"));
    assert_eq!(scene.test.get("/v1/orders/o", &scene.shop.token).await.problem(), (404, "not-found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_are_refused_when_they_overlap_have_no_length_or_come_too_late() {
    let scene = Scene::new().await;
    let contract = scene.test.rental(&scene.shop, &scene.renter, &scene.device).await;
    let path = format!("/v1/contracts/{contract}/extensions");
    let ask =
        async |term_s: i64| scene.test.post(&path, &scene.renter.token, &json!({"term_s": term_s})).await;
    for term_s in [0, -3_600, 59, 315_360_001, i64::MAX] {
        assert_eq!(ask(term_s).await.problem(), (422, "term-out-of-range"), "{term_s}");
    }
    let asked = ask(3_600).await.ok();
    assert_eq!(ask(3_600).await.problem(), (409, "extension-pending"), "one after the other");
    let wrong = scene.extension(&contract, &asked["extension"], usd("0.59")).await;
    assert_eq!(wrong.problem(), (422, "wrong-amount"));
    scene.goes_back(&wrong, &usd("0.59")).await;
    let unknown = scene.extension(&contract, &json!(uuid::Uuid::nil()), usd("0.60")).await;
    assert_eq!(unknown.problem(), (409, "extension-unknown"));

    assert_eq!(scene.extension(&contract, &asked["extension"], usd("0.60")).await.status, 201);
    let twice = scene.extension(&contract, &asked["extension"], usd("0.60")).await;
    assert_eq!(twice.problem(), (409, "extension-paid"));
    scene.goes_back(&twice, &usd("0.60")).await;

    let asked = ask(3_600).await.ok();
    scene.test.advance(3_600);
    scene.test.run_due().await;
    let late = scene.extension(&contract, &asked["extension"], usd("0.60")).await;
    assert_eq!(late.problem(), (409, "extension-lapsed"));
    scene.goes_back(&late, &usd("0.60")).await;

    scene.test.advance(36_000);
    assert_eq!(ask(3_600).await.problem(), (409, "rental-over"), "its time is over, expired or not");
    scene.test.run_due().await;
    assert_eq!(ask(3_600).await.problem(), (409, "rental-over"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_that_is_over_is_neither_paid_ended_nor_logged_into() {
    let scene = Scene::new().await;
    let contract = scene.test.rental(&scene.shop, &scene.renter, &scene.device).await;
    let path = format!("/v1/contracts/{contract}");
    let asked = json!({"term_s": 3_600});
    let asked = scene.test.post(&format!("{path}/extensions"), &scene.renter.token, &asked).await.ok();
    scene.test.advance(36_000);
    scene.test.run_due().await;
    let paid = scene.extension(&contract, &asked["extension"], usd("0.60")).await;
    assert_eq!(paid.problem(), (409, "extension-lapsed"));
    scene.goes_back(&paid, &usd("0.60")).await;
    let ended = scene.test.post(&format!("{path}/termination"), &scene.renter.token, &json!({})).await;
    assert_eq!(ended.problem(), (409, "rental-over"));
    for question in ["credentials", "refund-quote"] {
        let asked = scene.test.get(&format!("{path}/{question}"), &scene.renter.token).await;
        assert_eq!(asked.problem(), (409, "rental-over"), "{question}");
    }
    let again = scene.order(3_600, usd("0.60")).await;
    assert_eq!(again.problem(), (409, "not-leased"), "the lease ended with the rental");
    scene.goes_back(&again, &usd("0.60")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_stands_for_its_time_and_no_longer() {
    let scene = Scene::new().await;
    let contract = scene.test.rental(&scene.shop, &scene.renter, &scene.device).await;
    let path = format!("/v1/contracts/{contract}");
    scene.test.advance(18_000);
    let quote = scene.test.get(&format!("{path}/refund-quote"), &scene.renter.token).await.ok();
    let end = json!({"quoted_at": quote["at"]});
    scene.test.advance(301);
    let late = scene.test.post(&format!("{path}/termination"), &scene.renter.token, &end).await;
    assert_eq!(late.problem(), (409, "quote-expired"));
    let future = json!({"quoted_at": "2099-01-01T00:00:00Z"});
    let future = scene.test.post(&format!("{path}/termination"), &scene.renter.token, &future).await;
    assert_eq!(future.problem(), (409, "quote-expired"));
    let quote = scene.test.get(&format!("{path}/refund-quote"), &scene.renter.token).await.ok();
    scene.test.advance(299);
    let end = json!({"quoted_at": quote["at"]});
    let ended = scene.test.post(&format!("{path}/termination"), &scene.renter.token, &end).await.ok();
    assert_eq!((&ended["refunded"], &ended["ended_at"]), (&quote["total"], &quote["at"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_for_nothing_that_is_sold_is_recorded_and_goes_back() {
    let scene = Scene::new().await;
    let whys = [
        ("listing_unknown", "listing-unknown"),
        ("moderator_refused", "moderator-refused"),
        ("not_the_renter", "not-the-renter"),
        ("surplus", "surplus"),
        ("disputed", "order-disputed"),
        ("underpaid", "underpaid"),
    ];
    for (why, kind) in whys {
        let item = json!({"kind": "unsellable", "listing": "a-shirt", "why": why});
        let order = json!({"order_id": why, "item": item, "renter": scene.renter.id, "paid": usd("3.00")});
        let rejected = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
        assert_eq!(rejected.problem(), (409, kind));
        scene.goes_back(&rejected, &usd("3.00")).await;
    }
    let item = json!({"kind": "unsellable", "listing": "", "why": "surplus"});
    let order = json!({"order_id": "x", "item": item, "renter": scene.renter.id, "paid": usd("3.00")});
    let refused = scene.test.post("/v1/orders", &scene.shop.token, &order).await;
    assert_eq!(refused.problem(), (422, "invalid-request"));
}
