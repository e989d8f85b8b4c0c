//! What is around every answer.

use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_the_id_it_came_with_and_gets_one_otherwise() {
    let test = TestApp::new().await;
    let own = "0197f3a0-0000-7000-8000-000000000001";
    let ask = |id: &str| test.call(Method::GET, "/healthz", "").header("x-request-id", id).send();
    assert_eq!(ask(own).await.header("x-request-id"), Some(own));
    for bad in ["", "7", "x\ty", "00000000-0000-0000-0000-000000000000", &"f".repeat(4_000)] {
        let reply = ask(bad).await;
        let given = reply.header("x-request-id").unwrap();
        assert!(given != bad && uuid::Uuid::parse_str(given).is_ok(), "{bad:?} became {given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_somebody_are_not_kept_on_the_way() {
    let test = TestApp::new().await;
    assert_eq!(test.get("/v1/status", &test.operator).await.header("cache-control"), Some("no-store"));
    assert_eq!(test.get("/v1/market", "").await.header("cache-control"), None);
    let market = test.get("/v1/market", "").await;
    assert_eq!(market.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_is_served_without_any_other_host() {
    let test = TestApp::new().await;
    let served = test.call(Method::GET, "/openapi.json", "").open().await;
    let served: serde_json::Value = serde_json::from_slice(&served.bytes().await.unwrap()).unwrap();
    assert_eq!(&served, crate::spec::spec());
    assert_eq!(served["openapi"], "3.1.0");
    for (path, holds) in [
        ("/docs/", "swagger-ui"),
        ("/docs/swagger-ui-bundle.js", "SwaggerUI"),
        ("/docs/swagger-initializer.js", "/openapi.json"),
    ] {
        let page = test.call(Method::GET, path, "").open().await;
        assert_eq!(page.status(), 200, "{path}");
        let text = page.text().await.unwrap();
        assert!(text.contains(holds), "{path}");
        let foreign =
            ["<script src=\"http", "<link rel=\"stylesheet\" type=\"text/css\" href=\"http", "@import"];
        assert!(foreign.iter().all(|foreign| !text.contains(foreign)), "{path} loads from elsewhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_how_it_is() {
    let test = TestApp::new().await;
    test.settle().await;
    assert_eq!(test.get("/readyz", "").await.ok(), json!({"status": "ok"}));
    let status = test.get("/v1/status", &test.operator).await.ok();
    assert_eq!(status["views_next"].as_u64(), status["head"].as_u64().map(|head| head + 1));
    assert_eq!((&status["steward_next"], &status["now"]), (&status["views_next"], &json!(crate::app::START)));
    assert_eq!(test.get("/v1/attention", &test.operator).await.ok(), json!({"items": [], "next": null}));
}
