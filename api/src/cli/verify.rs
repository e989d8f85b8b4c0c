//! `berth verify`: does the ledger prove itself?
//!
//! # Correctness
//! Reads only. The log is read once, from its beginning; every event about money is audited against those before it
//! ([`domain::audit`]); then every view is built again apart and compared with the served one. It is right while a server
//! runs: the log only grows, and the served views are compared as they were when the comparison began.

use std::{collections::HashMap, hash::BuildHasher, sync::Arc};

use anyhow::{Context, bail};
use clap::Args;
use domain::{
    any::AnyEvent,
    audit::Audit,
    event::{Recorded, Revision},
    journal::Happened,
    money::{Asset, Signed},
};
use indicatif::{ProgressBar, ProgressStyle};
use projections::{
    log::{EventLog, LogError, MAX_PAGE, pages::Pages},
    rebuild::{self, Compared, Difference},
    views::Store,
};
use serde::Serialize;
use uuid::Uuid;

use super::{Common, rebuild::bar, show::table};
use crate::stores::Stores;

/// Faults of one kind that are shown; all are counted.
const MAX_SHOWN: usize = 20;

/// Checks the ledger: order, journal and every amount; then that the views are what the ledger gives.
///
/// The exit code is 0 when everything holds, and 1 when something does not, with what it is. The views are built again in
/// the folder for temporary files (TMPDIR): about 700 bytes an event.
#[derive(Debug, Args)]
pub struct Verify {
    /// Only up to this position, or recorded up to this time; then the views are not compared
    #[arg(long)]
    as_of: Option<super::replay::AsOf>,
}

/// What a check came to.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    ok: bool,
    /// What was looked at, or how much is wrong.
    detail: String,
    /// The first faults.
    faults: Vec<String>,
}

/// Faults, the first of them in words.
#[derive(Debug, Default)]
struct Faults {
    count: u64,
    shown: Vec<String>,
}

impl Faults {
    fn add(&mut self, fault: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < MAX_SHOWN {
            self.shown.push(fault());
        }
    }

    fn check(self, check: &'static str, looked_at: String) -> Check {
        let Self { count, shown } = self;
        let detail = if count == 0 { looked_at } else { format!("{count} faults in {looked_at}") };
        Check { check, ok: count == 0, detail, faults: shown }
    }
}

impl Verify {
    /// Prints what every check came to.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let stores = common.stores()?;
        let log = stores.read_log().await?;
        let end = match self.as_of {
            Some(as_of) => as_of.end(log.as_ref()).await?,
            None => log.head().await?.map_or(0, |head| head + 1),
        };
        let mut checks = ledger(&log, end).await?;
        if self.as_of.is_none() {
            #[cfg(feature = "kurrentdb")]
            checks.extend(kurrent(&stores).await?);
            checks.push(views(&log, &stores).await?);
        }
        let wrong = checks.iter().filter(|check| !check.ok).count();
        show(common.json, &checks);
        if wrong > 0 {
            bail!("{wrong} of {} checks failed", checks.len());
        }
        Ok(())
    }
}

fn show(json: bool, checks: &[Check]) {
    if json {
        return println!("{}", serde_json::json!(checks));
    }
    let word = |ok| if ok { "ok" } else { "WRONG" }.to_string();
    let row = |check: &Check| vec![check.check.to_string(), word(check.ok), check.detail.clone()];
    table(false, &["check", "result", "detail"], &checks.iter().map(row).collect::<Vec<_>>());
    for check in checks {
        check.faults.iter().for_each(|fault| println!("{}: {fault}", check.check));
    }
}

/// What is checked while the log is read.
#[derive(Default)]
struct Reading {
    events: u64,
    entries: u64,
    /// The next revision of every stream, by a hash of its name: a million streams take some 20 MiB.
    revisions: HashMap<u64, Revision>,
    hasher: std::hash::RandomState,
    audit: Audit,
    order: Faults,
    decoding: Faults,
    money: Faults,
}

async fn ledger(log: &Arc<dyn EventLog>, end: u64) -> anyhow::Result<Vec<Check>> {
    let progress = ProgressBar::new(end);
    let style = "auditing [{wide_bar}] {human_pos}/{human_len} {per_sec} {eta}";
    progress.set_style(ProgressStyle::with_template(style)?);
    let (mut pages, mut reading) = (Pages::new(log.clone(), 0, MAX_PAGE), Reading::default());
    while reading.events < end {
        let page = match pages.next().await {
            Ok(page) if page.is_empty() => break,
            Ok(page) => page,
            Err(LogError::Damaged { position, why }) => {
                reading.decoding.add(|| format!("event {position}: {why}; nothing after it was looked at"));
                break;
            }
            Err(other) => return Err(other.into()),
        };
        for recorded in page.iter().take_while(|recorded| recorded.position < end) {
            reading.next(recorded);
        }
        progress.set_position(reading.events);
    }
    progress.finish_and_clear();
    let whole = log.head().await?.is_none_or(|head| head < end);
    Ok(reading.checks(whole))
}

