//! The log in KurrentDB: how fast it is mirrored, audited and appended to.
//!
//! `cargo bench -p berth-projections --features kurrentdb --bench kurrent`; half a minute.
//!
//! KurrentDB is the tests' own node, in memory and in the same process, so these are the limits of Berth's side;
//! PostgreSQL is the tests' own as well, without `fsync`. With `KURRENTDB_URL` the server that it names is used. An
//! event is some 400 bytes of JSON; what is mirrored was appended in fives, to 1,000 streams.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::DateTime;
use domain::{
    event::{Actor, Meta, NewEvent, StreamName, SystemPart},
    time::Time,
};
use fixtures::{kurrent::Cluster, postgres::Database};
use projections::{
    log::{Append, EventLog, Expected, kurrent::KurrentLog},
    postgres::Postgres,
};
use tokio::task::JoinSet;
use uuid::Uuid;

const STREAMS: u64 = 1000;
const APPENDS: u64 = 20;
const EACH: u64 = 5;
const SLICE: Duration = Duration::from_secs(3);

fn event(n: u64) -> NewEvent {
    NewEvent {
        id: Uuid::from_u64_pair(1, n).into(),
        kind: "RentalStarted".into(),
        schema: 1,
        payload: format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(370)).into_bytes(),
        recorded_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default(),
        effective_at: Time::from_unix(1_700_000_000),
        meta: Meta {
            actor: Actor::System(SystemPart::Cli),
            on_behalf_of: None,
            command_id: Uuid::from_u64_pair(2, n).into(),
            causation_id: None,
            correlation_id: Uuid::from_u64_pair(3, n).into(),
        },
    }
}

fn append(stream: &str, expected: Expected, ns: std::ops::Range<u64>) -> Append {
    Append { stream: StreamName::stored(stream), expected, events: ns.map(event).collect() }
}

fn postgres(database: &Database) -> Postgres {
    Postgres::new(&database.url()).expect("it is an address")
}

/// Tasks that each append one event at a time to a stream of their own; events per second.
async fn appends(log: &Arc<KurrentLog>, tasks: u64) -> f64 {
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for task in 0..tasks {
        let log = log.clone();
        writers.spawn(async move {
            let (stream, mut n) = (format!("waiting-{tasks}-{task}"), 0);
            while began.elapsed() < SLICE {
                let base = (tasks << 40) + (task << 20) + n;
                let append = append(&stream, Expected::from(n.checked_sub(1)), base..base + 1);
                log.append(append).await.expect("it is appended");
                n += 1;
            }
            n
        });
    }
    let count: u64 = writers.join_all().await.into_iter().sum();
    count as f64 / began.elapsed().as_secs_f64()
}

async fn run() {
    let given = std::env::var("KURRENTDB_URL").ok().filter(|url| !url.is_empty());
    let cluster = given.is_none().then(Cluster::single);
    let url = given.or(cluster.as_ref().map(Cluster::url)).expect("there is one of the two");
    let sign = if url.contains('?') { '&' } else { '?' };
    let random = RandomState::new().build_hasher().finish();
    let url = format!("{url}{sign}streamPrefix=berth-bench-{random:x}.");
    let server = fixtures::postgres::server();
    let first = server.fresh();
    let log = Arc::new(KurrentLog::open(&url, &postgres(&first)).await.expect("it opens"));
    for tasks in [1, 32, 256] {
        println!("{tasks} waiting      {:>9.0} events/s appended", appends(&log, tasks).await);
    }
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for part in 0..32 {
        let log = log.clone();
        writers.spawn(async move {
            for stream in (part..STREAMS).step_by(32) {
                for n in 0..APPENDS {
                    let base = (stream * APPENDS + n) * EACH;
                    let expected = Expected::from((n * EACH).checked_sub(1));
                    let append = append(&format!("contract-{stream}"), expected, base..base + EACH);
                    log.append(append).await.expect("it is appended");
                }
            }
        });
    }
    writers.join_all().await;
    let count = (STREAMS * APPENDS * EACH) as f64;
    println!("32 waiting, by 5 {:>9.0} events/s appended", count / began.elapsed().as_secs_f64());
    log.close().await;
    let second = server.fresh();
    let began = Instant::now();
    let log = KurrentLog::open(&url, &postgres(&second)).await.expect("it opens");
    let all = log.head().await.expect("it is read").map_or(0, |head| head + 1) as f64;
    println!("catch-up         {:>9.0} events/s mirrored, {all} in all", all / began.elapsed().as_secs_f64());
    let began = Instant::now();
    let audit = KurrentLog::audit(&url, &postgres(&second), &mut |_, _| {}).await.expect("both are read");
    assert_eq!(audit.found, 0, "{:?}", audit.findings);
    println!("audit            {:>9.0} events/s compared", all / began.elapsed().as_secs_f64());
    log.close().await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(run());
}
