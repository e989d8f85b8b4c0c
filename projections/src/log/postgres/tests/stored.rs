//! What is stored: it cannot be changed, damage is seen, and who may open it.

use domain::event::MAX_PAYLOAD;

use super::{super::PostgresLog, support::open};
use crate::{
    log::{
        AppendError, EventLog, Expected, LogError, MAX_PAGE,
        contract::{append, read_to_end, stream},
    },
    postgres::{Postgres, PostgresError},
};

#[tokio::test]
async fn events_cannot_be_changed_by_hand() {
    let database = fixtures::postgres::server().fresh();
    let log = open(&database.url()).await;
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let before = read_to_end(&log, 10).await;
    for change in ["update events set kind = 'x'", "delete from events", "truncate events"] {
        let refused = database.try_sql(change).unwrap_err();
        assert!(refused.contains("events are never changed or deleted"), "{refused}");
    }
    assert_eq!(read_to_end(&log, 10).await, before);
}

#[tokio::test]
async fn a_damaged_event_is_named() {
    let database = fixtures::postgres::server().fresh();
    let log = open(&database.url()).await;
    for n in 0..4_u64 {
        log.append(append("a", Expected::from(n.checked_sub(1)), [n])).await.unwrap();
    }
    let damage = "alter table events disable trigger all; update events set ";
    for (position, change) in [
        (3, "actor = 'nobody'"),
        (2, "event_id = '\\x00'"),
        (1, "recorded_at = 9223372036854775807"),
        (0, "schema = 5000000000"),
    ] {
        database.sql(&format!("{damage} {change} where position = {position}"));
        for read in [log.read_all(position, 10).await, log.read_stream(&stream("a"), position, 10).await] {
            assert!(
                matches!(read, Err(LogError::Damaged { position: at, .. }) if at == position),
                "{read:?}"
            );
        }
        if position > 0 {
            assert!(log.read_all(0, position as usize).await.is_ok(), "what is before it can be read");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_only_read_takes_no_appends_and_hears_of_others() {
    let database = fixtures::postgres::server().fresh();
    let postgres = Postgres::new(&database.url()).unwrap();
    let nothing = PostgresLog::open_read_only(&postgres).await.unwrap_err();
    assert!(matches!(nothing, PostgresError::Storage { .. }), "{nothing}");
    assert_eq!(database.sql("select count(*) from pg_class where relname = 'events'"), "0");
    let log = open(&database.url()).await;
    let reading = PostgresLog::open_read_only(&postgres).await.unwrap();
    let refused = reading.append(append("a", Expected::NoStream, [1])).await;
    assert!(matches!(refused, Err(AppendError::Fatal(_))), "{refused:?}");
    let mut hint = reading.follow();
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    hint.wait_for(|last| *last == Some(0)).await.unwrap();
    assert_eq!(reading.read_all(0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_log_has_written_what_it_accepted_and_accepts_nothing() {
    let database = fixtures::postgres::server().fresh();
    let log = std::sync::Arc::new(open(&database.url()).await);
    let mut accepted = tokio::task::JoinSet::new();
    for n in 0..100 {
        let log = log.clone();
        accepted.spawn(async move { log.append(append(&n.to_string(), Expected::NoStream, [n])).await });
    }
    while log.head().await.unwrap().is_none() {}
    log.close().await;
    let stored = accepted.join_all().await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(read_to_end(&*log, MAX_PAGE).await.len(), stored, "it can still be read");
    let late = log.append(append("late", Expected::NoStream, [1000])).await;
    assert!(matches!(late, Err(AppendError::Fatal(_))), "{late:?}");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_after_pages_that_ended_early() {
    let database = fixtures::postgres::server().fresh();
    let log = open(&database.url()).await;
    for n in 0..300_u64 {
        let mut append = append("a", Expected::from(n.checked_sub(1)), [n]);
        // Small ones first, so that too many of the large ones are asked for.
        append.events[0].payload = vec![b'x'; if n < 100 { 10 } else { MAX_PAYLOAD }];
        log.append(append).await.unwrap();
    }
    for max in [90, MAX_PAGE] {
        assert_eq!(read_to_end(&log, max).await.len(), 300);
    }
    assert_eq!(log.read_stream(&stream("a"), 299, MAX_PAGE).await.unwrap().len(), 1);
}
