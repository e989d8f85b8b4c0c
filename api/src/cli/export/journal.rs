//! The journal, bound to a position of the log.
//!
//! # Correctness
//! All of an export comes from one unchanging state: the served journal, or one that is built apart when another moment is
//! asked for or the served one is behind. Days never go back, whatever the clock that wrote the events did, so an
//! assertion after the last entry is about all of them. Memory grows with the rentals that run, and only when what they
//! have accrued by a moment is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use clap::{Args, ValueEnum};
use domain::{
    aggregate::Aggregate,
    contract::Contract,
    event::Position,
    id::ContractId,
    journal::{Account, Open, Posting},
    money::{Asset, Signed},
    time::Time,
};
use projections::{rebuild, views::journal::JournalReader};

use super::{
    beancount::Beancount,
    form::{About, Day, Entry, Form},
    hledger::Hledger,
    rows::{Csv, Jsonl},
};
use crate::cli::{Common, rebuild::bar, replay::AsOf};

/// The journal in double entry, to standard output.
///
/// It ends with what every account must hold, so a program that reads it finds what was left out or changed. Of a moment
/// (`--as-of 2026-11-22T09:00:00Z`) it holds what was recorded by then, and what running rentals had accrued. A journal
/// other than the one at hand is built in the folder for temporary files (TMPDIR) first: about 200 bytes an event.
#[derive(Debug, Args)]
pub struct Journal {
    /// The form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only up to this position, or as it stood at this time (2026-11-22T09:00:00Z)
    #[arg(long)]
    as_of: Option<AsOf>,
}

/// A form of the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For hledger; ledger reads it too
    #[default]
    Hledger,
    /// For beancount
    Beancount,
    /// Comma-separated values: a row for each posting
    Csv,
    /// One JSON object a line: a line for each entry
    Jsonl,
}

impl Journal {
    /// Writes it.
    pub async fn write(self, common: &Common, out: &mut impl io::Write) -> anyhow::Result<()> {
        let stores = common.stores()?;
        let log = stores.read_log().await?;
        let end = match self.as_of {
            None => log.head().await?.map_or(0, |head| head + 1),
            Some(as_of) => as_of.end(log.as_ref()).await?,
        };
        let journal = rebuild::journal_at(&log, &stores.views(), end, bar()).await?;
        let until = match self.as_of {
            Some(AsOf::Time(until)) => Some(until),
            _ => None,
        };
        let mut form: Box<dyn Form> = match self.format {
            Format::Hledger => Box::<Hledger>::default(),
            Format::Beancount => Box::<Beancount>::default(),
            Format::Csv => Box::<Csv>::default(),
            Format::Jsonl => Box::<Jsonl>::default(),
        };
        tokio::task::block_in_place(|| show(&journal.reader, end, until, form.as_mut(), out))?;
        Ok(())
    }
}

fn show(
    journal: &JournalReader,
    end: Position,
    until: Option<Time>,
    form: &mut dyn Form,
    out: &mut impl io::Write,
) -> anyhow::Result<()> {
    let accrued = until.map(|until| accrued(journal, until)).transpose()?.unwrap_or_default();
    let mut more: BTreeMap<(Account, Asset), i128> = BTreeMap::new();
    for posting in accrued.iter().flat_map(|(_, postings)| postings) {
        *more.entry((posting.account.clone(), posting.asset)).or_default() += posting.minor;
    }

    let mut assets = BTreeSet::new();
    journal.balances::<anyhow::Error>(|row| {
        assets.insert(row.asset);
        Ok(())
    })?;
    let about = About { position: end.checked_sub(1), last: journal.last(), accrued_until: until, assets };
    form.begin(&about, out)?;

    let mut last = None;
    let mut new: BTreeSet<_> = more.keys().map(|(account, _)| account.clone()).collect();
    journal.balances::<anyhow::Error>(|row| {
        new.remove(&row.account);
        if last.as_ref() != Some(&row.account) {
            form.account(&row.account, out)?;
            last = Some(row.account);
        }
        Ok(())
    })?;
    new.iter().try_for_each(|account| form.account(account, out))?;

    let mut day = Day::of(Time::from_unix(0));
    journal.entries::<anyhow::Error>(|row| {
        day = day.max(Day::of(row.recorded_at));
        let entry = Entry {
            day,
            position: Some(row.position),
            kind: row.kind,
            stream: row.stream,
            recorded_at: row.recorded_at,
            effective_at: row.effective_at,
            postings: row.postings,
        };
        Ok(form.entry(&entry, out)?)
    })?;
    if let Some(until) = until {
        day = day.max(Day::of(until));
        for (contract, postings) in accrued {
            let entry = Entry {
                day,
                position: None,
                kind: "Accrued".into(),
                stream: Contract::stream(&contract),
                recorded_at: until,
                effective_at: until,
                postings,
            };
            form.entry(&entry, out)?;
        }
    }

    journal.balances::<anyhow::Error>(|row| {
        let minor = row.minor + more.remove(&(row.account.clone(), row.asset)).unwrap_or(0);
        Ok(form.balance(day, &row.account, Signed { minor, asset: row.asset }, out)?)
    })?;
    for ((account, asset), minor) in more {
        form.balance(day, &account, Signed { minor, asset }, out)?;
    }
    Ok(())
}

/// What running rentals have earned by a moment and is not posted, in the order of the contracts.
fn accrued(journal: &JournalReader, until: Time) -> anyhow::Result<Vec<(ContractId, Vec<Posting>)>> {
    let mut all = Vec::new();
    journal.open_items::<anyhow::Error>(|row| {
        if let Open::Contract(contract) = row.open
            && contract.runs()
        {
            let postings = contract.accrued_by(until);
            if !postings.is_empty() {
                all.push((ContractId(row.subject), postings));
            }
        }
        Ok(())
    })?;
    Ok(all)
}
