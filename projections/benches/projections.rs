//! The read models: how fast they are made anew, and what a run of the scheduler costs.
//!
//! `cargo bench -p berth-projections --bench projections`; about two minutes, most of it to write the log.
//!
//! - **rebuild**: all views from a generated marketplace in a SQLite log, catching up and swapping included; events per
//!   second, and the most memory that the process held meanwhile. 100,000 and 1,000,000 events: the cost is linear.
//! - **due**: asking for the 10 contracts that are due among 1,000 and among 1,000,000 that are not, in turn; medians.

use std::{
    collections::VecDeque,
    future::poll_fn,
    path::{Path, PathBuf},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use domain::{id::ContractId, time::Time};
use fixtures::market::{Commit, Market, START};
use projections::{
    log::{Append, EventLog, sqlite::SqliteLog},
    rebuild::{self, Stage},
    views::{
        Views,
        due::{DueKind, DueSubject},
    },
};
use rusqlite::Connection;
use tokio::runtime::Runtime;

const SMALL: u64 = 100_000;
const LARGE: u64 = 1_000_000;
/// Devices that live at the same time.
const DEVICES: usize = 2_000;
/// Appends that wait for their commit while the log is written.
const WAITING: usize = 2_000;
const ROUNDS: usize = 3;
const ASKED: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if wanted("rebuild") {
        rebuilds(&runtime);
    }
    if wanted("due") {
        runtime.block_on(due());
    }
}

/// On the disk, not in memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
        .expect("the target folder can be written")
}

fn rebuilds(runtime: &Runtime) {
    let folder = folder();
    // On a runtime of one thread appends wait for each other and are committed together.
    let writing =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let mut speeds = Vec::new();
    for events in [SMALL, LARGE] {
        let path = folder.path().join(format!("log{events}.db"));
        let log = writing.block_on(SqliteLog::open(&path)).expect("a log opens");
        let log: Arc<dyn EventLog> = Arc::new(log);
        let written = writing.block_on(fill(&log, events));
        let views = folder.path().join(format!("views{events}.db"));
        let mut rounds = Vec::new();
        let (mut peak, held) = (0, held_mib());
        let busy = busy_s();
        for _ in 0..ROUNDS {
            forget_peak();
            let start = Instant::now();
            runtime.block_on(rebuild::rebuild(&log, &views, None, trace(start))).expect("it can be rebuilt");
            rounds.push(start.elapsed());
            peak = peak.max(peak_mib());
        }
        let busy = (busy_s() - busy) / ROUNDS as f64;
        let speed = written as f64 / median(&mut rounds).as_secs_f64();
        speeds.push(speed);
        let size = |path: &Path| path.metadata().map_or(0, |file| file.len()) >> 20;
        println!(
            "rebuild of all views from {written:>9} events: {speed:>9.0} events/s, peak {peak} MiB of which {held} before \
             (log {} MiB, views {} MiB; {busy:.1} s of processor time each; rounds {rounds:.2?})",
            size(&path),
            size(&views)
        );
    }
    println!("the same work per event: {:.2} (1 is linear)", speeds[0] / speeds[1]);
}

/// Says when each stage was over, when `BERTH_TRACE` is set.
fn trace(start: Instant) -> impl Fn(rebuild::Step) + Send + Sync {
    let loud = std::env::var_os("BERTH_TRACE").is_some();
    move |step| {
        if loud && (step.stage != Stage::Folding || step.done == step.total) {
            eprintln!("{:?} {:?}", start.elapsed(), step);
        }
    }
}

async fn fill(log: &Arc<dyn EventLog>, events: u64) -> u64 {
    let mut waiting = VecDeque::new();
    let mut written = 0;
    for Commit { stream, after, events: part } in Market::new(1, DEVICES) {
        written += part.len() as u64;
        let mut append = log.append(Append { stream, expected: after.into(), events: part });
        // Queued now, so that two appends to a stream stay in order; answered later.
        let first = poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
        if first.is_pending() {
            waiting.push_back(append);
        }
        if waiting.len() > WAITING
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await.expect("appends");
        }
        if written >= events {
            break;
        }
    }
    for append in waiting {
        append.await.expect("appends");
    }
    assert_eq!(log.head().await, Ok(Some(written - 1)));
    written
}

async fn due() {
    let folder = folder();
    let now = Time::from_unix(START);
    let mut files = Vec::new();
    for contracts in [1_000, 1_000_000] {
        let path = folder.path().join(format!("views{contracts}.db"));
        let log: Arc<dyn EventLog> = Arc::new(projections::log::memory::MemoryLog::new());
        rebuild::prepare(&log, &path, |_| {}).await.expect("an empty file of views");
        contracts_due(&path, contracts, now);
        files.push((contracts, Views::open(&path).expect("opens"), Vec::new()));
    }
    for _ in 0..ASKED {
        for (_, views, times) in &mut files {
            let start = Instant::now();
            let rows = views.due(DueKind::Expiry, now, 500).await.expect("answers");
            times.push(start.elapsed());
            assert_eq!(rows.len(), 10);
        }
    }
    let medians: Vec<_> = files.iter_mut().map(|(_, _, times)| median(times)).collect();
    for ((contracts, ..), median) in files.iter().zip(&medians) {
        println!("10 due among {contracts:>9} contracts: {median:>9.1?}");
    }
    println!("ratio: {:.2}", medians[1].as_secs_f64() / medians[0].as_secs_f64());
}

/// Contracts that end later, and ten that are due.
fn contracts_due(path: &Path, contracts: u64, now: Time) {
    let mut db = Connection::open(path).expect("opens");
    db.pragma_update(None, "cache_size", -262_144).expect("a cache for keys in no order");
    let tx = db.transaction().expect("begins");
    let mut insert = tx.prepare("insert into due values ('expiry', ?1, ?2, 0, 0, 0)").expect("prepares");
    for n in 0..contracts {
        let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = uuid::Uuid::from_u128(u128::from(spread) << 64 | u128::from(n));
        let later = if n % (contracts / 10) == 0 { -60 } else { 60 + (spread >> 40).cast_signed() };
        let subject = DueSubject::Contract(ContractId(id)).to_string();
        insert.execute((subject, now.plus(later).unix())).expect("inserts");
    }
    drop(insert);
    tx.commit().expect("commits");
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The most memory this process has held since [`forget_peak`], where the system tells.
fn peak_mib() -> u64 {
    status_mib("VmHWM:")
}

fn held_mib() -> u64 {
    status_mib("VmRSS:")
}

fn status_mib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

/// Processor time of this process, where the system tells: on a busy machine it says more than the clock.
fn busy_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
