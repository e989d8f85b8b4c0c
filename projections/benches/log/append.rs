//! Appending against inserting the same bytes.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use domain::event::{Events, StreamName};
use projections::log::{Append, EventLog, Expected, sqlite::SqliteLog};
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::{
    SLICE, event, folder,
    table::Rounds,
    work::{Extend, Rental},
};

const ROUNDS: usize = 7;
const STREAMS: u64 = 1000;
const BATCHES: [(u64, f64); 3] = [(1, 0.9), (64, 0.8), (256, 0.6)];

/// A payload of the work.
fn payload(n: u64) -> Vec<u8> {
    let rental = Rental { segments: n, end: n * 3600, paid: 0 };
    let extend = Extend { contract: u128::from(n) << 64 | u128::from(n), seconds: 3600 };
    rental.decide(extend).expect("long enough").payload()
}

pub async fn run() {
    let folder = folder();
    let payloads: Vec<_> = (0..1000).map(payload).collect();
    println!(
        "  (payloads of {} bytes on average)",
        payloads.iter().map(Vec::len).sum::<usize>() / payloads.len()
    );
    let payloads = Arc::new(payloads);
    for (batch, target) in BATCHES {
        let raw = raw_log(&folder.path().join(format!("raw{batch}.db")));
        let together =
            Streams::open(&folder.path().join(format!("together{batch}.db")), payloads.clone()).await;
        let waiting =
            Streams::open(&folder.path().join(format!("waiting{batch}.db")), payloads.clone()).await;
        let mut rounds = [Rounds::default(), Rounds::default()];
        for _ in 0..ROUNDS {
            let reference = insert(&raw, batch, &payloads);
            rounds[0].add(together.run(1, batch).await, reference);
            if batch > 1 {
                rounds[1].add(waiting.run(batch, 1).await, reference);
            }
        }
        rounds[0].print(&format!("append, batch {batch}, one append"), target);
        if batch > 1 {
            rounds[1].print(&format!("append, {batch} waiting"), target);
        }
    }
}

fn raw_log(path: &Path) -> Connection {
    let raw = Connection::open(path).expect("a database opens");
    raw.execute_batch(
        "pragma journal_mode=wal; pragma synchronous=full; create table raw (data blob) strict",
    )
    .expect("a table is created");
    raw
}

/// Inserts batches for a while; events per second.
fn insert(raw: &Connection, batch: u64, payloads: &[Vec<u8>]) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < SLICE {
        raw.execute_batch("begin immediate").expect("begins");
        let mut statement = raw.prepare_cached("insert into raw values (?1)").expect("prepares");
        for n in done..done + batch {
            statement.execute([&payloads[n as usize % payloads.len()]]).expect("inserts");
        }
        drop(statement);
        raw.execute_batch("commit").expect("commits");
        done += batch;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// A log and how long its streams are.
struct Streams {
    log: Arc<SqliteLog>,
    lengths: Arc<Vec<AtomicU64>>,
    payloads: Arc<Vec<Vec<u8>>>,
}

impl Streams {
    async fn open(path: &Path, payloads: Arc<Vec<Vec<u8>>>) -> Self {
        let log = Arc::new(SqliteLog::open(path).await.expect("a log opens"));
        Self { log, lengths: Arc::new((0..STREAMS).map(|_| AtomicU64::new(0)).collect()), payloads }
    }

    /// `tasks` tasks append `each` events at a time for a while; events per second.
    async fn run(&self, tasks: u64, each: u64) -> f64 {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = Instant::now();
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let Self { log, lengths, payloads } = self;
            let (log, lengths, payloads) = (log.clone(), lengths.clone(), payloads.clone());
            let (stop, done) = (stop.clone(), done.clone());
            running.spawn(async move {
                for stream in (task..STREAMS).step_by(tasks as usize).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let length = &lengths[stream as usize];
                    let from = length.load(Ordering::Relaxed);
                    let events = (from..from + each).map(|n| {
                        event::new(stream << 32 | n, payloads[(stream + n) as usize % payloads.len()].clone())
                    });
                    let append = Append {
                        stream: StreamName::new(
                            "contract",
                            &format_args!("019aa8c0-0000-7000-8000-{stream:012x}"),
                        ),
                        expected: Expected::from(from.checked_sub(1)),
                        events: events.collect(),
                    };
                    let appended = log.append(append).await.expect("nobody else appends to this stream");
                    length.store(appended.revision + 1, Ordering::Relaxed);
                    done.fetch_add(each, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(SLICE).await;
        let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        running.join_all().await;
        rate
    }
}
