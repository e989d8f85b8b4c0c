//! Two machines that answer to one device key, and what devices report to a human.

use domain::{
    key::Nonce,
    wire::{PollRequest, Reported, ReportedState},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::TestApp,
    world::{Device, Who},
};

const CLONED: &str = "two machines answer to one device key";

/// A question of one boot of the agent.
fn poll(test: &TestApp, device: &Device, boot: u128) -> PollRequest {
    let nonce = Nonce([u8::try_from(test.fresh() + 100).unwrap(); 32]);
    PollRequest { nonce, boot_id: Uuid::from_u128(boot), ..device.poll() }
}

async fn ask(test: &TestApp, device: &Device, boot: u128) -> Value {
    test.ask(device, &poll(test, device, boot)).await["verdict"].clone()
}

async fn listed(test: &TestApp) -> Vec<String> {
    let listed = test.get("/v1/attention", &test.operator).await.ok();
    listed["items"].as_array().unwrap().iter().map(|item| item["what"].as_str().unwrap().into()).collect()
}

async fn see_to(test: &TestApp, device: &Device, what: &str) {
    let subject = format!("device-{}", device.id);
    let seen = json!({"subject": subject, "what": what});
    assert_eq!(test.post("/v1/attention/seen-to", &test.operator, &seen).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_machines_are_held_until_an_operator_has_seen_to_it() {
    let mut test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    assert_eq!(ask(&test, &device, 1).await["verdict"], "run");
    assert_eq!(ask(&test, &device, 2).await["verdict"], "run", "one restart is none");
    let held = json!({"verdict": "hold", "epoch": 1, "why": "cloned"});
    assert_eq!(ask(&test, &device, 1).await["verdict"], "run", "one question may have been late on its way");
    assert_eq!(ask(&test, &device, 1).await, held);
    assert_eq!(ask(&test, &device, 2).await, held);
    assert_eq!(ask(&test, &device, 3).await, held);
    assert_eq!(listed(&test).await, [CLONED]);
    test.restart().await;
    assert_eq!(ask(&test, &device, 1).await, held, "also after the server was restarted");
    see_to(&test, &device, CLONED).await;
    assert_eq!(ask(&test, &device, 1).await["verdict"], "run");
    assert_eq!(ask(&test, &device, 1).await["verdict"], "run");
    assert!(listed(&test).await.is_empty());
    // Nobody stopped the other machine.
    assert_eq!(ask(&test, &device, 2).await["verdict"], "run");
    assert_eq!(ask(&test, &device, 1).await["verdict"], "run");
    assert_eq!(ask(&test, &device, 1).await, held);
    assert_eq!(listed(&test).await, [CLONED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_old_question_waits_is_none() {
    let mut test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let seq = test.ask(&device, &poll(&test, &device, 1)).await["seq"].as_u64().unwrap();
    let waiting = PollRequest { seen_seq: seq, wait_s: 2, ..poll(&test, &device, 1) };
    let restart = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        ask(&test, &device, 2).await
    };
    let (old, new) = tokio::join!(test.ask(&device, &waiting), restart);
    assert_eq!((&old["verdict"]["verdict"], &new["verdict"]), (&json!("run"), &json!("run")));
    assert_eq!(ask(&test, &device, 2).await["verdict"], "run");
    test.restart().await;
    for boot in [2, 3, 3, 4] {
        assert_eq!(ask(&test, &device, boot).await["verdict"], "run");
    }
    assert!(listed(&test).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_waits_for_news_is_held_as_soon_as_the_other_shows_itself() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    ask(&test, &device, 1).await;
    ask(&test, &device, 2).await;
    ask(&test, &device, 1).await;
    let seq = test.ask(&device, &poll(&test, &device, 2)).await["seq"].as_u64().unwrap();
    let waiting = PollRequest { seen_seq: seq, wait_s: 30, ..poll(&test, &device, 2) };
    let other = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        test.ask(&device, &PollRequest { seen_seq: seq, wait_s: 30, ..poll(&test, &device, 1) }).await
    };
    let started = std::time::Instant::now();
    let (first, second) = tokio::join!(test.ask(&device, &waiting), other);
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
    assert_eq!((&first["verdict"]["why"], &second["verdict"]["why"]), (&json!("cloned"), &json!("cloned")));
}

fn says(state: ReportedState, conflict: Option<&str>) -> Reported {
    Reported { state, epoch: 1, running: false, conflict: conflict.map(Into::into), host_keys: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_reports_is_listed_while_it_lasts() {
    let mut test = TestApp::new().await;
    let (owner, renter): (Who, Who) =
        (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    let report = async |test: &TestApp, reported| {
        let poll = PollRequest { reported, ..device.poll() };
        test.ask(&device, &poll).await;
        listed(test).await
    };
    assert!(report(&test, says(ReportedState::Blank, None)).await.is_empty(), "nothing of it is let");
    test.rental(&shop, &renter, &device).await;
    let broken = || says(ReportedState::Leased, Some("the volume of lease 1 cannot be opened"));
    for _ in 0..2 {
        let shown = report(&test, broken()).await;
        assert_eq!(shown, ["the device reports: the volume of lease 1 cannot be opened"]);
    }
    let shown = report(&test, says(ReportedState::Blank, None)).await;
    assert_eq!(shown, ["the device reports: it holds nothing of the lease that is let"]);
    test.restart().await;
    assert!(report(&test, says(ReportedState::Leased, None)).await.is_empty(), "it is over");

    // What nobody signed is nobody's word.
    let mut bare = serde_json::to_value(PollRequest { reported: broken(), ..device.poll() }).unwrap();
    test.answer(&device.key, &bare).await;
    assert!(listed(&test).await.is_empty());
    bare["reported"]["conflict"] = json!(null);
    report(&test, broken()).await;
    test.answer(&device.key, &bare).await;
    assert_eq!(listed(&test).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_question_is_answered_and_no_sign_of_life() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let lost = async || {
        test.run_due().await;
        let shown = test.get(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
        shown["lost_since"].is_string()
    };
    test.advance(test.app.config.devices.lost_after_s + 1);
    let bare = serde_json::to_value(device.poll()).unwrap();
    assert_eq!(test.answer(&device.key, &bare).await["verdict"]["verdict"], "run");
    assert!(lost().await);
    test.answer(&device.key, &bare).await;
    assert!(lost().await);
    test.poll(&device).await;
    assert!(!lost().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_question_that_is_sent_again_is_no_sign_of_life_and_gets_no_key() {
    let test = TestApp::new().await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    let recorded = poll(&test, &device, 1);
    assert!(test.ask(&device, &recorded).await["verdict"]["key_half"].is_string());
    assert!(test.ask(&device, &recorded).await["verdict"]["key_half"].is_null());
    test.advance(test.app.config.devices.lost_after_s + 60);
    test.ask(&device, &recorded).await;
    test.run_due().await;
    test.ask(&device, &recorded).await;
    let shown = test.get(&format!("/v1/devices/{}", device.id), &owner.token).await.ok();
    assert!(!shown["lost_since"].is_null(), "{shown}");
}
