//! Several nodes on one database.

use std::{sync::Arc, time::Duration};

use domain::event::{Position, Recorded};
use tokio::task::JoinSet;

use super::{
    super::PostgresLog,
    support::{Writers, open},
};
use crate::log::{
    AppendError, Appended, EventLog, Expected, MAX_PAGE,
    contract::{append, assert_whole, read_to_end},
};

async fn nodes(url: &str, count: usize) -> Vec<Arc<PostgresLog>> {
    futures_util::future::join_all((0..count).map(async |_| Arc::new(open(url).await))).await
}

/// Reads everything up to a position as it comes.
async fn follow(log: Arc<PostgresLog>, last: Position) -> Vec<Recorded> {
    let mut hint = log.follow();
    let mut seen: Vec<Recorded> = Vec::new();
    while seen.len() as Position <= last {
        let page = log.read_all(seen.len() as Position, MAX_PAGE).await.unwrap();
        for recorded in page {
            assert_eq!(recorded.position, seen.len() as Position, "skipped or repeated");
            seen.push(recorded);
        }
        let _ = tokio::time::timeout(Duration::from_millis(20), hint.changed()).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_neither_skip_nor_repeat_while_two_and_three_nodes_write() {
    for count in [2, 3] {
        let database = fixtures::postgres::server().fresh();
        // They start at once, on a database without any table.
        let logs = nodes(&database.url(), count).await;
        let writers = Writers::start(&logs, 8);
        let mut followers = JoinSet::new();
        for log in &logs {
            followers.spawn(follow(log.clone(), 3000));
        }
        writers.progress(3000 / 2).await;
        let seen = followers.join_all().await;
        assert_eq!(writers.failed.load(std::sync::atomic::Ordering::Relaxed), 0, "no false refusals");
        writers.check(&logs[0]).await;
        let all = read_to_end(&*logs[count - 1], MAX_PAGE).await;
        for seen in seen {
            assert_eq!(seen[..], all[..seen.len()]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_that_race_exactly_one_wins() {
    let database = fixtures::postgres::server().fresh();
    let logs = nodes(&database.url(), 3).await;
    let mut expected = Expected::NoStream;
    for round in 0..20_u64 {
        let mut racers = JoinSet::new();
        for racer in 0..9 {
            let log = logs[racer as usize % 3].clone();
            let append = append("a", expected, [round * 9 + racer]);
            racers.spawn(async move { log.append(append).await });
        }
        let (won, lost): (Vec<_>, Vec<_>) = racers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(won, [Ok(Appended { first: round, last: round, revision: round })]);
        assert_eq!(lost, vec![Err(AppendError::Conflict { actual: Some(round) }); 8]);
        expected = Expected::Revision(round);
    }
    assert_whole(&read_to_end(&*logs[1], 7).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_on_another_node_answers_what_the_first_attempt_did() {
    let database = fixtures::postgres::server().fresh();
    let logs = nodes(&database.url(), 2).await;
    let once = append("a", Expected::NoStream, [1, 2]);
    let mut racers = JoinSet::new();
    for racer in 0..10 {
        let (log, once) = (logs[racer % 2].clone(), once.clone());
        racers.spawn(async move { log.append(once).await });
    }
    assert_eq!(racers.join_all().await, vec![Ok(Appended { first: 0, last: 1, revision: 1 }); 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_follow_each_other_are_taken_in_order() {
    let database = fixtures::postgres::server().fresh();
    let log = Arc::new(open(&database.url()).await);
    // All are on their way before the first is answered.
    let appends = (0..50_u64).map(|n| append("a", Expected::from(n.checked_sub(1)), [n]));
    let mut all: Vec<_> = appends
        .map(|append| {
            let log = log.clone();
            Box::pin(async move { log.append(append).await })
        })
        .collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        for append in &mut all {
            assert!(append.as_mut().poll(context).is_pending());
        }
        std::task::Poll::Ready(())
    })
    .await;
    for append in all {
        answers.push(append.await.unwrap().first);
    }
    assert_eq!(answers, (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_of_what_others_append_also_after_it_was_cut_off() {
    let database = fixtures::postgres::server().fresh();
    let logs = nodes(&database.url(), 2).await;
    for n in 0..3_u64 {
        let mut hint = logs[1].follow();
        hint.mark_unchanged();
        logs[0].append(append(&n.to_string(), Expected::NoStream, [n])).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(10), hint.wait_for(|last| *last == Some(n)));
        heard.await.expect("it is told, without looking").unwrap();
        assert!(database.cut() > 0);
    }
}
