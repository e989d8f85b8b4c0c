//! `berth replay`: events as they happened, up to a position or a time.

use anyhow::{Context, ensure};
use clap::Args;
use domain::{
    aggregate::Aggregate,
    contract::Contract,
    event::{Position, Recorded},
    id::ContractId,
    time::Time,
};
use projections::log::{EventLog, MAX_PAGE};
use serde_json::value::RawValue;

use super::Common;

/// Prints events as they happened.
#[derive(Debug, Args)]
pub struct Replay {
    /// Only this contract's
    #[arg(long)]
    contract: Option<ContractId>,
    /// Only up to this position, or recorded up to this time (2026-11-22T09:00:00Z)
    #[arg(long)]
    as_of: Option<AsOf>,
}

/// A point in the ledger's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Up to this position.
    Position(Position),
    /// Recorded up to this second.
    Time(Time),
}

impl std::str::FromStr for AsOf {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let position = text.parse().ok().map(Self::Position);
        let time = || text.parse().ok().map(Self::Time);
        position
            .or_else(time)
            .ok_or_else(|| format!("{text:?} is neither a position nor a time like 2026-11-22T09:00:00Z"))
    }
}

impl AsOf {
    /// Whether an event had been recorded by then.
    #[must_use]
    pub fn holds(self, recorded: &Recorded) -> bool {
        match self {
            Self::Position(position) => recorded.position <= position,
            Self::Time(time) => recorded.event.recorded_at.timestamp() <= time.unix(),
        }
    }
}

impl AsOf {
    /// The first position that is not in it: behind the last event that had been recorded by then.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn end(self, log: &dyn EventLog) -> anyhow::Result<Position> {
        let end = log.head().await?.map_or(0, |head| head + 1);
        let Self::Time(_) = self else {
            let Self::Position(position) = self else { return Ok(end) };
            ensure!(position < end, "the log ends before position {position}");
            return Ok(position + 1);
        };
        // Events are recorded in order, so the border is found by halving.
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            let held = log.read_all(middle, 1).await?.first().is_some_and(|recorded| self.holds(recorded));
            if held { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

impl Replay {
    /// Prints a line for each event.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let stores = common.stores()?;
        let log = stores.read_log().await?;
        let stream = self.contract.map(|contract| Contract::stream(&contract));
        let mut from = 0;
        loop {
            let page = match &stream {
                Some(stream) => log.read_stream(stream, from, MAX_PAGE).await?,
                None => log.read_all(from, MAX_PAGE).await?,
            };
            ensure!(
                from > 0 || !page.is_empty() || stream.is_none(),
                "there is no such contract in this ledger"
            );
            let Some(last) = page.last() else { return Ok(()) };
            from = if stream.is_some() { last.revision } else { last.position } + 1;
            for recorded in &page {
                if self.as_of.is_some_and(|as_of| !as_of.holds(recorded)) {
                    return Ok(());
                }
                print(recorded, common.json)?;
            }
        }
    }
}

fn print(recorded: &Recorded, json: bool) -> anyhow::Result<()> {
    use std::io::Write;
    let text = if json { super::export::line(recorded)? } else { human(recorded)? };
    // A closed pipe (`| head`) ends the command quietly.
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

fn human(recorded: &Recorded) -> anyhow::Result<String> {
    let event = &recorded.event;
    let payload: &RawValue = serde_json::from_slice(&event.payload).context("a payload is not JSON")?;
    let at = event.recorded_at.format("%Y-%m-%dT%H:%M:%SZ");
    let (position, stream, kind, actor) =
        (recorded.position, &recorded.stream, &event.kind, &event.meta.actor);
    Ok(format!("{position:>8}  {at}  {stream}  {kind}  by {actor}  {payload}"))
}
