//! Data that cannot be used: the server says why, does not start, and touches nothing.

use std::{collections::BTreeMap, path::Path};

use api::{
    app::{App, DataDir},
    clock::Clock,
    config::Config,
};
use sqlx::{Connection, SqliteConnection};

use crate::app::{START, TestApp};

/// As a later version leaves its mark.
const NEWER: &str = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                     values (999, 'later', true, x'00', 0)";

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let databases = entries.filter(|path| path.extension().is_some_and(|extension| extension == "db"));
    databases
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

async fn open(data: &DataDir) -> Result<App, String> {
    let clock = Clock::manual(START.parse().unwrap());
    App::open(data, Config::default(), clock, |_| {}).await.map_err(|e| format!("{e:#}"))
}

/// Makes a data folder, spoils it, and answers with what the server says to it.
async fn refused(spoil: impl AsyncFnOnce(&DataDir)) -> String {
    let mut test = TestApp::in_folder(Config::default(), TestApp::clock_at_start()).await;
    let owner = test.account(&["owner"], None).await;
    test.enrol(&owner).await;
    let data = test.data();
    test.stop().await;
    spoil(&data).await;
    let before = files(data.path());
    let why = open(&data).await.map(drop).expect_err("it started");
    assert!(files(data.path()) == before, "something was touched");
    why
}

async fn change(path: &Path, sql: &'static str) {
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query(sql).execute(&mut db).await.unwrap();
    sqlx::query("pragma wal_checkpoint(truncate)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn key_halves_that_are_damaged_or_of_a_later_version_stop_the_start() {
    let why = refused(async |data| std::fs::write(data.halves(), b"this is no database").unwrap()).await;
    assert!(why.contains("halves.db") && why.contains("no backup"), "{why}");
    let why = refused(async |data| change(&data.halves(), NEWER).await).await;
    assert!(why.contains("halves.db"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_stops_the_start() {
    let why = refused(async |data| {
        std::fs::write(data.log(), b"this is no database, however long it may be").unwrap()
    })
    .await;
    assert!(why.contains("log.db"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_private_store_stops_the_start() {
    let why = refused(async |data| std::fs::write(data.private(), vec![7; 9_000]).unwrap()).await;
    assert!(why.contains("private.db"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_written_by_a_newer_program_stops_the_start() {
    let why = refused(async |data| change(&data.log(), NEWER).await).await;
    assert!(why.contains("log.db") && why.contains("newer"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_store_written_by_a_newer_program_stops_the_start() {
    let why = refused(async |data| change(&data.private(), NEWER).await).await;
    assert!(why.contains("private.db") && why.contains("newer"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_stops_the_start_and_is_not_made_anew() {
    let why = refused(async |data| std::fs::remove_file(data.keys().join("vault.key")).unwrap()).await;
    assert!(why.contains("vault.key") && why.contains("backup"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_views_are_made_again_from_the_log() {
    let mut test = TestApp::in_folder(Config::default(), TestApp::clock_at_start()).await;
    let owner = test.account(&["owner"], None).await;
    let device = test.offered(&owner).await;
    test.stop().await;
    for file in ["views.db", "views.db-wal", "views.db-shm"] {
        let _ = std::fs::remove_file(test.data().path().join(file));
    }
    test.restart().await;
    let market = test.get("/v1/market", "").await.ok();
    assert_eq!(market["items"][0]["device"], device.id);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lock = DataDir::open(folder.path()).unwrap().lock().unwrap();
    let serve = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_berth"));
        command.args(["serve", "--listen", "nowhere", "--data"]).arg(folder.path());
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = serve();
    assert!(refused.contains("another server runs on this data folder"), "{refused}");
    assert_eq!(files(folder.path()), BTreeMap::new(), "nothing was made");
    drop(lock);
    let alone = serve();
    assert!(alone.contains("nowhere") && !alone.contains("another server"), "{alone}");
}
