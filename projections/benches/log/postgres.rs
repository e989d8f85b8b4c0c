//! The shared log against plain inserts, against its peer, and read by two nodes.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use domain::event::Position;
use fixtures::postgres::{Options, Server};
use projections::{
    log::{EventLog, MAX_PAGE, pages::Pages, postgres::PostgresLog},
    postgres::Postgres,
};
use sqlx::PgConnection;
use tokio::task::{JoinHandle, JoinSet};

use crate::{
    append::{Streams, payload},
    command::{Berth, Peer, build},
    event,
    table::Rounds,
    warm_up,
};

const ROUNDS: usize = 7;
/// How long one measurement takes: many commits, each of them milliseconds on a slow disk.
const SLICE: Duration = Duration::from_millis(500);
/// Connections that insert; 32 is what the log must be compared with, the others show which number is best.
const INSERTERS: [usize; 5] = [1, 32, 64, 128, 256];
const CLIENTS: [(u64, f64); 3] = [(1, 0.0), (32, 1.2), (256, 2.5)];
/// Where the 32 stand in it.
const COMPARED: usize = 1;
const POOLS: [u64; 2] = [10, 32];
/// Events in the log before it is read.
const ENOUGH: Position = 300_000;

/// Names the folder that the server's files are made in, and with it the disk.
const PLACE: &str = "BERTH_BENCH_FOLDER";

const PLAIN: &str = "create table plain (like events including defaults including constraints including indexes); \
     create sequence plain_position minvalue 0; \
     alter table plain alter position set default nextval('plain_position')";
const INSERT: &str = "insert into plain (stream, revision, event_id, kind, schema, recorded_at, effective_at, actor, \
     command_id, causation_id, correlation_id, payload) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

