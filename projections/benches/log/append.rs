//! Appending against inserting the same bytes.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::event::{Events, StreamName};
use projections::log::{Append, EventLog, Expected, sqlite::SqliteLog};
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::{
    SLICE, event, folder,
    table::Rounds,
    warm_up,
    work::{Extend, Rental},
};

const ROUNDS: usize = 15;
/// Streams that are appended to in turn.
const STREAMS: u64 = 1000;
/// Events after which a stream has ended and a new one takes its place: most rentals are short.
const LENGTH: u64 = 20;
const BATCHES: [(u64, f64); 3] = [(1, 0.9), (64, 0.8), (256, 0.6)];

/// A payload of the work.
pub fn payload(n: u64) -> Vec<u8> {
    let rental = Rental { segments: n, end: n * 3600, paid: 0 };
    let extend = Extend { contract: u128::from(n) << 64 | u128::from(n), seconds: 3600 };
    rental.decide(extend).expect("long enough").payload()
}

pub async fn run() {
    let folder = folder();
    let payloads: Vec<_> = (0..1000).map(payload).collect();
    let events: Vec<_> =
        payloads.iter().enumerate().map(|(n, payload)| event::bytes(n as u64, payload)).collect();
    let average = |rows: &[Vec<u8>]| rows.iter().map(Vec::len).sum::<usize>() / rows.len();
    println!("  (events of {} bytes, {} of them payload)", average(&events), average(&payloads));
    let shared = Arc::new(payloads.clone());
    for (batch, target) in BATCHES {
        let raw = [
            raw(&folder.path().join(format!("raw{batch}.db"))),
            raw(&folder.path().join(format!("payload{batch}.db"))),
        ];
        let together =
            Streams::open(&folder.path().join(format!("together{batch}.db")), shared.clone()).await;
        let waiting = Streams::open(&folder.path().join(format!("waiting{batch}.db")), shared.clone()).await;
        // Until every write-ahead file has its size: a server runs for weeks.
        for raw in &raw {
            warm_up(30_000.0, async || insert(raw, 256, &events)).await;
        }
        warm_up(30_000.0, async || together.run(1, 256).await).await;
        warm_up(30_000.0, async || waiting.run(256, 1).await).await;
        let mut rounds: [Rounds; 4] = Default::default();
        for _ in 0..ROUNDS {
            let same_bytes = insert(&raw[0], batch, &events);
            let one_append = together.run(1, batch).await;
            let payload_only = insert(&raw[1], batch, &payloads);
            let many = waiting.run(batch, 1).await;
            rounds[0].add(one_append, same_bytes);
            rounds[1].add(many, same_bytes);
            rounds[2].add(one_append, payload_only);
            rounds[3].add(many, payload_only);
        }
        rounds[0].print(&format!("append, batch {batch}"), Some(target));
        rounds[2].print(&format!("append, batch {batch}, against payloads only"), None);
        if batch > 1 {
            rounds[1].print(&format!("append, {batch} waiting"), None);
            rounds[3].print(&format!("append, {batch} waiting, against payloads only"), None);
        }
    }
}

fn raw(path: &Path) -> Connection {
    let raw = Connection::open(path).expect("a database opens");
    raw.execute_batch(
        "pragma journal_mode=wal; pragma synchronous=full; create table raw (data blob) strict",
    )
    .expect("a table is created");
    raw
}

/// Inserts batches for a while; events per second.
fn insert(raw: &Connection, batch: u64, rows: &[Vec<u8>]) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < SLICE {
        raw.execute_batch("begin immediate").expect("begins");
        let mut statement = raw.prepare_cached("insert into raw values (?1)").expect("prepares");
        for n in done..done + batch {
            statement.execute([&rows[n as usize % rows.len()]]).expect("inserts");
        }
        drop(statement);
        raw.execute_batch("commit").expect("commits");
        done += batch;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

/// A log, and for each of the streams that are appended to in turn how many it followed and how long it is.
pub struct Streams {
    log: Arc<dyn EventLog>,
    slots: Arc<Vec<[AtomicU64; 2]>>,
    payloads: Arc<Vec<Vec<u8>>>,
}

impl Streams {
    async fn open(path: &Path, payloads: Arc<Vec<Vec<u8>>>) -> Self {
        Self::of(Arc::new(SqliteLog::open(path).await.expect("a log opens")), payloads)
    }

    /// Streams of an empty log.
    pub fn of(log: Arc<dyn EventLog>, payloads: Arc<Vec<Vec<u8>>>) -> Self {
        Self { log, slots: Arc::new((0..STREAMS).map(|_| Default::default()).collect()), payloads }
    }

    /// Other streams than those that [`Streams::of`] begins with.
    pub fn apart(&self) {
        self.slots.iter().for_each(|[before, _]| before.store(1 << 20, Ordering::Relaxed));
    }

    /// `tasks` tasks append `each` events at a time for a while; events per second.
    async fn run(&self, tasks: u64, each: u64) -> f64 {
        self.run_for(SLICE, tasks, each).await
    }

    /// As [`Streams::run`], for so long.
    pub async fn run_for(&self, slice: Duration, tasks: u64, each: u64) -> f64 {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = Instant::now();
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let Self { log, slots, payloads } = self;
            let (log, slots, payloads) = (log.clone(), slots.clone(), payloads.clone());
            let (stop, done) = (stop.clone(), done.clone());
            running.spawn(async move {
                for slot in (task..STREAMS).step_by(tasks as usize).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let [before, length] = &slots[slot as usize];
                    let (number, from) = (before.load(Ordering::Relaxed), length.load(Ordering::Relaxed));
                    let events = (from..from + each).map(|n| {
                        let payload = &payloads[(slot + n) as usize % payloads.len()];
                        event::new(slot << 40 | number << 10 | n, payload.clone())
                    });
                    let append = Append {
                        stream: StreamName::new("contract", &uuid::Uuid::from_u64_pair(number, slot)),
                        expected: Expected::from(from.checked_sub(1)),
                        events: events.collect(),
                    };
                    let appended = log.append(append).await.expect("nobody else appends to this stream");
                    let full = appended.revision + 1 >= LENGTH;
                    length.store(if full { 0 } else { appended.revision + 1 }, Ordering::Relaxed);
                    before.store(number + u64::from(full), Ordering::Relaxed);
                    done.fetch_add(each, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(slice).await;
        let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        running.join_all().await;
        rate
    }
}
