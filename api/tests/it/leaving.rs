//! Leaving: nobody goes while others count on them.

use serde_json::json;

use crate::{
    app::{Reply, TestApp},
    money_town::Town,
    world::{Who, usd},
};

async fn erase(test: &TestApp, who: &Who) -> Reply {
    test.delete(&format!("/v1/accounts/{}", who.id), &who.token).await
}

/// The account stays because of exactly these.
#[track_caller]
fn stays_for(reply: &Reply, open: &[(&str, &str)]) {
    assert_eq!(reply.problem(), (409, "account-in-use"));
    for name in ["devices", "contracts", "settlements", "purses"] {
        let ids: Vec<_> = open.iter().filter(|(what, _)| *what == name).map(|(_, id)| json!(id)).collect();
        let named = reply.body[name].as_array().cloned().unwrap_or_default();
        assert_eq!(named, ids, "{name} in {}", reply.body);
    }
}

async fn settle(test: &TestApp, shop: &Who, settlement: &str) {
    let path = format!("/v1/settlements/{settlement}");
    let due = test.get(&path, &shop.token).await.ok();
    test.post(&format!("{path}/start"), &shop.token, &json!({"method": "manual"})).await.ok();
    let moved = json!({"attempt": 1, "reference": "tx", "moved": due["amount"]});
    test.post(&format!("{path}/settled"), &shop.token, &moved).await.ok();
}

