//! Runs the commands of the benchmark through `cqrs-es` with `sqlite-es`, at `synchronous=FULL`.
//!
//! `log-peer FILE CLIENTS MILLISECONDS CONNECTIONS COMMANDS-PER-RENTAL` prints commands and seconds.

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

use cqrs_es::{Aggregate, AggregateError, DomainEvent, event_sink::EventSink};
use serde::{Deserialize, Serialize};
use sqlite_es::sqlite_cqrs;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
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
    let [_, file, numbers @ ..] = &arguments[..] else { panic!("no file given") };
    let numbers: Vec<u64> = numbers.iter().map(|n| n.parse().unwrap()).collect();
    let [clients, milliseconds, connections, each] = numbers[..] else { panic!("four numbers are needed") };
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(60));
    let pool = SqlitePoolOptions::new()
        .max_connections(connections as u32)
        .acquire_timeout(Duration::from_secs(60))
        .connect_with(options)
        .await
        .unwrap();
    sqlx::query(SCHEMA).execute(&pool).await.unwrap();
    let cqrs = Arc::new(sqlite_cqrs::<Rental>(pool, vec![], ()));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|client| {
            let (cqrs, stop, done) = (cqrs.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let contract = u128::from(client) << 64 | u128::from(n / each);
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
    println!("{commands} {seconds}");
}
