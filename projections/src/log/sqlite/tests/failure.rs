//! Storage that fails: what is told to whom, and what is in the log afterwards.

use std::sync::Arc;

use domain::event::Position;
use rusqlite::Connection;
use tokio::sync::watch;

use super::super::{SqliteLog, heads::Known, open, writer::Writer};
use crate::log::{
    Append, AppendError, Appended, Expected,
    contract::{append, assert_whole, read_to_end},
};

/// A writer on a file of its own, without its thread.
struct Bench {
    writer: Writer,
    log: SqliteLog,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let log = SqliteLog::open(&path).await.unwrap();
        let head = Arc::new(watch::Sender::new(None));
        let writer = Writer::new(path, Arc::new(Known::new(0)), head).unwrap();
        Self { writer, log, _folder: folder }
    }

    fn connection(&self) -> &Connection {
        self.writer.connection().unwrap()
    }

    fn commit(&mut self, batch: &[Append]) -> Vec<Result<Appended, AppendError>> {
        self.writer.commit(batch)
    }

    async fn count(&self) -> usize {
        let all = read_to_end(&self.log, 100).await;
        assert_whole(&all);
        all.len()
    }
}

fn appended(first: Position, last: Position, revision: u64) -> Result<Appended, AppendError> {
    Ok(Appended { first, last, revision })
}

#[tokio::test]
async fn a_failed_commit_is_an_unknown_outcome_and_a_retry_finds_out() {
    let mut bench = Bench::new().await;
    let first = append("a", Expected::NoStream, [1]);
    assert_eq!(bench.commit(std::slice::from_ref(&first)), [appended(0, 0, 0)]);
    let batch = [append("a", Expected::Revision(0), [2, 3]), append("b", Expected::NoStream, [4]), first];
    bench.connection().commit_hook(Some(|| true)).unwrap();
    assert_eq!(bench.commit(&batch), vec![Err(AppendError::OutcomeUnknown); 3]);
    assert_eq!(bench.count().await, 1);
    // On a new connection, with nothing remembered of what was rolled back.
    assert_eq!(bench.commit(&batch), [appended(1, 2, 2), appended(3, 3, 0), appended(0, 0, 0)]);
    assert_eq!(bench.commit(&batch), [appended(1, 2, 2), appended(3, 3, 0), appended(0, 0, 0)]);
    assert_eq!(bench.count().await, 4);
}

#[tokio::test]
async fn a_full_disk_refuses_the_whole_batch_and_stores_nothing_of_it() {
    let mut bench = Bench::new().await;
    assert_eq!(bench.commit(&[append("a", Expected::NoStream, [1])]), [appended(0, 0, 0)]);
    bench.connection().execute_batch("pragma max_page_count = 1").unwrap();
    let large: Vec<_> =
        (1..=100).map(|n| append(&format!("b{n}"), Expected::NoStream, n * 10..n * 10 + 9)).collect();
    for answer in bench.commit(&large) {
        assert!(matches!(&answer, Err(AppendError::Fatal(why)) if why.contains("full")), "{answer:?}");
    }
    assert_eq!(bench.count().await, 1);
    assert_eq!(bench.commit(&[append("a", Expected::Revision(0), [2])]), [appended(1, 1, 1)]);
    assert!(bench.commit(&large).iter().all(Result::is_ok));
    assert_eq!(bench.count().await, 2 + 900);
}

#[tokio::test]
async fn a_refused_append_does_not_disturb_the_others_of_its_batch() {
    let mut bench = Bench::new().await;
    let answers = bench.commit(&[
        append("a", Expected::NoStream, [1]),
        append("a", Expected::NoStream, [2]),
        append("b", Expected::Revision(4), [3]),
        append("a", Expected::Revision(0), [4, 5]),
        append("a", Expected::NoStream, [1]),
        append("a", Expected::Revision(0), [4, 6]),
        append("b", Expected::NoStream, [7]),
    ]);
    let conflict = |actual| Err(AppendError::Conflict { actual });
    assert_eq!(
        answers,
        [
            appended(0, 0, 0),
            conflict(Some(0)),
            conflict(None),
            appended(1, 2, 2),
            appended(0, 0, 0),
            conflict(Some(2)),
            appended(3, 3, 0)
        ]
    );
    assert_eq!(bench.count().await, 4);
}

#[tokio::test]
async fn a_commit_is_on_the_disk_before_it_is_answered() {
    let bench = Bench::new().await;
    let pragma = |name: &str| -> String {
        let text = |row: &rusqlite::Row<'_>| row.get_ref(0).map(|value| format!("{value:?}"));
        bench.connection().query_row(&format!("pragma {name}"), (), text).unwrap()
    };
    assert_eq!(pragma("synchronous"), "Integer(2)", "full");
    assert_eq!(pragma("journal_mode"), "Text([119, 97, 108])", "wal");
    let reader = open::reader(bench.log.path()).unwrap();
    assert!(reader.execute("insert into streams (name) values ('x')", ()).is_err(), "readers cannot write");
}
