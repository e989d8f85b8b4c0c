//! Reading everything: decoded and folded against the bare rows.

use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

use domain::event::{Events, Recorded, StreamName};
use projections::log::{
    Append, EventLog, Expected, MAX_EVENTS_PER_APPEND, MAX_PAGE, pages::Pages, sqlite::SqliteLog,
};
use rusqlite::{Connection, OpenFlags};

use crate::{
    event, folder,
    table::Rounds,
    work::{Extend, Extended, Rental},
};

const ROUNDS: usize = 5;
const EVENTS: u64 = 1_000_000;
/// Events of one stream: rentals are short.
const EACH: u64 = 20;

pub async fn run() {
    let folder = folder();
    let path = folder.path().join("log.db");
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&path).await.expect("a log opens"));
    fill(&log).await;
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let reference = step(&path);
        rounds.add(fold(&log).await, reference);
    }
    rounds.print("replay, decoded and folded", 0.38);
}

async fn fill(log: &Arc<dyn EventLog>) {
    let mut appends = tokio::task::JoinSet::new();
    for stream in 0..EVENTS / EACH {
        let mut rental = Rental::default();
        let contract = u128::from(stream);
        let events = (0..EACH).map(|n| {
            let event = rental.decide(Extend { contract, seconds: 3600 }).expect("long enough");
            rental.apply(&event);
            event::new(stream << 32 | n, event.payload())
        });
        let append = Append {
            stream: StreamName::new("contract", &uuid::Uuid::from_u128(contract)),
            expected: Expected::NoStream,
            events: events.collect(),
        };
        let log = log.clone();
        appends.spawn(async move { log.append(append).await.expect("appends") });
        if appends.len() > MAX_EVENTS_PER_APPEND {
            appends.join_next().await;
        }
    }
    appends.join_all().await;
    assert_eq!(log.head().await, Ok(Some(EVENTS - 1)));
}

/// Steps over all rows and looks at every column; events per second.
fn step(path: &Path) -> f64 {
    let raw = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    let start = Instant::now();
    let mut statement = raw.prepare("select * from events order by position").expect("prepares");
    let columns = statement.column_count();
    let mut rows = statement.query(()).expect("reads");
    let (mut events, mut bytes) = (0, 0);
    while let Some(row) = rows.next().expect("reads") {
        for column in 0..columns {
            let value = row.get_ref(column).expect("a column");
            bytes += value.as_bytes_or_null().ok().flatten().map_or(8, <[u8]>::len);
        }
        events += 1;
    }
    assert!(events == EVENTS && bytes > 0);
    EVENTS as f64 / start.elapsed().as_secs_f64()
}

/// Replays the log into its aggregates; events per second.
async fn fold(log: &Arc<dyn EventLog>) -> f64 {
    let start = Instant::now();
    let mut rentals: HashMap<StreamName, Rental> = HashMap::new();
    let mut pages = Pages::new(log.clone(), 0, MAX_PAGE);
    let mut events = 0;
    loop {
        let page = pages.next().await.expect("the log can be read");
        if page.is_empty() {
            break;
        }
        events += page.len() as u64;
        for Recorded { stream, event, .. } in page {
            let decoded = Extended::decode(&event.kind, event.schema, &event.payload);
            let decoded = decoded.expect("a known event").expect("a readable event");
            match rentals.get_mut(&stream) {
                Some(rental) => rental.apply(&decoded),
                None => rentals.entry(stream).or_default().apply(&decoded),
            }
        }
    }
    assert!(events == EVENTS && rentals.values().all(|rental| rental.segments == EACH));
    EVENTS as f64 / start.elapsed().as_secs_f64()
}
