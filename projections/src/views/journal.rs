//! The journal: entries, balances and what is open, folded together.
//!
//! # Shape
//! One view of four tables. An event is posted by [`domain::journal::post`] against what is open under its subject; its
//! entry is added, the balances of its accounts change, and what is open after it is kept. What accrued to an owner
//! stands in an account for each contract, so their sum is kept too.
//!
//! # Correctness
//! The four tables are written in one transaction with one checkpoint, so a balance is always the sum of the entries
//! that are stored. An entry is never changed: an earlier state of the journal is a prefix of it.

mod postings;
mod read;

use domain::{
    event::{Position, StreamName},
    id::AccountId,
    journal::{Account, Happened, Open, Posting, post, subject},
    key::Digest,
    money::Asset,
    time::Time,
};
use std::borrow::Cow;
use uuid::Uuid;

use super::{Envelope, Folder, ViewError, tables};
use crate::db::Db;
use crate::rows::{Cache, Row, Rows, Which, row};

pub use read::{Accounts, JournalReader, Owed};

row! {
    /// An event's entry.
    EntryRow in "journal" by (
        /// The event.
        position: Position,
    ) {
        /// Its name.
        kind: Cow<'static, str>,
        /// Its stream.
        stream: StreamName,
        /// When it was written down.
        recorded_at: Time,
        /// When it counts from.
        effective_at: Time,
        /// Debits and credits; they add up to 0 in each asset.
        postings: Vec<Posting>,
    }
}

row! {
    /// What an account holds of an asset.
    BalanceRow in "balances" by (
        /// The account.
        account: Account,
        /// Of what.
        asset: Asset,
    ) {
        /// Debits less credits, in minor units.
        minor: i128,
        /// The entry that first changed it.
        since: Position,
        /// The entry that last changed it.
        updated: Position,
    }
}

row! {
    /// The sum of what accrued to an owner in all contracts.
    AccruedRow in "accrued" by (
        /// Who.
        owner: AccountId,
        /// Of what.
        asset: Asset,
    ) {
        /// What was earned and is not decided to be paid, in minor units, as far as it is posted.
        minor: i128,
        /// The entry that last changed it.
        updated: Position,
    }
}

row! {
    /// What the next entries are posted against.
    OpenRow in "journal_open" by (
        /// A contract or a settlement.
        subject: Uuid,
    ) {
        /// What was posted so far.
        open: Open,
    }
}

const DDL: &str = include_str!("../../../migrations/sqlite/views/journal.sql");
/// The view's tables, its own first.
const TABLES: [&str; 4] = ["journal", "balances", "accrued", "journal_open"];
/// The fold's version.
const VERSION: u32 = 2;
/// Rows in memory, of each table.
const CACHED: usize = 65_536;

/// The view.
pub(super) struct Journal {
    entries: Cache<EntryRow>,
    balances: Cache<BalanceRow>,
    accrued: Cache<AccruedRow>,
    open: Cache<OpenRow>,
    next: Position,
}

impl Journal {
    /// Folds into the tables that are served, or into empty ones that are being built.
    pub(super) fn folder(build: bool) -> Box<dyn Folder> {
        let name = |table: &str| if build { format!("{table}{}", tables::BUILD) } else { table.into() };
        let [entries, balances, accrued, open] = TABLES.map(name);
        Box::new(if build {
            Self {
                entries: Cache::of_empty(&entries, 0, true),
                balances: Cache::of_empty(&balances, CACHED, false),
                accrued: Cache::of_empty(&accrued, CACHED, false),
                open: Cache::of_empty(&open, CACHED, false),
                next: 0,
            }
        } else {
            Self {
                entries: Cache::new(&entries, 0, true),
                balances: Cache::new(&balances, CACHED, false),
                accrued: Cache::new(&accrued, CACHED, false),
                open: Cache::new(&open, CACHED, false),
                next: 0,
            }
        })
    }

    fn post(&mut self, db: &Db, event: &Envelope<'_>) -> Result<(), ViewError> {
        let recorded = event.recorded;
        let at = recorded.event.effective_at;
        let happened = Happened { stream: &recorded.stream, id: event.id, event: event.event, at };
        let postings = match subject(&happened) {
            None => post(&happened, &mut None),
            Some(subject) => {
                let mut postings = Vec::new();
                Rows::new(&mut self.open, db).change(&(subject,), |row| {
                    let mut open = row.take().map(|row| row.open);
                    postings = post(&happened, &mut open);
                    *row = open.map(|open| OpenRow { subject, open });
                })?;
                postings
            }
        };
        if postings.is_empty() {
            return Ok(());
        }
        let position = recorded.position;
        let mut balances = Rows::new(&mut self.balances, db);
        for Posting { account, minor, asset } in &postings {
            let new = || BalanceRow {
                account: account.clone(),
                asset: *asset,
                minor: 0,
                since: position,
                updated: position,
            };
            balances.edit_or(&(account.clone(), *asset), new, |row| {
                row.minor += minor;
                row.updated = position;
            })?;
            if let Account::Accrued(owner, _) = account {
                let new = || AccruedRow { owner: *owner, asset: *asset, minor: 0, updated: position };
                Rows::new(&mut self.accrued, db).edit_or(&(*owner, *asset), new, |row| {
                    row.minor -= minor;
                    row.updated = position;
                })?;
            }
        }
        self.entries_of(db).append(EntryRow {
            position,
            kind: event.event.kind().into(),
            stream: recorded.stream.clone(),
            recorded_at: event.recorded_at(),
            effective_at: at,
            postings,
        });
        Ok(())
    }

    fn entries_of<'a>(&'a mut self, db: &'a Db) -> Rows<'a, EntryRow> {
        Rows::new(&mut self.entries, db)
    }
}

impl Folder for Journal {
    fn name(&self) -> &'static str {
        TABLES[0]
    }

    fn tables(&self) -> &'static [&'static str] {
        &TABLES
    }

    fn columns(&self) -> Vec<super::folder::Columns> {
        vec![
            (EntryRow::KEYS, EntryRow::COLUMNS),
            (BalanceRow::KEYS, BalanceRow::COLUMNS),
            (AccruedRow::KEYS, AccruedRow::COLUMNS),
            (OpenRow::KEYS, OpenRow::COLUMNS),
        ]
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn weight(&self) -> u32 {
        100
    }

    fn ddl(&self) -> &'static str {
        DDL
    }

    fn digest(&self) -> Digest {
        tables::digest(DDL)
    }

    fn next(&self) -> Position {
        self.next
    }

    fn reset(&mut self, next: Position) {
        self.entries.clear();
        self.balances.clear();
        self.accrued.clear();
        self.open.clear();
        self.next = next;
    }

    fn fold(&mut self, db: &Db, event: &Envelope<'_>) -> Result<(), ViewError> {
        if event.recorded.position < self.next {
            return Ok(());
        }
        self.post(db, event)?;
        self.next = event.recorded.position + 1;
        Ok(())
    }

    fn write(&mut self, db: &Db, which: Which) -> Result<(), ViewError> {
        self.entries.write(db, which)?;
        self.balances.write(db, which)?;
        self.accrued.write(db, which)?;
        self.open.write(db, which)
    }
}
