//! A device from one owner to another.

use domain::wire::{PollRequest, Reported, ReportedState};
use serde_json::json;

use crate::{
    app::TestApp,
    world::{Device, offer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_changes_hands_between_two_leases_and_starts_anew_under_its_owner() {
    let test = TestApp::new().await;
    let (owner, buyer) = (test.account(&["owner"], None).await, test.account(&["owner"], None).await);
    let renter = test.account(&["renter"], None).await;
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    let contract = test.rental(&shop, &renter, &device).await;
    let (path, to) = (format!("/v1/devices/{}", device.id), json!({"to": buyer.id}));
    let transfer = async || test.post(&format!("{path}/transfer"), &owner.token, &to).await;
    assert_eq!(transfer().await.problem(), (409, "lease-running"));
    test.post(&format!("/v1/contracts/{contract}/termination"), &renter.token, &json!({})).await.ok();
    test.settle().await;
    assert_eq!(transfer().await.problem(), (409, "epoch-not-erased"));
    assert_eq!(test.erase(&device).await.status, 204);
    assert_eq!(transfer().await.status, 204);
    test.settle().await;

    // The old owner has nothing left of it, the old key lets nobody in, and nobody can rent it.
    assert_eq!(test.get(&path, &owner.token).await.problem(), (404, "not-found"));
    let refused = test.post("/v1/device/poll", &device.key, &device.question(0)).await;
    assert_eq!(refused.problem(), (401, "enrolment-key-unknown"));
    assert_eq!(test.register(&device).await.problem(), (401, "enrolment-key-unknown"));
    assert_eq!(test.get("/v1/market", "").await.ok()["items"], json!([]));
    assert!(test.get(&path, &buyer.token).await.ok()["offer"].is_null());

    // Under the new owner's key the device is told that it has moved until it registers.
    let replaced = test.post(&format!("{path}/enrolment-key"), &buyer.token, &json!({})).await;
    let device = Device { key: replaced.id("key"), ..device };
    let reported = Reported {
        state: ReportedState::Idle,
        epoch: 1,
        running: false,
        conflict: None,
        host_keys: Vec::new(),
    };
    let told = test.ask(&device, &PollRequest { reported, ..device.poll() }).await;
    assert_eq!(
        (&told["verdict"], &told["owner_gen"]),
        (&json!({"verdict": "moved", "owner_gen": 1}), &json!(1))
    );
    assert_eq!(
        told["tombstones"].as_array().unwrap().len(),
        1,
        "and what became of the lease that it reports"
    );
    assert_eq!(test.register(&device).await.ok()["epoch"], 2);
    assert_eq!(test.poll(&device).await["verdict"]["verdict"], "run");
    test.put(&format!("{path}/offer"), &buyer.token, &offer()).await.ok();
    test.rental(&shop, &renter, &device).await;

    // The earlier rental stays with those who were part of it.
    let old = test.get(&format!("/v1/contracts/{contract}"), &owner.token).await.ok();
    assert_eq!((&old["owner"], &old["epoch"]), (&json!(owner.id), &json!(1)));
    let events = test.get(&format!("/v1/events?stream=device-{}", device.id), &test.operator).await.ok();
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|e| e["type"].clone()).collect();
    let granted = kinds.iter().filter(|kind| *kind == "LeaseGranted").count();
    assert!(granted == 2 && kinds.contains(&json!("DeviceTransferred")), "{kinds:?}");
}
