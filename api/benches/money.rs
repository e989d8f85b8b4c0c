//! The money commands on a large ledger, each as a process of its own.
//!
//! `cargo bench -p berth-api --bench money`; about three minutes, most of it to write the ledger.
//!
//! - **quote**: a million lines through `berth quote`; lines per second on one core.
//! - **rebuild**: `berth rebuild journal` from 100,000 and from 1,000,000 events about money; events per second, the most
//!   memory that it held, and the share of the speed at which the same events are only read and decoded.
//! - **export**: `berth export journal` of the same ledgers to nowhere; postings per second and the most memory.
//! - **verify**: `berth verify` of the larger one, views not yet built.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::any::AnyEvent;
use fixtures::market::{Commit, Market};
use futures_util::future::join_all;
use projections::log::{Append, EventLog, MAX_PAGE, pages::Pages, sqlite::SqliteLog};
use serde_json::Value;

const BERTH: &str = env!("CARGO_BIN_EXE_berth");
const SIZES: [u64; 2] = [100_000, 1_000_000];
const LINES: usize = 1_000_000;
/// Devices that live at the same time.
const DEVICES: usize = 2_000;
/// Appends that are on their way together.
const TOGETHER: usize = 512;
const ROUNDS: usize = 3;
/// Streams of events about money.
const MONEY: [&str; 5] = ["order", "contract", "settlement", "purse", "treasury"];

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if wanted("quote") {
        quote();
    }
    if wanted("journal") {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        SIZES.into_iter().for_each(|events| journal(&runtime, events));
    }
}

/// On the disk, not in memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
        .expect("the target folder can be written")
}

fn quote() {
    let folder = folder();
    let input = folder.path().join("lines.jsonl");
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../fixtures/proration/vectors.json")).expect("vectors");
    let lines: Vec<_> = vectors.iter().map(|vector| vector.to_string() + "\n").collect();
    let text: String = lines.iter().map(String::as_str).cycle().take(LINES).collect();
    std::fs::write(&input, text).expect("the input is written");
    let run = || {
        let input = File::open(&input).expect("the input opens");
        measure(Command::new(BERTH).arg("quote").stdin(input))
    };
    let (elapsed, peak) = median(run);
    println!(
        "quote                     {:>9.0} lines/s, peak {peak} MiB",
        LINES as f64 / elapsed.as_secs_f64()
    );
}

fn journal(runtime: &tokio::runtime::Runtime, events: u64) {
    let folder = folder();
    let written = runtime.block_on(write(folder.path(), events));
    let read = runtime.block_on(read(folder.path()));
    let berth = |arguments: &[&str]| {
        let mut command = Command::new(BERTH);
        command.args(arguments).arg("--data").arg(folder.path()).stdin(Stdio::null());
        command
    };
    let (elapsed, peak) = median(|| measure(&mut berth(&["rebuild", "journal"])));
    let speed = written as f64 / elapsed.as_secs_f64();
    let share = speed / (written as f64 / read.as_secs_f64());
    println!(
        "rebuild of {written:>9} events {speed:>9.0} events/s, peak {peak} MiB, {share:.2} of only reading them"
    );

    let csv = berth(&["export", "journal", "--format", "csv"]).output().expect("it exports").stdout;
    let postings = csv.iter().filter(|byte| **byte == b'\n').count() - 1;
    drop(csv);
    for format in ["hledger", "beancount", "csv"] {
        let (elapsed, peak) = median(|| measure(&mut berth(&["export", "journal", "--format", format])));
        let speed = postings as f64 / elapsed.as_secs_f64();
        println!("export of {postings:>9} postings for {format:<9} {speed:>9.0} postings/s, peak {peak} MiB");
    }
    if events == SIZES[1] {
        let (elapsed, peak) = measure(&mut berth(&["verify"]));
        println!(
            "verify of {written:>9} events {:>9.0} events/s, peak {peak} MiB",
            written as f64 / elapsed.as_secs_f64()
        );
    }
}

/// The money of a generated marketplace, without its devices.
async fn write(folder: &Path, events: u64) -> u64 {
    let log = SqliteLog::open(folder.join("log.db")).await.expect("a log opens");
    let mut commits = Market::new(1, DEVICES).filter(|commit| MONEY.contains(&commit.stream.category()));
    let mut written = 0;
    while written < events {
        let together: Vec<_> = commits.by_ref().take(TOGETHER).collect();
        written += together.iter().map(|commit| commit.events.len() as u64).sum::<u64>();
        let appends = together.into_iter().map(|Commit { stream, after, events }| {
            log.append(Append { stream, expected: after.into(), events })
        });
        for outcome in join_all(appends).await {
            outcome.expect("appends");
        }
    }
    written
}

async fn read(folder: &Path) -> Duration {
    let log = SqliteLog::open_read_only(folder.join("log.db")).await.expect("the log opens");
    let log: Arc<dyn EventLog> = Arc::new(log);
    let start = Instant::now();
    let mut pages = Pages::new(log, 0, MAX_PAGE);
    loop {
        let page = pages.next().await.expect("reads");
        if page.is_empty() {
            return start.elapsed();
        }
        page.iter().for_each(|recorded| drop(std::hint::black_box(AnyEvent::of(recorded).expect("decodes"))));
    }
}

/// The median of some rounds, and the most memory of any.
fn median(mut run: impl FnMut() -> (Duration, u64)) -> (Duration, u64) {
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| run()).collect();
    let peak = rounds.iter().map(|(_, peak)| *peak).max().unwrap_or(0);
    rounds.sort_unstable();
    (rounds[ROUNDS / 2].0, peak)
}

/// How long a process takes and the most memory it holds, in MiB, as far as the system tells while it runs.
fn measure(command: &mut Command) -> (Duration, u64) {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().expect("berth runs");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        if let Some(ended) = child.try_wait().expect("berth ends") {
            assert!(ended.success(), "{command:?}");
            return (start.elapsed(), peak);
        }
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) >> 10);
        std::thread::sleep(Duration::from_millis(5));
    }
}
