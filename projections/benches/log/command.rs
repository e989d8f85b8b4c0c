//! Load, decide, append against `cqrs-es` with `sqlite-es`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use domain::event::{Events, Revision, StreamName};
use projections::log::{Append, EventLog, Expected, MAX_PAGE, sqlite::SqliteLog};
use tokio::task::JoinSet;

use crate::{
    SLICE, event, folder,
    table::Rounds,
    work::{Extend, Extended, Rental},
};

const ROUNDS: usize = 11;
const CLIENTS: [(u64, f64); 3] = [(1, 1.0), (32, 6.0), (256, 15.0)];
/// Connections of the peer.
const POOLS: [u64; 2] = [1, 10];
/// Commands for one rental.
const EACH: u64 = 10;

pub async fn run() {
    let peer = match build() {
        Ok(peer) => peer,
        Err(why) => {
            println!("command: the peer could not be built and is left out: {why}");
            return;
        }
    };
    for (clients, target) in CLIENTS {
        let mut rounds = POOLS.map(|_| Rounds::default());
        for _ in 0..ROUNDS {
            let folder = folder();
            let ours = measure(&folder.path().join("log.db"), clients).await;
            for (pool, rounds) in POOLS.into_iter().zip(&mut rounds) {
                rounds.add(
                    ours,
                    measure_peer(&peer, &folder.path().join(format!("peer{pool}.db")), clients, pool),
                );
            }
        }
        let better = rounds.iter().max_by(|a, b| a.reference().total_cmp(&b.reference()));
        let name =
            if clients == 1 { "command, 1 client".into() } else { format!("command, {clients} clients") };
        better.expect("two pools").print(&name, Some(target));
    }
}

/// The last known state of a rental and the revision it is at.
type States = Mutex<HashMap<StreamName, (Rental, Option<Revision>)>>;

async fn measure(path: &Path, clients: u64) -> f64 {
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(path).await.expect("a log opens"));
    let states = Arc::new(States::default());
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let mut running = JoinSet::new();
    for client in 0..clients {
        let (log, states, stop, done) = (log.clone(), states.clone(), stop.clone(), done.clone());
        running.spawn(async move {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                execute(&*log, &states, client, n).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(SLICE).await;
    let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    running.join_all().await;
    rate
}

async fn execute(log: &dyn EventLog, states: &States, client: u64, n: u64) {
    let contract = u128::from(client) << 64 | u128::from(n / EACH);
    let stream = StreamName::new("contract", &uuid::Uuid::from_u128(contract));
    let known = states.lock().expect("nobody panics").get(&stream).cloned();
    let (mut state, mut last) = known.unwrap_or_default();
    loop {
        let from = last.map_or(0, |last| last + 1);
        let newer = log.read_stream(&stream, from, MAX_PAGE).await.expect("the log can be read");
        let Some(end) = newer.last() else { break };
        last = Some(end.revision);
        for recorded in &newer {
            let event =
                Extended::decode(&recorded.event.kind, recorded.event.schema, &recorded.event.payload);
            state.apply(&event.expect("a known event").expect("a readable event"));
        }
    }
    let event = state.decide(Extend { contract, seconds: 3600 }).expect("long enough");
    let new = event::new(client << 40 | n, event.payload());
    let append = Append { stream: stream.clone(), expected: Expected::from(last), events: vec![new] };
    let appended = log.append(append).await.expect("nobody else works on this rental");
    state.apply(&event);
    states.lock().expect("nobody panics").insert(stream, (state, Some(appended.revision)));
}

fn measure_peer(peer: &Path, file: &Path, clients: u64, connections: u64) -> f64 {
    let numbers = [clients, SLICE.as_millis() as u64, connections, EACH].map(|n| n.to_string());
    let output = Command::new(peer).arg(file).args(numbers).stderr(Stdio::inherit()).output();
    let output = String::from_utf8(output.expect("the peer runs").stdout).expect("the peer prints numbers");
    let (commands, seconds) = output.trim().split_once(' ').expect("the peer prints two numbers");
    commands.parse::<f64>().expect("commands") / seconds.parse::<f64>().expect("seconds")
}

/// Builds the peer, which is a workspace of its own.
fn build() -> Result<PathBuf, String> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../peer");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--quiet", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() { Ok(target.join("release/log-peer")) } else { Err(format!("cargo says {status}")) }
}
