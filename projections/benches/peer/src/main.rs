//! Runs the commands of the benchmark through `cqrs-es`: with `sqlite-es` at `synchronous=FULL`, or `postgres-es`.
//!
//! `log-peer FILE|ADDRESS CONNECTIONS COMMANDS-PER-RENTAL` reads lines of `CLIENTS MILLISECONDS` and answers each with how many
//! commands were done in how many seconds.

#[path = "../../log/work.rs"]
mod work;

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cqrs_es::{Aggregate, AggregateError, CqrsFramework, DomainEvent, EventStore, event_sink::EventSink};
use postgres_es::postgres_cqrs;
use serde::{Deserialize, Serialize};
use sqlite_es::sqlite_cqrs;
use sqlx::{
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use work::{Extend, Extended, Rental, TermTooShort};

const SCHEMA: &str = "create table if not exists events
(
  aggregate_type text                          not null,
  aggregate_id   text                          not null,
  sequence       integer check (sequence >= 0) not null,
  event_type     text                          not null,
  event_version  text                          not null,
  payload        text                          not null,
  metadata       text                          not null,
  primary key (aggregate_type, aggregate_id, sequence)
) strict";

/// As in its `db/init.sql`.
const POSTGRES: &str = "create table events
(
    aggregate_type text                         not null,
    aggregate_id   text                         not null,
    sequence       bigint check (sequence >= 0) not null,
    event_type     text                         not null,
    event_version  text                         not null,
    payload        json                         not null,
    metadata       json                         not null,
    primary key (aggregate_type, aggregate_id, sequence)
)";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Extended(Extended),
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        "Extended".into()
    }

    fn event_version(&self) -> String {
        "1".into()
    }
}

impl Aggregate for Rental {
    const TYPE: &'static str = "rental";
    type Command = Extend;
    type Event = Event;
    type Error = TermTooShort;
    type Services = ();

    async fn handle(&mut self, command: Extend, (): &(), sink: &EventSink<Self>) -> Result<(), TermTooShort> {
        let event = self.decide(command)?;
        sink.write(Event::Extended(event), self).await;
        Ok(())
    }

    fn apply(&mut self, Event::Extended(event): Event) {
        Rental::apply(self, &event);
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let arguments: Vec<String> = env::args().collect();
    let [_, file, connections, each] = &arguments[..] else { panic!("three arguments are needed") };
    let (connections, each): (u32, u64) = (connections.parse().unwrap(), each.parse().unwrap());
    if file.starts_with("postgres:") {
        let options =
            PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(60));
        let pool = options.connect(file).await.unwrap();
        sqlx::query(POSTGRES).execute(&pool).await.unwrap();
        answer(Arc::new(postgres_cqrs::<Rental>(pool, vec![], ())), each).await;
    } else {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(60));
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(60))
            .connect_with(options)
            .await
            .unwrap();
        sqlx::query(SCHEMA).execute(&pool).await.unwrap();
        answer(Arc::new(sqlite_cqrs::<Rental>(pool, vec![], ())), each).await;
    }
}

type Cqrs<S> = Arc<CqrsFramework<Rental, S>>;

async fn answer<S: EventStore<Rental> + 'static>(cqrs: Cqrs<S>, each: u64)
where
    S::AC: Send,
{
    for (run, line) in std::io::stdin().lines().enumerate() {
        let line = line.unwrap();
        let (clients, milliseconds) = line.split_once(' ').unwrap();
        let (clients, milliseconds) = (clients.parse().unwrap(), milliseconds.parse().unwrap());
        let (commands, seconds) = measure(&cqrs, run as u64, clients, milliseconds, each).await;
        println!("{commands} {seconds}");
    }
}

async fn measure<S: EventStore<Rental> + 'static>(
    cqrs: &Cqrs<S>,
    run: u64,
    clients: u64,
    milliseconds: u64,
    each: u64,
) -> (u64, f64)
where
    S::AC: Send,
{
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let (cqrs, stop, done) = (cqrs.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let contract = u128::from(run << 32 | client) << 64 | u128::from(n / each);
                    let metadata: HashMap<String, String> = [
                        ("actor", format!("account:{contract:032x}")),
                        ("command_id", format!("{:032x}", contract << 32 | u128::from(n))),
                        ("correlation_id", format!("{:032x}", contract << 32 | u128::from(n))),
                        ("recorded_at", "2026-11-22T09:00:00.123456Z".into()),
                    ]
                    .map(|(key, value)| (key.to_string(), value))
                    .into();
                    loop {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let command = Extend { contract, seconds: 3600 };
                        let id = contract.to_string();
                        match cqrs.execute_with_metadata(&id, command, metadata.clone()).await {
                            Ok(()) => break,
                            Err(AggregateError::UserError(error)) => panic!("{error}"),
                            // The database was busy: again.
                            Err(_) => tokio::task::yield_now().await,
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    let (commands, seconds) = (done.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    (commands, seconds)
}