impl Reading {
    fn next(&mut self, recorded: &Recorded) {
        let Recorded { position, stream, revision, event } = recorded;
        let expected = self.events;
        if *position != expected {
            self.order.add(|| format!("event {position} stands where event {expected} should"));
        }
        self.events = position + 1;
        let next = self.revisions.entry(self.hasher.hash_one(stream.as_str())).or_default();
        if *revision != *next {
            let expected = *next;
            self.order.add(|| format!("event {position} is revision {revision} of {stream}, not {expected}"));
        }
        *next = revision + 1;
        let decoded = match AnyEvent::of(recorded) {
            Ok(decoded) => decoded,
            Err(e) => return self.decoding.add(|| format!("event {position}: {e}")),
        };
        let id = Uuid::try_parse(stream.key()).ok();
        let happened = Happened { stream, id, event: &decoded, at: event.effective_at };
        let findings = self.audit.next(&happened);
        self.entries += u64::from(!findings.postings.is_empty());
        for fault in findings.faults {
            self.money.add(|| format!("event {position} ({} of {stream}): {fault}", event.kind));
        }
    }

    /// What is left undone is a fault only at the end of the log.
    fn checks(mut self, whole: bool) -> Vec<Check> {
        for fault in self.audit.unfinished().into_iter().filter(|_| whole) {
            self.money.add(|| fault);
        }
        let books = self.audit.books();
        let mut gaps = Faults::default();
        for asset in Asset::ALL {
            let gap = books.escrow_gap(*asset);
            if gap != 0 {
                let gap = Signed { minor: gap, asset: *asset };
                gaps.add(|| format!("{gap} {asset} are owed or earned beyond what is in escrow"));
            }
        }
        let (events, entries) = (self.events, self.entries);
        let open = format!(
            "{entries} entries, {} items open, {} not due yet",
            books.open().count(),
            self.audit.not_due()
        );
        vec![
            self.order.check("order", format!("{events} events, {} streams", self.revisions.len())),
            self.decoding.check("decoding", format!("{events} events")),
            self.money.check("money", open),
            gaps.check("escrow", format!("{} assets", Asset::ALL.len())),
        ]
    }
}

/// KurrentDB against what was mirrored of it.
#[cfg(feature = "kurrentdb")]
async fn kurrent(stores: &Stores) -> anyhow::Result<Option<Check>> {
    let bar = ProgressBar::no_length();
    let style = "reading KurrentDB back [{wide_bar}] {human_pos}/{human_len} {per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style)?);
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let audit = stores.audit(&mut progress).await.context("KurrentDB cannot be held against its mirror")?;
    bar.finish_and_clear();
    Ok(audit.map(|audit| {
        let shown = audit.findings.iter().map(ToString::to_string).collect();
        let faults = Faults { count: audit.found, shown };
        faults.check("kurrentdb", format!("{} events", audit.compared))
    }))
}

/// The served views against what the log gives.
async fn views(log: &Arc<dyn EventLog>, stores: &Stores) -> anyhow::Result<Check> {
    if matches!(stores.views(), Store::File(path) if !path.exists()) {
        let detail = "there are none; they are built when a server starts".into();
        return Ok(Check { check: "views", ok: true, detail, faults: Vec::new() });
    }
    let mut faults = Faults::default();
    let looked_at = match rebuild::compare(log, &stores.views(), bar()).await {
        Ok(Compared { views, absent, astray, differences }) => {
            for (view, last) in astray {
                faults.add(|| {
                    format!(
                        "{view} was folded up to an event {last} that is not in the log: acknowledged events are missing; \
                         restore the log from a backup"
                    )
                });
            }
            for Difference { view, table, extra, missing } in differences {
                faults.add(|| {
                    format!(
                        "{table} has {extra} rows too many and lacks {missing}; run `berth rebuild {view}`"
                    )
                });
            }
            let position = views.iter().map(|(_, next)| *next).min().unwrap_or(0).saturating_sub(1);
            let absent = match absent.as_slice() {
                [] => String::new(),
                absent => format!("; not built yet: {}", absent.join(", ")),
            };
            format!("{} views as of position {position}{absent}", views.len())
        }
        // Whatever keeps them from being compared says nothing about them.
        Err(e) if e.may_pass() => return Err(e).context("the views cannot be compared"),
        Err(e) => {
            faults.add(|| e.to_string());
            "the views".into()
        }
    };
    Ok(faults.check("views", looked_at))
}
