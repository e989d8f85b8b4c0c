//! The runner follows the log.

use std::{sync::Arc, time::Duration};

use domain::event::StreamName;
use projections::{
    log::{Append, EventLog, Expected, memory::MemoryLog},
    runner::Runner,
    views::{Page, ViewError, Views},
};

use super::support::{append, assert_same, dump, fold, fresh, market, recorded};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn whoever_waits_for_a_position_reads_what_was_written_there() {
    let (_folder, path) = fresh().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let views = Views::open(&path).unwrap();
    let runner = Runner::start(log.clone(), views.clone()).await.unwrap();
    for commit in market(5, 60) {
        let enrolled = commit.events.iter().any(|event| event.kind == "DeviceEnrolled");
        let device = commit.stream.key().parse();
        let Append { stream, expected, events } =
            Append { stream: commit.stream, expected: commit.after.into(), events: commit.events };
        let appended = log.append(Append { stream, expected, events }).await.unwrap();
        assert!(views.wait_for(appended.last, PATIENCE).await.unwrap());
        if enrolled {
            let row = views.device(device.unwrap()).await.unwrap().unwrap();
            assert_eq!(row.updated, appended.last);
        }
    }
    let progress = *runner.progress().borrow();
    assert_eq!((progress.lag(), Some(progress.next)), (0, log.head().await.unwrap().map(|head| head + 1)));
    runner.stop().await.unwrap();
}

#[tokio::test]
async fn waiting_for_what_never_comes_ends() {
    let (_folder, path) = fresh().await;
    let views = Views::open(&path).unwrap();
    assert!(!views.wait_for(0, Duration::from_millis(80)).await.unwrap());
}

#[tokio::test]
async fn a_process_without_a_runner_sees_what_another_has_folded() {
    let (_folder, path) = fresh().await;
    let views = Views::open(&path).unwrap();
    let waiting = tokio::spawn({
        let views = views.clone();
        async move { views.wait_for(9, PATIENCE).await }
    });
    fold(&path, &recorded(market(6, 20))).unwrap();
    assert!(waiting.await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_on_one_file_and_a_restart_give_the_rows_of_one_fold() {
    let commits = market(7, 900);
    let (_whole_folder, whole) = fresh().await;
    fold(&whole, &recorded(commits.clone())).unwrap();

    let (_folder, path) = fresh().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let (one, other) = (Views::open(&path).unwrap(), Views::open(&path).unwrap());
    let first = Runner::start(log.clone(), one.clone()).await.unwrap();
    let second = Runner::start(log.clone(), other.clone()).await.unwrap();
    let mut parts = commits.chunks(300);
    append(&*log, parts.next().unwrap().to_vec()).await;
    drop(first);
    append(&*log, parts.next().unwrap().to_vec()).await;
    let third = Runner::start(log.clone(), one.clone()).await.unwrap();
    append(&*log, parts.next().unwrap().to_vec()).await;

    let head = log.head().await.unwrap().unwrap();
    assert!(one.wait_for(head, PATIENCE).await.unwrap());
    assert!(other.wait_for(head, PATIENCE).await.unwrap());
    second.stop().await.unwrap();
    third.stop().await.unwrap();
    assert_same(&dump(&whole), &dump(&path));
}

#[tokio::test]
async fn a_runner_that_meets_an_unknown_event_stops_and_says_which() {
    let (_folder, path) = fresh().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let mut commits = market(8, 30);
    let mut strange = commits.pop().unwrap().events.remove(0);
    append(&*log, commits).await;
    strange.kind = "MoonLanded".into();
    let stream = StreamName::new("moon", &1);
    let appended =
        log.append(Append { stream, expected: Expected::NoStream, events: vec![strange] }).await.unwrap();
    let views = Views::open(&path).unwrap();
    let runner = Runner::start(log, views.clone()).await.unwrap();
    let error = tokio::time::timeout(PATIENCE, runner.ended()).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, ViewError::Event { position, kind, .. } if *position == appended.first && kind == "MoonLanded")
    );
    assert!(views.devices(Page::oldest(10)).await.unwrap().len() < 10);
}
