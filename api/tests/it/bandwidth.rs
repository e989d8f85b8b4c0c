//! What a device measures its bandwidth with.

use std::collections::BTreeSet;

use reqwest::{Method, Response};

use crate::app::TestApp;

async fn download(test: &TestApp, key: &str, bytes: &str) -> Response {
    test.call(Method::GET, &format!("/v1/device/bandwidth?bytes={bytes}"), key).open().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_as_many_bytes_as_it_asked_for_and_they_are_noise() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    for count in [1, 262_144, 262_145, 8 << 20] {
        let answer = download(&test, &device.key, &count.to_string()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.content_length(), Some(count));
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, count);
        let different: BTreeSet<_> = bytes.iter().collect();
        assert_eq!(different.len(), if count == 1 { 1 } else { 256 });
    }
    for (bytes, status) in [("0", 422), ("8388609", 422), ("-1", 400), ("many", 400)] {
        assert_eq!(download(&test, &device.key, bytes).await.status(), status, "{bytes}");
    }
    assert_eq!(download(&test, "berth-key-nobody", "1").await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_measures_when_many_do_is_told_to_come_again() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    // None of these is read to its end.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(download(&test, &device.key, "8388608").await);
        assert_eq!(held.last().unwrap().status(), 200);
    }
    let busy = test.get("/v1/device/bandwidth?bytes=1", &device.key).await;
    assert_eq!((busy.problem(), busy.header("retry-after")), ((503, "overloaded"), Some("5")));
    drop(held);
    let mut tries = 0;
    while download(&test, &device.key, "1").await.status() != 200 {
        tries += 1;
        assert!(tries < 500, "the room was never free again");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
