//! Requests that cannot be read, or mean nothing.

use domain::wire::PollRequest;
use reqwest::Method;
use serde_json::json;

use crate::{app::TestApp, spec::operations};

const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let body = format!("{{\"name\": \"{}\"}}", "x".repeat(65_536));
    for key in [None, Some("large")] {
        let call = test.call(Method::POST, "/v1/devices", &owner.token).raw(JSON, body.clone());
        let call = key.into_iter().fold(call, |call, key| call.header("idempotency-key", key));
        assert_eq!(call.send().await.problem(), (413, "too-large"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_the_expected_json_is_refused_with_a_reason() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, problem) in [
        ("", (400, "malformed-request")),
        ("{", (400, "malformed-request")),
        ("name=pi", (400, "malformed-request")),
        ("{\"name\": \"pi\"} trailing", (400, "malformed-request")),
        ("\u{feff}{\"name\": \"pi\"}", (400, "malformed-request")),
        ("null", (422, "invalid-request")),
        (deep.as_str(), (422, "invalid-request")),
        ("[]", (422, "invalid-request")),
        (" [\"pi\"]", (422, "invalid-request")),
        ("{}", (422, "invalid-request")),
        ("{\"name\": 7}", (422, "invalid-request")),
        ("{\"name\": null}", (422, "invalid-request")),
        ("{\"name\": \"pi\", \"nmae\": \"po\"}", (422, "invalid-request")),
        ("{\"name\": \"pi\", \"name\": \"po\"}", (422, "invalid-request")),
        ("{\"name\": \"\"}", (422, "invalid-request")),
        ("{\"name\": \"a\\u0000b\"}", (422, "invalid-request")),
        ("{\"name\": \"\\ud800\"}", (400, "malformed-request")),
    ] {
        let reply =
            test.call(Method::POST, "/v1/devices", &owner.token).raw(JSON, body.to_owned()).send().await;
        let shown: String = body.chars().take(60).collect();
        assert_eq!(reply.problem(), problem, "{shown:?}: {}", reply.body);
    }
    let latin = b"{\"name\": \"\xe4\"}".to_vec();
    let latin = test.call(Method::POST, "/v1/devices", &owner.token).raw(JSON, latin).send().await;
    assert_eq!(latin.problem(), (400, "malformed-request"));
    let devices = test.get("/v1/devices", &owner.token).await.ok();
    assert_eq!(devices["items"], json!([]), "none of them did anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_say_that_it_is_json() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
    {
        let call = test.call(Method::POST, "/v1/devices", &owner.token).raw(kind, "{\"name\": \"pi\"}");
        assert_eq!(call.send().await.problem(), (415, "unsupported-media-type"), "{kind}");
    }
    let call = test.call(Method::POST, "/v1/devices", &owner.token);
    assert_eq!(call.raw("Application/JSON; charset=utf-8", "{\"name\": \"pi\"}").send().await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_queries_that_mean_nothing_are_refused() {
    let test = TestApp::new().await;
    let operator = &test.operator;
    for path in [
        "/v1/devices/7",
        "/v1/devices/%00",
        "/v1/contracts/00000000-0000-0000-0000-00000000000g",
        "/v1/orders/a%20b?marketplace=shop",
        "/v1/orders/a",
        "/v1/orders/a?marketplace=SHOP",
        "/v1/timeline/nothing",
        "/v1/devices?limit=-1",
        "/v1/devices?limit=ten",
        "/v1/devices?limit=",
        "/v1/devices?limit=1&limit=2",
        "/v1/devices?lmit=1",
        "/v1/devices?cursor=zzzz",
        "/v1/devices?cursor=%F0%9F%92%A9",
        "/v1/contracts?status=done",
        "/v1/refunds?status=gone",
        "/v1/events?after=-1",
        "/v1/events?after=18446744073709551616",
        "/v1/events?type=Nothing",
        "/v1/market?sort=colour",
        "/v1/market?max_price_per_hour=1",
        "/v1/market?max_price_per_hour=-1&asset=USD",
        "/v1/market?asset=GOLD",
    ] {
        assert_eq!(test.get(path, operator).await.problem(), (400, "malformed-request"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_outside_what_is_described_is_refused() {
    let test = TestApp::new().await;
    let mut asked = 0;
    for operation in operations().filter(|operation| operation.method == "get") {
        let path = operation.path.replace("{subject}", &uuid::Uuid::nil().to_string());
        // Neither the devices' own question nor the stream has a limit.
        if path.contains('{') || path.starts_with("/v1/device/") || operation.name == "stream_events" {
            continue;
        }
        let parameters = operation.value["parameters"].as_array().cloned().unwrap_or_default();
        for parameter in parameters.iter().filter(|p| p["in"] == "query") {
            let ask = async |value: i64| {
                let query = format!("{path}?{}={value}", parameter["name"].as_str().unwrap());
                (test.get(&query, &test.operator).await, query)
            };
            let (most, least) = (&parameter["schema"]["maximum"], &parameter["schema"]["minimum"]);
            let outside = [most.as_i64().map(|n| n + 1), least.as_i64().filter(|n| *n > 0).map(|n| n - 1)];
            for outside in outside.into_iter().flatten() {
                let (reply, query) = ask(outside).await;
                assert_eq!(reply.problem(), (422, "invalid-request"), "{query}");
                asked += 1;
            }
            for inside in most.as_i64().into_iter().chain(least.as_i64()) {
                let (reply, query) = ask(inside).await;
                assert_eq!(reply.status, 200, "{query}");
            }
        }
    }
    assert!(asked >= 18, "{asked}");
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    let patient = device.sign(&PollRequest { wait_s: 31, ..device.poll() });
    let patient = test.post("/v1/device/poll", &device.key, &patient).await;
    assert_eq!(patient.problem(), (422, "invalid-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_or_method_that_is_none_is_a_problem_like_any_other() {
    let test = TestApp::new().await;
    for path in
        ["/v1", "/v1x", "/v2/devices", "/v1/devices/", "/v1//devices", "/../etc/passwd", "/openapi.yaml"]
    {
        assert_eq!(test.get(path, "").await.problem(), (404, "no-such-path"), "{path}");
    }
    let method = test.call(Method::DELETE, "/v1/market", "").send().await;
    assert_eq!(method.problem(), (405, "no-such-method"));
    assert_eq!(method.header("allow"), Some("GET,HEAD"));
    // Whatever else is wrong with the request.
    let call = |method, path| test.call(method, path, &test.operator).header("idempotency-key", "a b").send();
    assert_eq!(call(Method::DELETE, "/v1/market").await.problem(), (405, "no-such-method"));
    assert_eq!(call(Method::POST, "/v1/markets").await.problem(), (404, "no-such-path"));
    assert_eq!(call(Method::POST, "/v1/devices").await.problem(), (400, "malformed-request"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_cannot_be_read_is_refused() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    let path = format!("/v1/devices/{}/offer", device.id);
    for value in [
        "5",
        "W/\"r5\"",
        "\"5\"",
        "\"r\"",
        "\"r-1\"",
        "\"r1\", \"r2\"",
        "r1",
        "\"r1",
        "\"r+1\"",
        "\"r1-0\"",
        "\"r1-0000000G\"",
        "\"r1-00000000-00000000-00000000\"",
    ] {
        let call = test.call(Method::DELETE, &path, &owner.token).header("if-match", value);
        assert_eq!(call.send().await.problem(), (400, "malformed-request"), "If-Match: {value}");
    }
    for value in ["", "\"\"", "a b", "ä", &"x".repeat(256)] {
        let call = test.call(Method::DELETE, &path, &owner.token).header("idempotency-key", value);
        assert_eq!(call.send().await.problem(), (400, "malformed-request"), "Idempotency-Key: {value}");
    }
    for value in
        ["", "Bearer", "Bearer ", "Basic b3duZXI6", "Token x", &format!("Bearer {}", "x".repeat(5_000))]
    {
        let call = test.call(Method::GET, "/v1/devices", "").header("authorization", value);
        let reply = call.send().await;
        assert_eq!(reply.problem(), (401, "unauthenticated"), "Authorization: {value}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"berth\""));
    }
}
