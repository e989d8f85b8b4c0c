//! The file: what survives reopening, what two processes do to it, and what is refused untouched.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use domain::event::Position;
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::super::{SqliteLog, open::OpenError};
use crate::log::{
    AppendError, Appended, EventLog, Expected, LogError, MAX_QUEUE,
    contract::{append, assert_whole, read_to_end, stream},
};

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

/// A closed log of `count` events.
async fn written(path: &Path, count: u64) {
    let log = SqliteLog::open(path).await.unwrap();
    for start in (0..count).step_by(100) {
        log.append(append(&start.to_string(), Expected::NoStream, start..count.min(start + 100)))
            .await
            .unwrap();
    }
}

/// Checks that opening fails, for writing and for reading, and changes nothing.
async fn refused(path: &Path) -> OpenError {
    let before = files(path.parent().unwrap());
    let error = SqliteLog::open_read_only(path).await.unwrap_err();
    assert_eq!(files(path.parent().unwrap()), before, "{error}");
    let error = SqliteLog::open(path).await.unwrap_err();
    assert_eq!(files(path.parent().unwrap()), before, "{error}");
    error
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = SqliteLog::open(&path).await.unwrap();
    log.append(append("a", Expected::NoStream, [1, 2])).await.unwrap();
    let before = read_to_end(&log, 10).await;
    drop(log);
    let log = SqliteLog::open(&path).await.unwrap();
    assert_eq!(read_to_end(&log, 10).await, before);
    assert_eq!(*log.follow().borrow(), Some(1));
    let conflict = log.append(append("a", Expected::Revision(0), [3])).await;
    assert_eq!(conflict, Err(AppendError::Conflict { actual: Some(1) }));
    let appended = log.append(append("a", Expected::Revision(1), [3])).await;
    assert_eq!(appended, Ok(Appended { first: 2, last: 2, revision: 2 }));
}