pub async fn run() {
    let named = std::env::var_os(PLACE).map(PathBuf::from);
    let place = Some(named.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR"))));
    let server = Server::start(Options { fsync: true, place, ..Options::default() });
    let payloads: Arc<Vec<_>> = Arc::new((0..1000).map(payload).collect());
    let database = server.fresh();
    let postgres = Postgres::new(&database.url()).expect("an address");
    let log = Arc::new(PostgresLog::open(&postgres).await.expect("a log opens"));
    let mut connection = postgres.connect().await.expect("connects");
    sqlx::raw_sql(PLAIN).execute(&mut connection).await.expect("a table is created");
    let mut inserters = Inserters::default();
    for n in 0..INSERTERS[INSERTERS.len() - 1] {
        inserters.connections.push((n as i64, 0, postgres.connect().await.expect("connects")));
    }
    let streams = Streams::of(log.clone(), payloads.clone());
    warm_up(30_000.0, async || streams.run_for(SLICE, 256, 1).await).await;
    warm_up(30_000.0, async || inserters.run(128, &payloads).await).await;
    appends(&streams, &mut inserters, &payloads).await;
    drop(inserters);
    while log.head().await.expect("it can be read") < Some(ENOUGH) {
        streams.run_for(SLICE, 256, 8).await;
    }
    gaps(&server, &payloads).await;
    commands(&server).await;
    catch_up(&log).await;
    let url = database.url();
    tokio::task::spawn_blocking(move || two_nodes(&url)).await.expect("they read");
}

async fn appends(streams: &Streams, inserters: &mut Inserters, payloads: &Arc<Vec<Vec<u8>>>) {
    let mut rounds: [Vec<Rounds>; 3] = Default::default();
    rounds.iter_mut().for_each(|rounds| rounds.extend(INSERTERS.map(|_| Rounds::default())));
    for round in 0..ROUNDS {
        let (mut ours, mut plain) = ([0.0; CLIENTS.len()], [0.0; INSERTERS.len()]);
        // Each comes first as often.
        let sides = CLIENTS.len() + INSERTERS.len();
        for side in (0..sides).map(|side| (side + round) % sides) {
            match side.checked_sub(CLIENTS.len()) {
                None => ours[side] = streams.run_for(SLICE, CLIENTS[side].0, 1).await,
                Some(side) => plain[side] = inserters.run(INSERTERS[side], payloads).await,
            }
        }
        for (rounds, ours) in rounds.iter_mut().zip(ours) {
            rounds.iter_mut().zip(plain).for_each(|(rounds, plain)| rounds.add(ours, plain));
        }
    }
    for ((clients, target), rounds) in CLIENTS.into_iter().zip(rounds) {
        let target = (target > 0.0).then_some(target);
        if clients == 1 {
            rounds[0].print("postgres, 1 client, 1 that inserts", None);
            continue;
        }
        rounds[COMPARED].print(&format!("postgres, {clients} clients, 32 that insert"), target);
        let (best, inserters) = rounds
            .iter()
            .zip(INSERTERS)
            .max_by(|(a, _), (b, _)| a.reference().total_cmp(&b.reference()))
            .expect("five");
        best.print(&format!("postgres, {clients} clients, best: {inserters} that insert"), None);
    }
}

/// Two nodes write at once, a third follows and counts.
async fn gaps(server: &Server, payloads: &Arc<Vec<Vec<u8>>>) {
    let database = server.fresh();
    let postgres = Postgres::new(&database.url()).expect("an address");
    let logs = [0; 3].map(async |_| Arc::new(PostgresLog::open(&postgres).await.expect("a log opens")));
    let [one, two, three] = logs;
    let (one, two, three) = tokio::join!(one, two, three);
    let follower = Follower::start(three);
    let (streams, others) = (Streams::of(one.clone(), payloads.clone()), Streams::of(two, payloads.clone()));
    others.apart();
    let mut rates = (0.0, 0.0);
    for _ in 0..10 {
        rates = tokio::join!(streams.run_for(SLICE, 128, 1), others.run_for(SLICE, 128, 1));
    }
    let (seen, last) = follower.end(&one).await;
    println!(
        "  (two nodes wrote {:.0} + {:.0} events per second; a third saw {seen} of {}; no append was refused)",
        rates.0,
        rates.1,
        last + 1
    );
    assert_eq!(seen, last + 1, "events were missed");
}

/// Connections with the stream that each inserts into, and its next revision.
#[derive(Default)]
struct Inserters {
    connections: Vec<(i64, i64, PgConnection)>,
}

impl Inserters {
    /// Rows per second of the first `count`.
    async fn run(&mut self, count: usize, payloads: &Arc<Vec<Vec<u8>>>) -> f64 {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = Instant::now();
        let mut running = JoinSet::new();
        for (stream, mut revision, mut connection) in self.connections.drain(..count) {
            let (stop, done, payloads) = (stop.clone(), done.clone(), payloads.clone());
            running.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    insert(&mut connection, stream, revision, &payloads).await;
                    revision += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                (stream, revision, connection)
            });
        }
        tokio::time::sleep(SLICE).await;
        let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        self.connections.extend(running.join_all().await);
        rate
    }
}

async fn insert(connection: &mut PgConnection, stream: i64, revision: i64, payloads: &[Vec<u8>]) {
    let n = (stream << 40 | revision) as u64;
    let event = event::new(n, payloads[revision as usize % payloads.len()].clone());
    let meta = &event.meta;
    let insert = sqlx::query(INSERT)
        .bind(stream)
        .bind(revision)
        .bind(&event.id.0.as_bytes()[..])
        .bind(&event.kind)
        .bind(i64::from(event.schema))
        .bind(event.recorded_at.timestamp_micros())
        .bind(event.effective_at.unix())
        .bind(meta.actor.to_string())
        .bind(&meta.command_id.0.as_bytes()[..])
        .bind(meta.causation_id.as_ref().map(|id| &id.0.as_bytes()[..]))
        .bind(&meta.correlation_id.0.as_bytes()[..])
        .bind(&event.payload);
    insert.execute(connection).await.expect("inserts");
}

