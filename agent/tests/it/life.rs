//! The life of a device, told by a real agent process.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use domain::wire::StepResult;
use serde_json::json;

use crate::kit::{
    agent::Device,
    server::{FakeServer, KEY, Lease, Mood, NOW},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_runs_survives_a_reboot_ends_and_the_next_one_starts_empty() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    assert_eq!(device.status()["state"], "leased");
    assert_eq!(device.status()["address"], "gateway.test:20000");
    fs::create_dir_all(device.data().join("a/b")).unwrap();
    fs::write(device.letter(), "hello").unwrap();

    device.restart();
    server.until_polled(2).await;
    server.until_running(1).await;
    assert_eq!(fs::read_to_string(device.letter()).unwrap(), "hello");

    server.end();
    server.until_running(2).await;
    assert!(device.data().is_dir() && !device.letter().exists());
    assert_eq!(server.world().registrations, 2);
    let receipts = server.world().receipts.clone();
    assert_eq!(receipts.len(), 1);
    assert_eq!((receipts[0].epoch, receipts[0].volume.as_str()), (1, "directory"));
    let steps: Vec<_> = receipts[0].steps.iter().map(|s| (s.step.as_str(), s.result)).collect();
    assert_eq!(
        steps,
        [
            ("stop workload", StepResult::NothingThere),
            ("remove files", StepResult::Done),
            ("remove label", StepResult::Done),
            ("discard blocks", StepResult::Unsupported),
            ("verify empty", StepResult::Done),
        ]
    );
    assert_eq!(receipts[0].steps[1].detail, "removed 1 files with 5 bytes and 3 directories");
    assert!(receipts[0].not_before >= NOW);

    device.terminate();
    assert_eq!(device.status()["epoch"], 2);
    let log = device.log();
    assert!(!log.contains(KEY) && !log.contains("secret-of-lease"), "secrets are never logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_private_and_forgets_the_credentials_of_a_lease_that_ended() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    assert_eq!(fs::metadata(device.record()).unwrap().permissions().mode() & 0o777, 0o600);
    let record = || String::from_utf8_lossy(&fs::read(device.record()).unwrap()).into_owned();
    assert!(record().contains("secret-of-lease-1"));
    server.end();
    server.until_running(2).await;
    assert!(!record().contains("secret-of-lease-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_on_the_same_state_is_refused() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    let second = device.run(&["run"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another agent runs on"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_stops_when_the_last_word_lapses_and_starts_again_with_the_next() {
    let server = FakeServer::start(1).await;
    server.world().valid_for_s = 2;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    server.world().mood = Mood::Hang;
    server.until("sealed", |world| world.polls.last().is_some_and(|p| !p.reported.running)).await;
    assert!(device.log().contains("sealed") && device.letter().exists());
    server.world().mood = Mood::Honest;
    device.restart();
    server.until_running(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_lease_resumes_without_the_server_only_if_the_owner_lets_it() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    device.kill();
    server.world().mood = Mood::Status(503);
    device.start();
    server.until_polled(2).await;
    assert!(!server.world().polls.last().unwrap().reported.running);
    device.kill();
    device.configure(&json!({ "server": server.url, "key": KEY, "offline_resume": true }));
    device.start();
    server.until_running(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_lease_stays_with_its_server_and_moves_on_after_the_lease() {
    let (old, new) = (FakeServer::start(1).await, FakeServer::start(2).await);
    let mut device = Device::new(&old);
    device.start();
    old.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    device.kill();
    device.configure(&json!({ "server": new.url, "key": KEY, "server_key": new.world().signer.root() }));
    device.start();
    old.until("sealed over the change", |world| {
        world.polls.last().is_some_and(|p| !p.reported.running && p.reported.conflict.is_some())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(new.world().polls.is_empty() && device.letter().exists());

    old.end();
    new.until_running(1).await;
    assert_eq!(old.world().lease, Lease::None);
    assert_eq!(old.world().receipts.len(), 1);
    assert!(!device.letter().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_server_key_is_the_only_one_believed() {
    let server = FakeServer::start(1).await;
    let other = crate::kit::signer::Signer::new(9).root();
    let mut device = Device::new(&server);
    device.configure(&json!({ "server": server.url, "key": KEY, "server_key": other }));
    device.start();
    server.until_polled(2).await;
    assert_eq!(server.world().registrations, 0);
    assert_eq!(device.status()["state"], "blank");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_taken_away_is_not_called_erased() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    device.kill();
    let away = device.volume().with_file_name("taken");
    fs::rename(device.volume(), &away).unwrap();
    server.end();
    device.start();
    server
        .until("erasing", |world| {
            world.polls.iter().any(|p| p.reported.state == domain::wire::ReportedState::Erasing)
        })
        .await;
    assert!(server.world().receipts.is_empty());
    fs::rename(&away, device.volume()).unwrap();
    server.until_running(2).await;
    assert_eq!(server.world().receipts.len(), 1);
    assert!(!device.letter().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_erases_a_running_lease_is_named_in_its_receipt() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    assert!(!device.run(&["erase", "--i-am-the-owner"]).status.success(), "nothing is held yet");
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    assert!(!device.run(&["erase", "--i-am-the-owner"]).status.success(), "the agent runs");
    device.terminate();
    assert!(!device.run(&["erase"]).status.success() && device.letter().exists(), "it was not confirmed");
    let erased = device.run(&["erase", "--i-am-the-owner"]);
    assert!(erased.status.success(), "{erased:?}");
    assert!(!device.letter().exists());
    assert_eq!(device.status()["state"], "forsaken");

    device.start();
    server
        .until("the server is told", |world| {
            world
                .polls
                .last()
                .is_some_and(|p| p.reported.conflict.as_ref().is_some_and(|c| c.contains("owner erased")))
        })
        .await;
    assert!(server.world().receipts.is_empty());
    server.end();
    server.until_running(2).await;
    let steps = server.world().receipts[0].steps.clone();
    assert_eq!(steps[0].step, "owner's demand");
    assert_eq!((steps[2].step.as_str(), steps[2].result), ("remove files", StepResult::Done));
    assert_eq!((steps[7].step.as_str(), steps[7].result), ("remove files", StepResult::NothingThere));
    assert_eq!(steps.len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_explains_what_is_wrong() {
    let server = FakeServer::start(1).await;
    let device = Device::new(&server);
    let check = async |wants: bool, words: &[&str]| {
        let output = tokio::task::block_in_place(|| device.run(&["check"]));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.success(), wants, "{said}");
        for word in words {
            assert!(said.contains(word), "{said}");
        }
    };
    check(
        true,
        &[
            "is a Berth server",
            "it is ready",
            "it knows the enrolment key",
            "this device is blank",
            "chmod 600",
        ],
    )
    .await;
    device.configure(&json!({ "server": server.url, "key": "another-servers-key" }));
    check(false, &["WRONG the enrolment key does not work", "no such enrolment key"]).await;
    device.configure(&json!({ "server": "http://127.0.0.1:9", "key": KEY }));
    check(false, &["WRONG http://127.0.0.1:9 is no Berth server", "cannot be reached"]).await;
    fs::create_dir_all(device.volume()).unwrap();
    fs::write(device.volume().join("photo"), "mine").unwrap();
    check(false, &["holds files that are not a renter's"]).await;
    fs::write(device.config(), "{\"server\": 1}").unwrap();
    check(false, &["must be like", "line 1"]).await;
}
