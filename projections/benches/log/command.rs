//! Load, decide, append against `cqrs-es` with `sqlite-es`.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::event::{Events, Revision, StreamName};
use projections::log::{Append, EventLog, Expected, MAX_PAGE, sqlite::SqliteLog};
use tokio::task::JoinSet;

use crate::{
    SLICE, event, folder,
    table::Rounds,
    warm_up,
    work::{Extend, Extended, Rental},
};

const ROUNDS: usize = 15;
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
    let folder = folder();
    let mut berth = Berth::open(&folder.path().join("log.db")).await;
    let mut peers = POOLS.map(|pool| Peer::start(&peer, folder.path().join(format!("peer{pool}.db")), pool));
    // Until every write-ahead file has its size: a server runs for weeks.
    warm_up(30_000.0, async || berth.measure(256, SLICE).await).await;
    for peer in &mut peers {
        warm_up(2_000.0, async || peer.measure(32, SLICE)).await;
    }
    for (clients, target) in CLIENTS {
        let mut rounds = POOLS.map(|_| Rounds::default());
        for round in 0..ROUNDS {
            let mut rates = [0.0; 3];
            // Each side comes first, second and third as often.
            for side in (0..3).map(|side| (side + round) % 3) {
                rates[side] = match side {
                    0 => berth.measure(clients, SLICE).await,
                    _ => peers[side - 1].measure(clients, SLICE),
                };
            }
            for (rounds, rate) in rounds.iter_mut().zip(&rates[1..]) {
                rounds.add(rates[0], *rate);
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

/// This side: a log and the states kept beside it.
pub struct Berth {
    log: Arc<dyn EventLog>,
    states: Arc<States>,
    run: u64,
}

impl Berth {
    async fn open(path: &Path) -> Self {
        Self::of(Arc::new(SqliteLog::open(path).await.expect("a log opens")))
    }

    /// Commands on an empty log.
    pub fn of(log: Arc<dyn EventLog>) -> Self {
        Self { log, states: Arc::default(), run: 0 }
    }

    /// Commands per second.
    pub async fn measure(&mut self, clients: u64, slice: Duration) -> f64 {
        self.run += 1;
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = Instant::now();
        let mut running = JoinSet::new();
        for client in 0..clients {
            let (log, states, stop, done) =
                (self.log.clone(), self.states.clone(), stop.clone(), done.clone());
            let client = self.run << 32 | client;
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
        tokio::time::sleep(slice).await;
        let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        running.join_all().await;
        rate
    }
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
    let new = event::new(client << 20 | n, event.payload());
    let append = Append { stream: stream.clone(), expected: Expected::from(last), events: vec![new] };
    let appended = log.append(append).await.expect("nobody else works on this rental");
    state.apply(&event);
    states.lock().expect("nobody panics").insert(stream, (state, Some(appended.revision)));
}

/// The other side: a process that waits for orders.
pub struct Peer {
    process: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// On a SQLite file, or a PostgreSQL database by its address.
    pub fn start(program: &Path, store: impl AsRef<OsStr>, connections: u64) -> Self {
        let mut process = Command::new(program)
            .arg(store)
            .args([connections, EACH].map(|n| n.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer runs");
        let answers = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Self { orders: process.stdin.take(), process, answers }
    }

    /// Commands per second.
    pub fn measure(&mut self, clients: u64, slice: Duration) -> f64 {
        let orders = self.orders.as_mut().expect("open until the end");
        writeln!(orders, "{clients} {}", slice.as_millis()).expect("the peer listens");
        let answer = self.answers.next().expect("the peer answers").expect("text");
        let (commands, seconds) = answer.split_once(' ').expect("two numbers");
        commands.parse::<f64>().expect("commands") / seconds.parse::<f64>().expect("seconds")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends when nothing more can be ordered.
        self.orders = None;
        self.process.wait().expect("the peer ends");
    }
}

/// Builds the peer, which is a workspace of its own.
pub fn build() -> Result<PathBuf, String> {
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
