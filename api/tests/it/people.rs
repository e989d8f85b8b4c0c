//! Accounts, roles and tokens.

use reqwest::Method;
use serde_json::json;

use crate::{
    app::TestApp,
    world::{Device, offer},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_operator_is_set_up_once() {
    let test = TestApp::new().await;
    assert!(api::accounts::offer_set_up(&test.app).await.unwrap().is_none(), "there is an operator");
    let again = test.post("/v1/setup", "", &json!({"code": "setup_x", "name": "Mallory"})).await;
    assert_eq!(again.problem(), (403, "wrong-setup-code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_revoked_is_gone_at_once_from_every_token() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner", "renter"], None).await;
    let roles = format!("/v1/accounts/{}/roles", owner.id);
    assert_eq!(test.get("/v1/devices", &owner.token).await.status, 200);
    let left = test.delete(&format!("{roles}/owner"), &test.operator).await.ok();
    assert_eq!(left["roles"], json!(["renter"]));
    assert_eq!(test.get("/v1/devices", &owner.token).await.problem(), (403, "forbidden"));
    test.post(&roles, &test.operator, &json!({"role": "owner"})).await.ok();
    assert_eq!(test.get("/v1/devices", &owner.token).await.status, 200);
    let bad = test.post(&roles, &test.operator, &json!({"role": "marketplace"})).await;
    assert_eq!(bad.problem(), (422, "invalid-request"), "a marketplace needs a name");
    for (path, body) in [(&roles, json!({"role": "king"})), (&roles, json!({"role": "Owner"}))] {
        assert_eq!(test.post(path, &test.operator, &body).await.problem(), (422, "invalid-request"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_gives_no_more_than_the_token_that_made_it() {
    let test = TestApp::new().await;
    let both = test.account(&["owner", "auditor"], None).await;
    let path = format!("/v1/accounts/{}/tokens", both.id);
    let narrow = test.token(&both.id, &["auditor"]).await;
    assert_eq!(test.get("/v1/events", &narrow).await.status, 200);
    let enrol = test.post("/v1/devices", &narrow, &json!({"name": "pi"})).await;
    assert_eq!(enrol.problem(), (403, "forbidden"));
    let wide = json!({"label": "wide", "roles": ["owner"]});
    assert_eq!(test.post(&path, &narrow, &wide).await.problem(), (403, "forbidden"));
    assert_eq!(test.post(&path, &both.token, &wide).await.status, 201);
    let operator = json!({"label": "x", "roles": ["operator"]});
    assert_eq!(test.post(&path, &both.token, &operator).await.problem(), (403, "forbidden"));
    assert_eq!(test.post(&path, &test.operator, &operator).await.problem(), (422, "invalid-request"));
    let none = json!({"label": "x", "roles": []});
    assert_eq!(test.post(&path, &both.token, &none).await.problem(), (422, "invalid-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_token_with_all_roles_changes_the_account_or_what_opens_it() {
    let test = TestApp::new().await;
    let both = test.account(&["owner", "renter"], None).await;
    let narrow = test.token(&both.id, &["renter"]).await;
    let path = format!("/v1/accounts/{}", both.id);
    let tokens = test.get(&format!("{path}/tokens"), &narrow).await.ok();
    let wide = tokens["items"].as_array().unwrap().iter().find(|token| token["roles"] != json!(["renter"]));
    let wide = format!("{path}/tokens/{}", wide.unwrap()["id"].as_str().unwrap());
    let address = json!({"refund_address": "bc1q-mallory"});
    let token = json!({"label": "mine", "roles": ["renter"]});
    let ask = async |token_: &str| {
        [
            test.patch(&path, token_, &address).await,
            test.post(&format!("{path}/tokens"), token_, &token).await,
            test.delete(&wide, token_).await,
            test.delete(&path, token_).await,
        ]
    };
    for refused in ask(&narrow).await {
        assert_eq!(refused.problem(), (403, "forbidden"));
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("all roles of the account") && detail.contains("owner"), "{detail}");
    }
    assert_eq!(test.get(&path, &both.token).await.ok()["refund_address"], json!(null));
    for (done, status) in ask(&test.operator).await.into_iter().zip([200, 201, 204, 204]) {
        assert_eq!(done.status, status, "{}", done.body);
    }
    // A role that the account has lost is not asked for.
    let other = test.account(&["owner", "renter"], None).await;
    test.delete(&format!("/v1/accounts/{}/roles/owner", other.id), &test.operator).await.ok();
    assert_eq!(test.patch(&format!("/v1/accounts/{}", other.id), &other.token, &address).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_stops_working_when_it_expires_or_is_revoked() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let path = format!("/v1/accounts/{}/tokens", owner.id);
    let short = json!({"label": "short", "roles": ["owner"], "expires_at": "2026-11-22T09:01:00Z"});
    let short = test.post(&path, &owner.token, &short).await;
    assert_eq!(test.get("/v1/devices", &short.id("token")).await.status, 200);
    test.advance(60);
    assert_eq!(test.get("/v1/devices", &short.id("token")).await.problem(), (401, "unauthenticated"));
    let past = json!({"label": "past", "roles": ["owner"], "expires_at": "2026-11-22T09:01:00Z"});
    assert_eq!(test.post(&path, &owner.token, &past).await.problem(), (422, "invalid-request"));

    let listed = test.get(&path, &owner.token).await.ok();
    assert!(!listed.to_string().contains("berth_"), "a list shows no token");
    let own = listed["items"].as_array().unwrap().iter().find(|token| token["label"] == "test").unwrap();
    let revoked = test.delete(&format!("{path}/{}", own["id"].as_str().unwrap()), &owner.token).await;
    assert_eq!(revoked.status, 204);
    assert_eq!(test.get("/v1/devices", &owner.token).await.problem(), (401, "unauthenticated"));
    let again = test.delete(&format!("{path}/{}", own["id"].as_str().unwrap()), &test.operator).await;
    assert_eq!(again.problem(), (404, "not-found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_person_is_gone_and_the_ledger_stays() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let path = format!("/v1/accounts/{}", owner.id);
    let named = json!({"name": "Ada Lovelace", "email": "ada@example.org", "payout_address": "bc1q-ada"});
    let changed = test.patch(&path, &owner.token, &named).await.ok();
    assert_eq!((&changed["name"], &changed["refund_address"]), (&named["name"], &json!(null)));
    for bad in [json!({"name": ""}), json!({"email": "a\nb"}), json!({"marketplace": "x"})] {
        assert_eq!(test.patch(&path, &owner.token, &bad).await.problem(), (422, "invalid-request"), "{bad}");
    }
    assert_eq!(test.delete(&path, &owner.token).await.problem(), (409, "account-in-use"));
    test.delete(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
    assert_eq!(test.delete(&path, &owner.token).await.status, 204);
    assert_eq!(test.get("/v1/devices", &owner.token).await.problem(), (401, "unauthenticated"));
    assert_eq!(test.get(&path, &test.operator).await.problem(), (404, "not-found"));
    let token = json!({"label": "x", "roles": ["owner"]});
    let token = test.post(&format!("{path}/tokens"), &test.operator, &token).await;
    assert_eq!(token.problem(), (422, "invalid-request"), "it has no role any more");
    let role = test.post(&format!("{path}/roles"), &test.operator, &json!({"role": "owner"})).await;
    assert_eq!(role.problem(), (404, "not-found"));
    let shown = test.get(&format!("/v1/devices/{}", device.id), &test.operator).await.ok();
    assert_eq!(shown["owner"], json!(owner.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marketplace_opens_renters_and_its_name_is_its_own() {
    let test = TestApp::new().await;
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let renter = json!({"name": "Rita", "roles": ["renter"]});
    assert_eq!(test.post("/v1/accounts", &shop.token, &renter).await.status, 201);
    for roles in [json!(["owner"]), json!(["renter", "operator"]), json!([])] {
        let new = json!({"name": "Rita", "roles": roles});
        assert_eq!(test.post("/v1/accounts", &shop.token, &new).await.problem(), (403, "forbidden"), "{new}");
    }
    for (new, problem) in [
        (json!({"name": "x", "roles": ["marketplace"], "marketplace": "shop"}), (409, "marketplace-taken")),
        (json!({"name": "x", "roles": ["marketplace"]}), (422, "invalid-request")),
        (json!({"name": "x", "roles": ["owner"], "marketplace": "shop2"}), (422, "invalid-request")),
        (json!({"name": "x", "roles": ["marketplace"], "marketplace": "a-b"}), (422, "invalid-request")),
        (json!({"name": "x", "roles": []}), (422, "invalid-request")),
        (json!({"name": "", "roles": ["owner"]}), (422, "invalid-request")),
    ] {
        assert_eq!(test.post("/v1/accounts", &test.operator, &new).await.problem(), problem, "{new}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transferred_device_is_the_new_owners_and_nobody_elses() {
    let test = TestApp::new().await;
    let (old, new) = (test.account(&["owner"], None).await, test.account(&["owner"], None).await);
    let renter = test.account(&["renter"], None).await;
    let (device, leased) = (test.enrol(&old).await, test.offered(&old).await);
    let path = format!("/v1/devices/{}", device.id);
    test.put(&format!("{path}/offer"), &old.token, &offer()).await.ok();
    let give = async |to: &str| test.post(&format!("{path}/transfer"), &old.token, &json!({"to": to})).await;
    let running = format!("/v1/devices/{}/transfer", leased.id);
    let running = test.post(&running, &old.token, &json!({"to": new.id})).await;
    assert_eq!(running.problem(), (409, "lease-running"));
    assert_eq!(give(&renter.id).await.problem(), (422, "invalid-request"));
    assert_eq!(give(&new.id).await.status, 204);
    assert_eq!(test.get(&path, &old.token).await.problem(), (404, "not-found"));
    let shown = test.get(&path, &new.token).await.ok();
    assert_eq!((&shown["owner"], &shown["offer"]), (&json!(new.id), &json!(null)));
    assert_eq!(
        test.register(&device).await.problem(),
        (401, "enrolment-key-unknown"),
        "the old key is worth nothing"
    );
    let key = test.call(Method::POST, &format!("{path}/enrolment-key"), &new.token).send().await.id("key");
    assert_eq!(test.register(&Device { key, ..device }).await.status, 200);
}