async fn commands(server: &Server) {
    let peer = match build() {
        Ok(peer) => peer,
        Err(why) => return println!("command: the peer could not be built and is left out: {why}"),
    };
    let database = server.fresh();
    let postgres = Postgres::new(&database.url()).expect("an address");
    let log = PostgresLog::open(&postgres).await.expect("a log opens");
    let mut berth = Berth::of(Arc::new(log));
    let databases = POOLS.map(|_| server.fresh());
    let mut peers = [0, 1].map(|n| Peer::start(&peer, databases[n].url(), POOLS[n]));
    warm_up(10_000.0, async || berth.measure(256, crate::SLICE).await).await;
    for peer in &mut peers {
        warm_up(2_000.0, async || peer.measure(32, crate::SLICE)).await;
    }
    for (clients, _) in CLIENTS {
        let mut rounds = POOLS.map(|_| Rounds::default());
        for round in 0..ROUNDS {
            let mut rates = [0.0; 3];
            for side in (0..3).map(|side| (side + round) % 3) {
                rates[side] = match side {
                    0 => berth.measure(clients, SLICE).await,
                    _ => peers[side - 1].measure(clients, SLICE),
                };
            }
            rounds.iter_mut().zip(&rates[1..]).for_each(|(rounds, rate)| rounds.add(rates[0], *rate));
        }
        let better = rounds.iter().max_by(|a, b| a.reference().total_cmp(&b.reference()));
        let target = (clients > 1).then_some(3.0);
        better.expect("two pools").print(&format!("postgres, command, {clients} clients"), target);
    }
}

async fn catch_up(log: &Arc<PostgresLog>) {
    let mut rounds = Rounds::default();
    for _ in 0..5 {
        let mut pages = Pages::new(log.clone(), 0, MAX_PAGE);
        let start = Instant::now();
        let mut seen = 0;
        loop {
            let page = pages.next().await.expect("it can be read");
            if page.is_empty() {
                break;
            }
            seen += page.len();
        }
        rounds.add(seen as f64 / start.elapsed().as_secs_f64(), 100_000.0);
    }
    rounds.print("postgres, catch-up", Some(1.0));
}

fn two_nodes(url: &str) {
    let mut rounds = Rounds::default();
    for round in 0..ROUNDS {
        let mut rates = [0.0; 2];
        for side in [round % 2, 1 - round % 2] {
            let nodes: Vec<_> = (0..=side)
                .map(|_| {
                    thread::spawn({
                        let url = url.to_owned();
                        move || read(&url)
                    })
                })
                .collect();
            rates[side] = nodes.into_iter().map(|node| node.join().expect("it reads")).sum();
        }
        rounds.add(rates[1], rates[0]);
    }
    rounds.print("postgres, two nodes read, against one", Some(1.5));
}

/// A node that reads for a while; events per second.
fn read(url: &str) -> f64 {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let log =
            PostgresLog::open_read_only(&Postgres::new(url).expect("an address")).await.expect("a log opens");
        let (start, mut seen) = (Instant::now(), 0);
        while start.elapsed() < 2 * SLICE {
            let page = log.read_all(seen % ENOUGH, MAX_PAGE).await.expect("it can be read");
            seen += page.len() as u64;
        }
        seen as f64 / start.elapsed().as_secs_f64()
    })
}

/// A node that reads what others append, and counts.
struct Follower {
    task: JoinHandle<Position>,
    until: Arc<AtomicU64>,
}

impl Follower {
    fn start(log: Arc<PostgresLog>) -> Self {
        let until = Arc::new(AtomicU64::new(u64::MAX));
        let end = until.clone();
        let task = tokio::spawn(async move {
            let (mut next, mut news) = (0, log.follow());
            while next <= end.load(Ordering::Relaxed) {
                let page = log.read_all(next, MAX_PAGE).await.expect("it can be read");
                for recorded in &page {
                    assert_eq!(recorded.position, next, "an event was missed or repeated");
                    next += 1;
                }
                if page.is_empty() {
                    let _ = tokio::time::timeout(Duration::from_millis(500), news.changed()).await;
                }
            }
            next
        });
        Self { task, until }
    }

    /// How many it saw, and the last position there is.
    async fn end(self, log: &PostgresLog) -> (u64, Position) {
        let last = log.head().await.expect("it can be read").expect("events");
        self.until.store(last, Ordering::Relaxed);
        (self.task.await.expect("it follows"), last)
    }
}
