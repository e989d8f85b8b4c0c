//! A database that is killed, restarted, frozen, cut off, or full.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use domain::event::MAX_PAYLOAD;
use fixtures::postgres::{Options, Server};

use super::support::{Writers, open};
use crate::log::{
    Append, AppendError, EventLog, Expected, LogError, MAX_PAGE,
    contract::{append, assert_whole, read_to_end},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_once_after_the_database_was_killed_under_load() {
    let server = Server::start(Options { fsync: true, ..Options::default() });
    let database = server.fresh();
    let logs = [Arc::new(open(&database.url()).await), Arc::new(open(&database.url()).await)];
    let writers = Writers::start(&logs, 8);
    for round in 0..4 {
        writers.progress(100).await;
        if round % 2 == 0 {
            server.kill()
        } else {
            server.stop()
        }
        let asked = Instant::now();
        let refused = logs[0].append(append("new", Expected::NoStream, [u64::MAX])).await;
        assert!(matches!(refused, Err(AppendError::OutcomeUnknown | AppendError::Fatal(_))), "{refused:?}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        assert!(matches!(logs[0].read_all(0, 1).await, Err(LogError::Storage(_))));
        server.up();
    }
    writers.progress(100).await;
    assert!(writers.failed.load(Ordering::Relaxed) > 0);
    writers.check(&logs[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_connections_are_cut_under_load_goes_on() {
    let database = fixtures::postgres::server().fresh();
    let logs = [Arc::new(open(&database.url()).await), Arc::new(open(&database.url()).await)];
    let writers = Writers::start(&logs, 8);
    for _ in 0..10 {
        writers.progress(50).await;
        assert!(database.cut() > 0);
        assert!(logs[0].read_all(0, 1).await.is_ok(), "reading goes on");
    }
    writers.progress(50).await;
    writers.check(&logs[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_database_is_an_unknown_outcome_after_a_bounded_time() {
    let server = Server::start(Options::default());
    let database = server.fresh();
    let log = open(&database.url()).await;
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    server.pause();
    let asked = Instant::now();
    let two = append("a", Expected::Revision(0), [2]);
    assert_eq!(log.append(two.clone()).await, Err(AppendError::OutcomeUnknown));
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let asked = Instant::now();
    assert!(matches!(log.append(two.clone()).await, Err(AppendError::Fatal(_))));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    server.resume();
    let deadline = Instant::now() + Duration::from_secs(30);
    let appended = loop {
        match log.append(two.clone()).await {
            Ok(appended) => break appended,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((appended.first, appended.revision), (1, 1));
    assert_eq!(read_to_end(&log, 10).await.len(), 2);
}

/// An append that no compression makes small.
fn large(n: u64) -> Append {
    let mut append = append(&n.to_string(), Expected::NoStream, n * 10..n * 10 + 8);
    let mut noise = n;
    for event in &mut append.events {
        event.payload = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 56) as u8
        })
        .take(MAX_PAYLOAD)
        .collect();
    }
    append
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_stores_nothing_and_is_left_behind_when_there_is_room() {
    let server = Server::start(Options::default());
    let database = match server.fresh_on_disk_of(48) {
        Ok(database) => database,
        Err(why) => return println!("skipped: a small disk cannot be mounted: {why}"),
    };
    let log = open(&database.url()).await;
    database.sql("create table ballast as select repeat(md5(n::text), 60) from generate_series(1, 8000) n");
    let mut stored = 0;
    let full = loop {
        match log.append(large(stored)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, AppendError::Fatal(why) if why.contains("disk is full")), "{full:?}");
    let all = read_to_end(&log, MAX_PAGE).await;
    assert_whole(&all);
    assert_eq!(all.len() as u64, stored * 8, "nothing of it is stored");
    database.sql("drop table ballast");
    log.append(large(stored)).await.unwrap();
    let all = read_to_end(&log, MAX_PAGE).await;
    assert_whole(&all);
    assert_eq!(all.len() as u64, (stored + 1) * 8);
}
