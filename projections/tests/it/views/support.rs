//! A log in memory, views in a temporary folder, and everything they hold as text.

use std::{path::Path, path::PathBuf, sync::Arc};

use domain::event::{NewEvent, Recorded, StreamName};
use fixtures::market::{Commit, Market};
use projections::{
    log::{Append, EventLog, memory::MemoryLog},
    rebuild,
    views::{self, Engine, ViewError},
};
use rusqlite::{Connection, types::Value};

/// A log with these appends.
pub async fn log_of(commits: impl IntoIterator<Item = Commit>) -> Arc<dyn EventLog> {
    let log = MemoryLog::new();
    append(&log, commits).await;
    Arc::new(log)
}

pub async fn append(log: &dyn EventLog, commits: impl IntoIterator<Item = Commit>) {
    for Commit { stream, after, events } in commits {
        log.append(Append { stream, expected: after.into(), events }).await.unwrap();
    }
}

/// The appends' events as a log would hold them.
pub fn recorded(commits: impl IntoIterator<Item = Commit>) -> Vec<Recorded> {
    let of = |stream: StreamName, first: u64, events: Vec<NewEvent>| {
        events.into_iter().zip(first..).map(move |(event, revision)| Recorded {
            position: 0,
            stream: stream.clone(),
            revision,
            event,
        })
    };
    let events =
        commits.into_iter().flat_map(|c| of(c.stream, c.after.map_or(0, |after| after + 1), c.events));
    events.zip(0..).map(|(event, position)| Recorded { position, ..event }).collect()
}

pub fn market(seed: u64, appends: usize) -> Vec<Commit> {
    Market::new(seed, 6).take(appends).collect()
}

/// A folder with an empty but complete file of views.
pub async fn fresh() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let empty: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    rebuild::prepare(&empty, &path, |_| {}).await.unwrap();
    (folder, path)
}

/// Folds everything at once.
pub fn fold(path: &Path, events: &[Recorded]) -> Result<(), ViewError> {
    Engine::open(path)?.apply(events).map(drop)
}

/// Every row of every view, and how far each is folded.
pub fn dump(path: &Path) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let mut all = Vec::new();
    for (view, table) in views::tables() {
        let mut statement = db.prepare(&format!("select * from {table}")).unwrap();
        let columns = statement.column_count();
        let rows = statement
            .query_map((), |row| (0..columns).map(|i| row.get::<_, Value>(i)).collect::<Result<Vec<_>, _>>());
        let mut rows: Vec<_> = rows.unwrap().map(|row| format!("{table} {:?}", row.unwrap())).collect();
        rows.sort();
        all.extend(rows);
        let next: i64 =
            db.query_row("select next from checkpoints where view = ?1", [view], |row| row.get(0)).unwrap();
        all.push(format!("{view} is folded up to {next}"));
    }
    all
}

/// Fails with the first difference, not with two books.
#[track_caller]
pub fn assert_same(a: &[String], b: &[String]) {
    assert!(a.len() > views::names().len(), "nothing was folded");
    if let Some((left, right)) = a.iter().zip(b).find(|(left, right)| left != right) {
        panic!("rows differ:\n{left}\n{right}");
    }
    assert_eq!(a.len(), b.len());
}
