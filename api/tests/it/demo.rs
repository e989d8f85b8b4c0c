//! The demo's whole story, and the folder it leaves.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use fixtures::kurrent::Cluster;
use serde_json::Value;

use crate::{app::TestApp, crash::BERTH};

/// Runs `berth` in a folder, with what names its stores.
fn berth(folder: &std::path::Path, stores: &[String], arguments: &[&str]) -> String {
    // Demos that begin at the same moment find the same ports free.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = arguments.contains(&"demo").then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner));
    let mut command = Command::new(BERTH);
    command.args(arguments).arg("--data").arg(folder).args(stores).stdin(Stdio::null());
    let output = command.output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} {stores:?}: {said} {error}");
    said.into_owned()
}

/// What an event says, without the ids, keys and texts that differ from run to run.
fn told(value: &Value, all: &mut Vec<String>) {
    const SAME: [&str; 9] = ["amount", "asset", "epoch", "start", "end", "ended_at", "reason", "by", "role"];
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::Object(_) | Value::Array(_) => told(member, all),
                    plain if SAME.contains(&name.as_str()) => all.push(format!("{name}={plain}")),
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| told(item, all)),
        _ => {}
    }
}

/// Every stream's history, in an order of its own, and every account's postings.
fn books(folder: &std::path::Path, stores: &[String]) -> (Vec<Vec<String>>, Vec<String>) {
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (n, line) in berth(folder, stores, &["export", "events", "--format", "jsonl"]).lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["position"], n, "positions are dense");
        let mut says = vec![format!("{} at {}", event["type"], event["effective_at"])];
        told(&event["data"], &mut says);
        streams.entry(event["stream"].to_string()).or_default().push(says.join(" "));
    }
    let mut histories: Vec<_> = streams.into_values().collect();
    histories.sort();
    let journal = berth(folder, stores, &["export", "journal", "--format", "csv"]);
    let is_id = |part: &str| part.len() == 36 && part.matches('-').count() == 4;
    let known = |line: &str| {
        let parts = line.split([',', ':', '"']).filter(|part| !is_id(part) && part.parse::<u64>().is_err());
        parts.filter(|part| part.len() < 36).collect::<Vec<_>>().join(",")
    };
    let mut postings: Vec<_> = journal.lines().map(known).collect();
    postings.sort();
    (histories, postings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_is_the_same_in_a_folder_on_postgresql_and_on_kurrentdb() {
    let (mirrored, plain) = (fixtures::postgres::server().fresh(), fixtures::postgres::server().fresh());
    let cluster = Cluster::single();
    let database = |url: String| vec!["--database".to_owned(), url];
    let kurrent = [database(mirrored.url()), vec!["--log".to_owned(), cluster.url()]].concat();
    let all = [vec![], database(plain.url()), kurrent];
    let told = all.each_ref().map(|stores| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        berth(&folder, stores, &["demo", "--once"]);
        berth(&folder, stores, &["verify"]);
        books(&folder, stores)
    });
    assert!(told[0].0.iter().map(Vec::len).sum::<usize>() > 40, "{:?}", told[0]);
    assert!(told[0].1.len() > 20);
    for other in &told[1..] {
        assert_eq!(other, &told[0]);
    }
    assert!(cluster.events().len() > 40, "the log is on KurrentDB");
    let dir = tempfile::tempdir().unwrap();
    let again = Command::new(BERTH)
        .args(["demo", "--once", "--data"])
        .arg(dir.path())
        .args(&all[1])
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && why.contains("already holds a ledger"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_moves_house_from_a_folder_to_postgresql_to_kurrentdb_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let (first, last) = (dir.path().join("first"), dir.path().join("last"));
    let (plain, mirror) = (fixtures::postgres::server().fresh(), fixtures::postgres::server().fresh());
    let cluster = Cluster::single();
    berth(&first, &[], &["demo", "--once"]);
    let export = |folder: &std::path::Path, stores: &[String]| berth(folder, stores, &["export", "events"]);
    let before = export(&first, &[]);
    let places = [first.display().to_string(), plain.url(), cluster.url(), last.display().to_string()];
    for pair in places.windows(2) {
        for time in ["once", "twice is a legal answer"] {
            let mirror = mirror.url();
            let copy = ["copy", "--from", &pair[0], "--to", &pair[1], "--json", "--database", &mirror];
            let said: Value = serde_json::from_str(&berth(dir.path(), &[], &copy)).unwrap();
            assert_eq!(said["same"], true, "{time}: {said}");
        }
    }
    assert_eq!(export(&last, &[]), before, "bytes and ids are kept");
    assert_eq!(export(dir.path(), &["--database".into(), plain.url()]), before);
}

#[test]
fn a_whole_marketplace_moves_to_postgresql_and_back_with_its_people() {
    let dir = tempfile::tempdir().unwrap();
    let (first, last) = (dir.path().join("first"), dir.path().join("last"));
    let database = fixtures::postgres::server().fresh();
    berth(&first, &[], &["demo", "--once"]);
    let places = [first.display().to_string(), database.url(), last.display().to_string()];
    let mut before = None;
    for pair in places.windows(2) {
        for time in ["once", "twice is a legal answer"] {
            let copy = ["copy", "--people", "--from", &pair[0], "--to", &pair[1], "--json"];
            let said: Value = serde_json::from_str(&berth(dir.path(), &[], &copy)).unwrap();
            assert!(said["private"]["accounts"].as_u64().unwrap() > 0, "{time}: {said}");
            assert_eq!(said["private"]["server_keys"], 1, "{time}: {said}");
            let rows = (said["private"].clone(), said["halves"].clone());
            assert_eq!(before.get_or_insert(rows.clone()), &rows, "{time}");
        }
    }
    let busy = std::fs::File::open(last.join("serve.lock")).unwrap();
    busy.lock().unwrap();
    let copy = ["copy", "--people", "--from", &places[2], "--to", &places[1]];
    let refused = Command::new(BERTH).args(copy).output().unwrap();
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("another server runs"), "{why}");
}

#[test]
fn the_demo_tells_its_story_and_leaves_a_ledger_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let berth = |arguments: &[&str]| berth(&dir.path().join("data"), &[], arguments);
    let story = berth(&["demo", "--once"]);
    for part in ["enrol", "rent", "reboot", "refuse", "extend", "expire", "erase", "terminate", "TBTC"] {
        assert!(story.contains(part), "no {part} in {story}");
    }
    berth(&["verify"]);
    let journal = berth(&["export", "journal", "--format", "csv"]);
    assert!(journal.lines().count() > 20, "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_page_is_served_offline() {
    let test = TestApp::new().await;
    let page = test.call(reqwest::Method::GET, "/docs/openbazaar", "").open().await;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let text = page.text().await.unwrap();
    assert!(
        text.contains("Do partial refunds need") && !text.contains("http://") || text.contains("127.0.0.1")
    );
    assert!(!text.contains("src=") && !text.contains("<script"), "nothing is fetched from elsewhere");
}
