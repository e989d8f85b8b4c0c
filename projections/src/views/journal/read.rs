//! Reading the journal: a page at a time, or from beginning to end in one unchanging state.

use domain::{
    event::Position,
    id::{AccountId, EventId},
    journal::{Account, Stage},
    money::Asset,
    settlement::SettlementKind,
};

use super::{AccruedRow, BalanceRow, DDL, EntryRow, OpenRow, VERSION};
use crate::{
    db::Db,
    rows::{BadColumn, Row},
    views::{
        Page, Store, ViewError, Views,
        read::{Filter, MAX_LIMIT, limit},
        tables,
    },
};

/// What is owed to somebody, or waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The account.
    pub account: Account,
    /// Of what.
    pub asset: Asset,
    /// How much, in minor units; above 0.
    pub minor: i128,
}

/// Which accounts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounts {
    /// Every account that was ever used.
    All,
    /// Those with something in them.
    NotEmpty,
}

impl Views {
    /// Entries in the order of the log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn journal(&self, page: Page) -> Result<Vec<EntryRow>, ViewError> {
        self.list(Filter::default(), page).await
    }

    /// The entries of these events, in the order of the log; events that move no money have none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn entries_of(&self, events: &[Position]) -> Result<Vec<EntryRow>, ViewError> {
        let wanted: Vec<_> = events.iter().take(MAX_LIMIT).map(ToString::to_string).collect();
        let wanted = format!("[{}]", wanted.join(","));
        let filter = Filter::by("position in (select value from json_each(?))", &wanted);
        self.ask(move |db| filter.select(db, "order by position")).await
    }

    /// What accounts hold, in the order of their names, from after an account and asset on: all accounts that were ever
    /// used, or those with something in them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn balances(
        &self,
        which: Accounts,
        after: Option<(String, String)>,
        wanted: usize,
    ) -> Result<Vec<BalanceRow>, ViewError> {
        let (account, asset) = after.unwrap_or_default();
        let filter = Filter::default().pair("(account, asset) > (?, ?)", &account, &asset);
        let filter = match which {
            Accounts::All => filter,
            Accounts::NotEmpty => filter.plain("minor <> '0'"),
        };
        self.ask(move |db| filter.select(db, &format!("order by account, asset limit {}", limit(wanted))))
            .await
    }

    /// What one account holds of an asset, in minor units.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn balance(&self, account: &Account, asset: Asset) -> Result<i128, ViewError> {
        let row: Option<BalanceRow> =
            self.one(Filter::by("account = ?", account).and("asset = ?", &asset)).await?;
        Ok(row.map_or(0, |row| row.minor))
    }

    /// Everything that is owed to an account, whatever its role, in the order of the accounts' names.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn owed_to(&self, account: AccountId) -> Result<Vec<Owed>, ViewError> {
        let kinds = [SettlementKind::Refund, SettlementKind::Payout, SettlementKind::Moderation];
        let mut all = Vec::new();
        for kind in kinds {
            let name = Account::Claim(kind, account, Stage::Due).to_string();
            let prefix = name.rsplit_once(':').map_or("", |(prefix, _)| prefix);
            // In the order of characters `;` follows on `:`.
            all.extend(self.owed_in(format!("{prefix}:"), format!("{prefix};")).await?);
        }
        all.sort_by_key(|owed| owed.account.to_string());
        Ok(all)
    }

    /// Payouts to an owner that were decided and have not arrived: due, in flight or quarantined. However many contracts
    /// the owner has, these are a handful.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn payable_to(&self, owner: AccountId) -> Result<Vec<Owed>, ViewError> {
        // `Accrued`, of which there is one for each contract, comes before all of them.
        let stages = [Stage::InFlight, Stage::Due, Stage::Quarantined];
        let [first, _, last] =
            stages.map(|stage| Account::Claim(SettlementKind::Payout, owner, stage).to_string());
        self.owed_in(first, format!("{last};")).await
    }

    /// What an owner has earned that is not decided to be paid, in each asset, as far as it is posted: a running rental's
    /// time is posted when it is extended or ends.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn accrued_to(&self, owner: AccountId) -> Result<Vec<AccruedRow>, ViewError> {
        let filter = Filter::by("owner = ?", &owner);
        self.ask(move |db| filter.select(db, "order by asset")).await
    }

    /// What is owed in the accounts of a range of names.
    async fn owed_in(&self, from: String, to: String) -> Result<Vec<Owed>, ViewError> {
        let filter = Filter::default().pair("account >= ? and account < ?", &from, &to).plain("minor <> '0'");
        let rows: Vec<BalanceRow> = self.ask(move |db| filter.select(db, "order by account, asset")).await?;
        let owed = |row: BalanceRow| Owed { account: row.account, asset: row.asset, minor: -row.minor };
        Ok(rows.into_iter().map(owed).collect())
    }
}

/// One unchanging state of the journal, read in constant memory.
#[derive(Debug)]
pub struct JournalReader {
    db: Db,
    next: Position,
    last: Option<EventId>,
}

impl JournalReader {
    /// Opens the journal as it is now; what is folded later is not seen.
    ///
    /// # Errors
    /// When the file cannot be used, or holds no journal of this form.
    pub fn open(store: impl Into<Store>) -> Result<Self, ViewError> {
        let db = store.into().reader()?;
        db.begin_snapshot()?;
        let checkpoint = tables::checkpoint(&db, "journal")?;
        let current = checkpoint.filter(|c| c.version == VERSION && c.digest == tables::digest(DDL));
        let current = current.ok_or(ViewError::Replaced { view: "journal" })?;
        Ok(Self { db, next: current.next, last: current.last })
    }

    /// The first position that is not in it.
    #[must_use]
    pub const fn next(&self) -> Position {
        self.next
    }

    /// The last event that is in it.
    #[must_use]
    pub const fn last(&self) -> Option<EventId> {
        self.last
    }

    /// Shows every entry in the order of the log.
    ///
    /// # Errors
    /// When the file cannot be read, or what `show` says.
    pub fn entries<E: From<ViewError>>(&self, show: impl FnMut(EntryRow) -> Result<(), E>) -> Result<(), E> {
        self.each("order by position", show)
    }

    /// Shows every balance, those of 0 too, in the order of the accounts' names.
    ///
    /// # Errors
    /// As [`JournalReader::entries`].
    pub fn balances<E: From<ViewError>>(
        &self,
        show: impl FnMut(BalanceRow) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each("order by account, asset", show)
    }

    /// Shows everything that is open.
    ///
    /// # Errors
    /// As [`JournalReader::entries`].
    pub fn open_items<E: From<ViewError>>(
        &self,
        show: impl FnMut(OpenRow) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each("order by subject", show)
    }

    fn each<R: Row, E: From<ViewError>>(
        &self,
        tail: &str,
        mut show: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = format!("select {} from {} {tail}", R::COLUMNS.join(", "), R::TABLE);
        let bad = |e: BadColumn| E::from(ViewError::BadRow { table: R::TABLE, why: e.to_string() });
        self.db.scan(&sql, |row| show(R::read(row).map_err(bad)?).map(|()| true))
    }
}
