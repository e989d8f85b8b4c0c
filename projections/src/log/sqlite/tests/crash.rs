//! Death of the writing process.
//!
//! A process that is killed in the middle of appending must leave every event whose append was answered, and either all
//! or none of every other append. The test runs itself again as the process that is killed.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use domain::event::Position;
use tokio::task::JoinSet;

use super::super::SqliteLog;
use crate::log::{
    EventLog, Expected,
    contract::{append, assert_whole, read_to_end},
};

const VICTIM: &str = "BERTH_TEST_LOG_VICTIM";
const NAME: &str = "log::sqlite::tests::crash::kill_9_loses_no_acknowledged_event";
const WRITERS: u64 = 8;
/// Events in each append.
const EACH: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_no_acknowledged_event() {
    if let Some(path) = std::env::var_os(VICTIM) {
        return append_until_killed(path.as_ref()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let mut acknowledged: Vec<(Position, u64)> = Vec::new();
    for round in 0..6_usize {
        let enough = acknowledged.len() + 7 + round * 90;
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((position, n)) = line.strip_prefix("stored ").and_then(|rest| rest.split_once(' ')) {
                acknowledged.push((position.parse().unwrap(), n.parse().unwrap()));
            }
            if acknowledged.len() == enough {
                victim.kill().unwrap();
            }
        }
        assert!(!victim.wait().unwrap().success());
        assert!(acknowledged.len() >= enough, "the victim died by itself");

        let log = SqliteLog::open(&path).await.unwrap();
        let all = read_to_end(&log, 1000).await;
        assert_whole(&all);
        assert_eq!(all.len() as u64 % EACH, 0, "half an append");
        for (position, n) in &acknowledged {
            for i in 0..EACH {
                let recorded = &all[(*position + i) as usize];
                assert_eq!(recorded.event.payload, format!("{{\"n\":{}}}", n + i).into_bytes(), "{position}");
            }
        }
    }
}

async fn append_until_killed(path: &Path) {
    let log = Arc::new(SqliteLog::open(path).await.unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let log = log.clone();
        writers.spawn(async move {
            let key = writer.to_string();
            let mut next = 0;
            while !log.read_stream(&super::contract::stream(&key), next, 1).await.unwrap().is_empty() {
                next += 1;
            }
            loop {
                let first = (writer << 32) + next;
                let events = append(&key, Expected::from(next.checked_sub(1)), first..first + EACH);
                let appended = log.append(events).await.unwrap();
                writeln!(std::io::stdout(), "stored {} {first}", appended.first).unwrap();
                next += EACH;
            }
        });
    }
    writers.join_all().await;
}
