//! The people of a marketplace, who go where its log goes.
//!
//! # Correctness
//! A folder's servers are kept away by its lock from before the log is copied until everything is; those of a database are
//! noticed by the leases they hold. A private store that comes from a folder remembers that folder's keys first, so that
//! the database refuses a node with others, which could open nothing in it.

use std::fs::File;

use anyhow::{Context, ensure};
use projections::moving::{Moved, Part, People, move_private};
use serde_json::{Map, Value, json};

use crate::{app::DataDir, clock::Clock, keys::Keys, stores::Stores};

/// People on their way.
#[derive(Debug)]
pub struct Move<'a> {
    source: &'a Stores,
    target: &'a Stores,
    with_halves: bool,
    _alone: Vec<File>,
}

impl<'a> Move<'a> {
    /// Makes sure that the source is whole, and that no server runs on a folder.
    ///
    /// # Errors
    /// When a part is missing, or a server runs.
    pub fn begin(source: &'a Stores, target: &'a Stores, with_halves: bool) -> anyhow::Result<Self> {
        let (from, to) = (shown(source), shown(target));
        ensure!(from != to, "both places keep their people in {from}; leave out --people");
        let mut alone = Vec::new();
        if !source.are_shared() {
            let data = DataDir::existing(source.data.path()).context("--from")?;
            alone.push(data.lock().context("--from")?);
            let missing =
                |what: &str, advice: &str| format!("{} has no {what}; {advice}", data.path().display());
            let restore = "restore it from a backup, or copy the log alone, without --people";
            ensure!(data.private().exists(), missing("private.db", restore));
            ensure!(data.keys().exists(), missing("keys", restore));
            let lost = "it was lost, and there is no backup by design; move without it: --without-halves";
            ensure!(!with_halves || data.halves().exists(), missing("halves.db", lost));
        }
        if !target.are_shared() {
            alone.push(DataDir::open(target.data.path())?.lock().context("--to")?);
        }
        Ok(Self { source, target, with_halves, _alone: alone })
    }

    /// Moves them, and compares both places row by row.
    ///
    /// # Errors
    /// When somebody uses a place, or the target holds something else; then nothing was changed there.
    pub async fn run(&self, report: impl Fn(u64, u64) + Send) -> anyhow::Result<Moved> {
        let Self { source, target, .. } = self;
        let (from, to) = (source.private().await.context("--from")?, target.private().await.context("--to")?);
        if !source.are_shared() {
            let folder = source.data.keys();
            let fingerprint = Keys::open(&folder, Clock::System.time())?.fingerprint();
            ensure!(
                from.node_key(fingerprint).await? == fingerprint,
                "the keys in {} are not those that its private store was made with; put the right ones there",
                folder.display()
            );
        }
        let halves = match self.with_halves {
            true => Some((source.halves().await.context("--from")?, target.halves().await.context("--to")?)),
            false => None,
        };
        let (our_halves, their_halves) = halves.as_ref().map(|(from, to)| (from, to)).unzip();
        let ours = People { private: &from, halves: our_halves };
        let moved = move_private(ours, People { private: &to, halves: their_halves }, report).await;
        for private in [from, to] {
            private.close().await;
        }
        for halves in halves.into_iter().flat_map(|(from, to)| [from, to]) {
            halves.close().await;
        }
        Ok(moved?)
    }

    /// Says what was moved and what is left to do.
    pub fn tell(&self, moved: &Moved) {
        let (from, to) = (shown(self.source), shown(self.target));
        println!("{} rows of the private store are the same in {from} and {to}", moved.private.rows());
        match &moved.halves {
            Some(halves) => println!("{} rows of the key halves, too", halves.rows()),
            None => {
                println!("the key halves stayed where they were: devices resume the running leases without")
            }
        }
        let keys = match self.source.are_shared() {
            true => "the folder keys of a node that ran there".to_owned(),
            false => format!("the folder {}", self.source.data.keys().display()),
        };
        println!(
            "before a server starts there, copy {keys} into the folder of each: without it nothing can be opened"
        );
        println!("once it runs, destroy {from}: what is destroyed from now on is not gone there");
    }
}

/// What was moved, for programs.
pub fn told(moved: Option<&Moved>) -> Map<String, Value> {
    let rows =
        |part: &Part| Value::Object(part.tables.iter().map(|(t, rows)| (t.clone(), json!(rows))).collect());
    let Some(moved) = moved else { return Map::new() };
    let halves = moved.halves.as_ref().map_or(Value::Null, rows);
    [("private".to_owned(), rows(&moved.private)), ("halves".to_owned(), halves)].into_iter().collect()
}

fn shown(place: &Stores) -> String {
    match place.database() {
        Some(database) => database.shown().to_owned(),
        None => place.data.path().display().to_string(),
    }
}