#[tokio::test]
async fn what_was_accepted_is_written_before_the_log_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = Arc::new(SqliteLog::open(&path).await.unwrap());
    let mut accepted = JoinSet::new();
    for n in 0..100 {
        let log = log.clone();
        accepted.spawn(async move { log.append(append(&n.to_string(), Expected::NoStream, [n])).await });
    }
    // Runs every task up to its first wait, which is for the answer: some sixty of them each time.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    log.close().await;
    assert_eq!(log.head().await, Ok(Some(99)));
    assert_eq!(accepted.join_all().await.iter().filter(|answer| answer.is_ok()).count(), 100);
    let late = log.append(append("late", Expected::NoStream, [1000])).await;
    assert!(matches!(late, Err(AppendError::Fatal(_))), "{late:?}");
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_log_refuses_appends_and_its_file_is_all_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = SqliteLog::open(&path).await.unwrap();
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    log.close().await;
    let late = log.append(append("a", Expected::Revision(0), [2])).await;
    assert!(matches!(late, Err(AppendError::Fatal(_))), "{late:?}");
    assert_eq!(files(folder.path()).keys().collect::<Vec<_>>(), ["log.db"]);
    assert_eq!(log.read_stream(&stream("a"), 0, 10).await.unwrap().len(), 1, "it can still be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_append_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let (one, two) = tokio::join!(SqliteLog::open(&path), SqliteLog::open(&path));
    let logs = [Arc::new(one.unwrap()), Arc::new(two.unwrap())];
    // Each knows the stream from before the other's append.
    for n in 0..20_u64 {
        let log = &logs[n as usize % 2];
        if n > 0 {
            let stale = log.append(append("a", Expected::from(n.checked_sub(2)), [1000 + n])).await;
            assert_eq!(stale, Err(AppendError::Conflict { actual: Some(n - 1) }));
        }
        let appended = log.append(append("a", Expected::from(n.checked_sub(1)), [n])).await.unwrap();
        assert_eq!(appended, Appended { first: n, last: n, revision: n });
        let other = &logs[1 - n as usize % 2];
        assert_eq!(other.head().await, Ok(Some(n)), "the other one sees it");
        let newer = other.read_stream(&stream("a"), n, 10).await.unwrap();
        assert_eq!(newer.len(), 1, "the other one does not trust what it remembers");
    }
    let mut writers = JoinSet::new();
    for writer in 0..16_u64 {
        let log = logs[writer as usize % 2].clone();
        writers.spawn(async move {
            for n in 0..25 {
                let expected = Expected::from(u64::checked_sub(n, 1));
                let key = format!("w{writer}");
                log.append(append(&key, expected, [2000 + writer * 100 + n])).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let all = read_to_end(&*logs[0], 100).await;
    assert_eq!(all.len(), 20 + 16 * 25);
    assert_whole(&all);
    assert_eq!(read_to_end(&*logs[1], 7).await, all);
}

#[tokio::test]
async fn a_log_opened_for_reading_cannot_be_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let missing = SqliteLog::open_read_only(&path).await.unwrap_err();
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(!path.exists());
    let server = SqliteLog::open(&path).await.unwrap();
    server.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let log = SqliteLog::open_read_only(&path).await.unwrap();
    let refused = log.append(append("b", Expected::NoStream, [2])).await;
    assert!(matches!(refused, Err(AppendError::Fatal(_))), "{refused:?}");
    server.append(append("a", Expected::Revision(0), [2])).await.unwrap();
    assert_eq!(log.head().await, Ok(Some(1)));
    assert_eq!(log.read_stream(&stream("a"), 0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_no_log_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    for text in ["not a database", &"x".repeat(10_000)] {
        std::fs::write(&path, text).unwrap();
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("create table notes (text)").unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
    let error = SqliteLog::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
    let error = SqliteLog::open(folder.path().join("no/folder/log.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::Storage { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_log_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    written(&path, 1000).await;
    let whole = std::fs::read(&path).unwrap();
    let mut scribbled = whole.clone();
    let middle = whole.len() / 2;
    scribbled[middle..middle + 5000].fill(0xa5);
    let mut overwritten = whole.clone();
    overwritten[..8192].fill(0);
    for bytes in
        [&whole[..whole.len() / 2], &whole[..whole.len() - 1], &whole[..100], &scribbled, &overwritten]
    {
        std::fs::write(&path, bytes).unwrap();
        let error = refused(&path).await;
        let expected = matches!(error, OpenError::Damaged { .. } | OpenError::NotALog { .. });
        assert!(expected, "{} bytes: {error}", bytes.len());
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(read_to_end(&SqliteLog::open(&path).await.unwrap(), 1000).await.len(), 1000);
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    written(&path, 10).await;
    let newer = Connection::open(&path).unwrap();
    let add = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9999, 'later', 1, x'00', 0)";
    newer.execute_batch(add).unwrap();
    // With the other program running or killed: what it did is still in the file beside.
    let error = refused_beside(&path).await;
    assert!(matches!(error, OpenError::Newer { found: 9999, .. }), "{error}");
    drop(newer);
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Newer { found: 9999, .. }), "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

/// As [`refused`], where `-shm`, the lock table of whoever has the file open, may change.
async fn refused_beside(path: &Path) -> OpenError {
    let stored = |mut files: BTreeMap<String, Vec<u8>>| {
        files.retain(|name, _| !name.ends_with("-shm"));
        files
    };
    let before = stored(files(path.parent().unwrap()));
    let error = SqliteLog::open(path).await.unwrap_err();
    assert_eq!(stored(files(path.parent().unwrap())), before, "{error}");
    error
}

#[tokio::test]
async fn an_event_changed_by_hand_is_reported_with_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    written(&path, 3).await;
    let hand = Connection::open(&path).unwrap();
    assert!(hand.execute("update events set kind = 'Other'", ()).is_err(), "events are never changed");
    assert!(hand.execute("delete from events", ()).is_err(), "events are never deleted");
    hand.execute_batch(
        "drop trigger events_are_not_changed; update events set actor = 'x' where position = 2",
    )
    .unwrap();
    let log = SqliteLog::open(&path).await.unwrap();
    assert_eq!(log.read_all(0, 2).await.unwrap().len(), 2);
    let error = log.read_all(0, 3).await.unwrap_err();
    assert!(matches!(error, LogError::Damaged { position: 2, .. }), "{error}");
    assert_eq!(log.read_all(0, 2).await.unwrap().len(), 2, "later reads work");
}

#[tokio::test]
async fn too_many_waiting_appends_are_refused_and_the_others_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = Arc::new(SqliteLog::open(&path).await.unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let mut waiting = JoinSet::new();
    for n in 0..MAX_QUEUE as u64 + 2000 {
        let log = log.clone();
        waiting.spawn(async move { log.append(append(&n.to_string(), Expected::NoStream, [n])).await });
    }
    tokio::task::yield_now().await;
    other.execute_batch("rollback").unwrap();
    let answers = waiting.join_all().await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| **answer == Err(AppendError::Overloaded)).count();
    assert!(refused > 0 && stored >= MAX_QUEUE, "{stored} stored, {refused} refused");
    assert_eq!(stored + refused, answers.len());
    assert_eq!(log.head().await, Ok(Some(stored as Position - 1)));
}
