//! Requests sent twice under one Idempotency-Key.

use std::collections::BTreeSet;

use api::config::Config;
use reqwest::Method;
use serde_json::json;

use crate::{
    app::{Reply, TestApp},
    world::Who,
};

async fn enrol(test: &TestApp, who: &Who, key: &str, name: &str) -> Reply {
    let call = test.call(Method::POST, "/v1/devices", &who.token).header("idempotency-key", key);
    call.json(&json!({"name": name})).send().await
}

async fn devices(test: &TestApp, who: &Who) -> usize {
    test.get("/v1/devices", &who.token).await.ok()["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_done_once_and_answered_again() {
    let mut test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let first = enrol(&test, &owner, "a-key", "pi").await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (201, None));
    for (key, restart) in [("a-key", false), ("\"a-key\"", false), ("a-key", true)] {
        if restart {
            test.restart().await;
        }
        let again = enrol(&test, &owner, key, "pi").await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "the key it shows is the same");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        for name in ["etag", "location", "berth-position", "content-type"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(devices(&test, &owner).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_one_request_of_one_account() {
    let test = TestApp::new().await;
    let (owner, other) = (test.account(&["owner"], None).await, test.account(&["owner"], None).await);
    let first = enrol(&test, &owner, "key", "pi").await;
    assert_eq!(enrol(&test, &owner, "key", "po").await.problem(), (422, "idempotency-key-reused"));
    let path = format!("/v1/devices/{}/enrolment-key", first.id("device"));
    let elsewhere =
        test.call(Method::POST, &path, &owner.token).header("idempotency-key", "key").send().await;
    assert_eq!(elsewhere.problem(), (422, "idempotency-key-reused"));
    let others = enrol(&test, &other, "key", "pi").await;
    assert_ne!(others.body["device"], first.body["device"], "a key means nothing to another account");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_the_same_moment_one_is_done() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    for round in 0..10 {
        let key = format!("round-{round}");
        let all = futures_util::future::join_all((0..4).map(|_| enrol(&test, &owner, &key, "pi"))).await;
        let mut answers = BTreeSet::new();
        for reply in all {
            if reply.status == 409 {
                assert_eq!(reply.problem(), (409, "idempotency-in-flight"));
                assert_eq!(reply.header("retry-after"), Some("1"));
            } else {
                answers.insert(reply.ok().to_string());
            }
        }
        assert_eq!(answers.len(), 1, "all that were answered were answered the same");
        assert_eq!(devices(&test, &owner).await, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_answered_again_and_an_invalid_token_is_not_kept() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    let path = format!("/v1/devices/{}", device.id);
    let retire = |key: &'static str, token: String| {
        let call = test.call(Method::PATCH, &path, &token).header("idempotency-key", key);
        call.json(&json!({"name": ""})).send()
    };
    let first = retire("k", owner.token.clone()).await;
    assert_eq!(first.problem(), (422, "invalid-request"));
    let again = retire("k", owner.token.clone()).await;
    assert_eq!((again.body, again.headers.contains_key("idempotent-replayed")), (first.body, true));
    assert_eq!(retire("other", "wrong".into()).await.problem(), (401, "unauthenticated"));
    assert!(!retire("other", owner.token.clone()).await.headers.contains_key("idempotent-replayed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_cut_off_is_resumed_and_happens_once() {
    let mut test = TestApp::in_folder(Config::default(), TestApp::clock_at_start()).await;
    let owner = test.account(&["owner"], None).await;
    let answered = enrol(&test, &owner, "cut", "pi").await;
    // As a crash leaves it: the command was carried out, the answer was not kept.
    assert_eq!(forget_answers(&test).await, 1, "one answer was kept");
    assert_eq!(enrol(&test, &owner, "cut", "pi").await.problem(), (409, "idempotency-in-flight"));
    test.advance(1);
    test.restart().await;
    let resumed = enrol(&test, &owner, "cut", "pi").await;
    assert_eq!(resumed.status, 201);
    assert_eq!(resumed.body["device"], answered.body["device"], "the same device");
    assert_eq!(devices(&test, &owner).await, 1);
    let events = test.get("/v1/device/events", &resumed.id("key")).await;
    assert_eq!(events.status, 200, "its new key works");
}

/// Forgets the one kept answer.
async fn forget_answers(test: &TestApp) -> u64 {
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite://{}", test.data().private().display())).await.unwrap();
    let done = sqlx::query("update idempotency set sealed_answer = null where sealed_answer is not null");
    let changed = done.execute(&pool).await.unwrap().rows_affected();
    pool.close().await;
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_are_sealed() {
    let test = TestApp::in_folder(Config::default(), TestApp::clock_at_start()).await;
    let owner = test.account(&["owner"], None).await;
    let key = enrol(&test, &owner, "k", "pi").await.id("key");
    test.app.private.close().await;
    for entry in std::fs::read_dir(test.data().path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
            assert!(!found, "{} holds the key in the clear", path.display());
        }
    }
}