async fn only(test: &TestApp, list: &str, who: &Who) -> String {
    let listed = test.get(&format!("/v1/{list}"), &who.token).await.ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    listed["items"][0]["settlement"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_forgotten_before_the_last_rental_is_over_and_the_last_money_has_arrived() {
    let mut config = api::config::Config::default();
    config.policy.payout_delay_s = 3_600;
    let test = TestApp::with(config).await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    stays_for(&erase(&test, &owner).await, &[("devices", &device.id)]);
    let contract = test.rental(&shop, &renter, &device).await;
    stays_for(&erase(&test, &renter).await, &[("contracts", &contract)]);
    stays_for(&erase(&test, &owner).await, &[("devices", &device.id), ("contracts", &contract)]);
    let operator = test.delete(&format!("/v1/accounts/{}", renter.id), &test.operator).await;
    stays_for(&operator, &[("contracts", &contract)]);

    test.advance(18_000);
    test.post(&format!("/v1/contracts/{contract}/termination"), &renter.token, &json!({})).await.ok();
    // The refund and the lease's end follow from the termination; nobody need wait for them to be counted.
    let stays = erase(&test, &renter).await;
    let refund = only(&test, "refunds", &renter).await;
    stays_for(&stays, &[("contracts", &contract), ("settlements", &refund)]);
    test.delete(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
    stays_for(&erase(&test, &owner).await, &[("contracts", &contract)]);
    test.advance(3_600);
    test.run_due().await;
    let payout = only(&test, "payouts", &owner).await;
    stays_for(&erase(&test, &owner).await, &[("settlements", &payout)]);
    stays_for(&erase(&test, &renter).await, &[("settlements", &refund)]);

    settle(&test, &shop, &refund).await;
    settle(&test, &shop, &payout).await;
    assert_eq!(erase(&test, &renter).await.status, 204);
    assert_eq!(erase(&test, &owner).await.status, 204);
    let other = test.account(&["renter"], None).await;
    let late = test.order(&shop, &other, &device, 3_600, usd("0.60")).await;
    assert_eq!(late.problem(), (409, "device-retired"), "nobody rents what has no owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_waits_in_a_purse_keeps_the_account() {
    let mut config = api::config::Config::default();
    config.payouts.minimum.insert("USD".parse().unwrap(), "10.00".into());
    let test = TestApp::with(config).await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    test.rental(&shop, &renter, &device).await;
    test.advance(36_000);
    test.run_due().await;
    test.delete(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
    let purse = format!("{}-shop-USD", owner.id);
    stays_for(&erase(&test, &owner).await, &[("purses", &purse)]);
    let release = json!({"marketplace": "shop", "asset": "USD"});
    test.post("/v1/payouts/release", &owner.token, &release).await.ok();
    test.settle().await;
    let payout = only(&test, "payouts", &owner).await;
    stays_for(&erase(&test, &owner).await, &[("settlements", &payout)]);
    settle(&test, &shop, &payout).await;
    assert_eq!(erase(&test, &owner).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_a_decision_may_pay_stays_until_it_is_made_and_paid() {
    let town = Town::new(|_| {}).await;
    town.test.advance(18_000);
    town.terminate().await;
    town.dispute(&town.owner.token, 0).await.ok();
    stays_for(&erase(&town.test, &town.renter).await, &[("contracts", &town.contract)]);
    town.decide(&town.shop.token, [1, 0, 0], None).await.ok();
    town.test.run_due().await;
    stays_for(&erase(&town.test, &town.renter).await, &[("settlements", &town.due("refund").await)]);
    town.settle_all().await;
    assert_eq!(erase(&town.test, &town.renter).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_failed_or_is_in_doubt_keeps_the_account() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.enrol(&owner).await;
    let rejected = test.order(&shop, &renter, &device, 3_600, usd("0.60")).await;
    let refund = rejected.body["refund"]["settlement"].as_str().unwrap().to_owned();
    stays_for(&erase(&test, &renter).await, &[("settlements", &refund)]);
    let step = async |step: &str, body| {
        test.post(&format!("/v1/settlements/{refund}/{step}"), &shop.token, &body).await.ok();
        stays_for(&erase(&test, &renter).await, &[("settlements", &refund)]);
    };
    step("start", json!({"method": "manual"})).await;
    step("failed", json!({"attempt": 1, "reason": "no route"})).await;
    step("start", json!({"method": "manual"})).await;
    step("quarantined", json!({"attempt": 2, "reason": "timeout"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_operator_neither_leaves_nor_steps_down() {
    let test = TestApp::new().await;
    let listed = test.get("/v1/accounts", &test.operator).await.ok();
    let first = listed["items"][0]["account"].as_str().unwrap().to_owned();
    let (account, role) = (format!("/v1/accounts/{first}"), format!("/v1/accounts/{first}/roles/operator"));
    for path in [&account, &role] {
        assert_eq!(test.delete(path, &test.operator).await.problem(), (409, "last-operator"), "{path}");
    }
    // An operator who was forgotten, or is one no more, does not count.
    for end in ["", "/roles/operator"] {
        let gone = test.account(&["operator"], None).await;
        let gone = test.delete(&format!("/v1/accounts/{}{end}", gone.id), &test.operator).await;
        assert!(gone.status.is_success(), "{}", gone.body);
        assert_eq!(test.delete(&role, &test.operator).await.problem(), (409, "last-operator"));
    }
    let second = test.account(&["operator"], None).await;
    let role_of = |who: &str| format!("/v1/accounts/{who}/roles/operator");
    let (mine, other) = (role_of(&first), role_of(&second.id));
    for _ in 0..20 {
        let (a, b) = tokio::join!(test.delete(&mine, &second.token), test.delete(&other, &test.operator));
        // Whoever comes second is told so, or is an operator no more.
        let [(stayed, token), (gone, _)] = match (a.status.as_u16(), b.status.as_u16()) {
            (200, 403 | 409) => [(&second.id, &second.token), (&first, &test.operator)],
            (403 | 409, 200) => [(&first, &test.operator), (&second.id, &second.token)],
            both => panic!("of two who dismiss each other one stays: {both:?}"),
        };
        assert_ne!(stayed, gone);
        let back = format!("/v1/accounts/{gone}/roles");
        test.post(&back, token, &json!({"role": "operator"})).await.ok();
    }
}
