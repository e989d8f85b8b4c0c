//! The least that a server can do: read the question, wait, answer as many bytes.

use std::time::Duration;

use axum::{Json, Router, routing::post};
use domain::wire::Signed;
use serde_json::Value;

/// About as long as a signed answer.
const ANSWER_BYTES: usize = 1_100;

/// Serves until killed.
pub async fn serve() {
    // The kernel's queue is as long as the real server's.
    let listener = api::listen::bind("127.0.0.1:0").await.expect("it listens");
    println!("http://{}/", listener.local_addr().expect("an address"));
    let router = Router::new().route("/v1/device/poll", post(answer));
    axum::serve(listener, router).await.expect("it serves");
}

async fn answer(Json(signed): Json<Signed>) -> String {
    let question: Value = serde_json::from_str(&signed.payload).unwrap_or_default();
    let wait_s = question["wait_s"].as_u64().unwrap_or(0);
    tokio::time::sleep(Duration::from_secs(wait_s)).await;
    "x".repeat(ANSWER_BYTES)
}
