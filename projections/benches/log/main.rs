//! The log against the limit of the disk, against plain inserts and against its peer, side by side in one run.
//!
//! `cargo bench -p berth-projections --bench log`; about four minutes, and once longer to build the peer. With a word
//! behind `--`, only what has it in its name: `append`, `command`, `replay`, `postgres`.
//!
//! Every line compares two things that were measured alternately, round by round, on the same disk; the numbers are
//! medians over the rounds, after a warm-up that gives every write-ahead file its size. All commits are
//! `synchronous=FULL`. An event is some 400 bytes of JSON.
//!
//! - **append**: events per second. *Batch n*: n events given to the log as one append, so that one commit makes them
//!   durable; the reference inserts the same bytes, envelope and payload together, as n rows of one column in a
//!   transaction. *n waiting*: n tasks that each append one event to a stream of their own and wait for it, so the log
//!   chooses the batches. *Against payloads only*: the reference does not store the envelope. The log writes its full
//!   schema to 1,000 streams in turn, and a stream ends after 20 events.
//! - **command**: load, decide, append, one event each; per second. Clients work on rentals of their own, ten commands
//!   each. Berth's side keeps the last state of a rental and reads what is newer from the log, as the server does; the
//!   peer is `cqrs-es` with `sqlite-es`, with one connection or ten, whichever has the better median.
//! - **replay**: 1,100,000 events of 100,000 rentals through [`EventLog::read_all`], decoded and folded into their
//!   contracts, one page read ahead, a tenth of them at a time; events per second. The reference steps over the same
//!   rows and looks at every column.
//! - **postgres**: the same on a PostgreSQL server of its own, with `fsync`, on the same disk. *Clients*: that many
//!   tasks append one event each to a stream of their own, through one log; the reference are that many connections (or
//!   as many as are named), each inserting single rows into a table of the same columns and indexes. *Command* is as
//!   above, against `postgres-es`. *Catch-up* reads and decodes all that was written, one page ahead; the reference is
//!   the number of events it must reach. *Two nodes* read the log from two logs on runtimes of one thread each, one page
//!   after the other; the reference is one of them alone. In between two nodes write and a third follows and counts.
//!   The slower the disk, the nearer 32 clients come to 32 connections: both then do 32 commits in one flush. Another
//!   disk is named by `BERTH_BENCH_FOLDER`.
//!
//! [`EventLog::read_all`]: projections::log::EventLog::read_all

mod append;
mod command;
mod event;
mod postgres;
mod replay;
mod table;
mod work;

use std::{path::PathBuf, time::Duration};

/// Where the databases are: on the disk, not in memory.
fn folder() -> tempfile::TempDir {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    tempfile::tempdir_in(target).expect("the target folder can be written")
}

/// How long one measurement takes: short, so that whatever else the machine does meets both sides alike.
const SLICE: Duration = Duration::from_millis(200);

/// Measures without counting until so many events are written that every write-ahead file has its size: before, a
/// commit costs several times as much. A server runs for weeks.
async fn warm_up(enough: f64, mut measure: impl AsyncFnMut() -> f64) {
    let mut events = 0.0;
    while events < enough {
        events += measure().await * SLICE.as_secs_f64();
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only));
    table::title();
    if wanted("append") {
        runtime.block_on(append::run());
    }
    if wanted("command") {
        runtime.block_on(command::run());
    }
    if wanted("replay") {
        runtime.block_on(replay::run());
    }
    if wanted("postgres") {
        runtime.block_on(postgres::run());
    }
}
