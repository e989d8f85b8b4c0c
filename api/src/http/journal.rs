//! The journal in double entry: its entries, what its accounts hold, and what is owed to whom.

use std::{fmt, str::FromStr};

use axum::{extract::State, http::Uri};
use domain::{
    account::Role,
    id::AccountId,
    journal,
    money::{Asset, Signed},
    time::Time,
};
use projections::views::journal::{Accounts, BalanceRow, EntryRow, Owed as OwedRow};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Auditor, MoneyReader},
    extract::Query,
    list::{List, Part, list_query},
    schema,
};
use crate::{app::App, error::Problem};

/// A change of one account.
#[derive(Debug, Serialize, ToSchema)]
pub struct Posting {
    /// The account, such as `Assets:Escrow:Cash:Shop`.
    account: String,
    /// Debits are above 0, credits below.
    #[schema(example = "-1.20", pattern = "^-?[0-9]+(\\.[0-9]+)?$")]
    amount: String,
    /// Of what.
    #[schema(value_type = schema::Asset)]
    asset: Asset,
}

impl From<journal::Posting> for Posting {
    fn from(journal::Posting { account, minor, asset }: journal::Posting) -> Self {
        Self { account: account.to_string(), amount: Signed { minor, asset }.to_string(), asset }
    }
}

/// What an event means in double entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entry {
    /// The event's place in the whole log.
    position: u64,
    /// Its name, such as `RentalStarted`.
    r#type: String,
    /// Its stream.
    stream: String,
    /// When it was written down.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Time,
    /// When it counts from.
    #[schema(value_type = String, format = DateTime)]
    effective_at: Time,
    /// Debits and credits, which add up to 0 in each asset.
    postings: Vec<Posting>,
}

impl From<EntryRow> for Entry {
    fn from(row: EntryRow) -> Self {
        Self {
            position: row.position,
            r#type: row.kind.into_owned(),
            stream: row.stream.to_string(),
            recorded_at: row.recorded_at,
            effective_at: row.effective_at,
            postings: row.postings.into_iter().map(Into::into).collect(),
        }
    }
}

/// The journal's entries, the oldest first; events that move no money have none.
#[utoipa::path(get, path = "/v1/journal", tag = "audit", params(Part), security(("token" = ["auditor", "operator"])),
    responses((status = 200, description = "Entries", body = List<Entry>)))]
pub async fn list_journal(
    State(app): State<App>,
    _caller: Auditor,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Entry>>, Problem> {
    let rows = app.views.journal(part.oldest("journal")?).await?;
    part.answer(&uri, "journal", rows, |row| row.position, Entry::from)
}

/// What an account holds of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct Balance {
    /// The account.
    account: String,
    /// Of what.
    #[schema(value_type = schema::Asset)]
    asset: Asset,
    /// Debits less credits.
    #[schema(example = "-1.20", pattern = "^-?[0-9]+(\\.[0-9]+)?$")]
    amount: String,
    /// The position that first changed it.
    since: u64,
    /// The position that last changed it.
    updated: u64,
}

impl From<BalanceRow> for Balance {
    fn from(row: BalanceRow) -> Self {
        let (account, amount) =
            (row.account.to_string(), Signed { minor: row.minor, asset: row.asset }.to_string());
        Self { account, asset: row.asset, amount, since: row.since, updated: row.updated }
    }
}

/// A place in a list by account and asset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place(String, String);

impl Place {
    fn of(account: &journal::Account, asset: Asset) -> Self {
        Self(account.to_string(), asset.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (account, asset) = text.split_once(' ').ok_or(())?;
        Ok(Self(account.to_owned(), asset.to_owned()))
    }
}

/// What the journal's accounts hold, in the order of their names; those that came to 0 are left out.
#[utoipa::path(get, path = "/v1/balances", tag = "audit", params(Part), security(("token" = ["auditor", "operator"])),
    responses((status = 200, description = "Balances", body = List<Balance>)))]
pub async fn list_balances(
    State(app): State<App>,
    _caller: Auditor,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Balance>>, Problem> {
    let after = part.after::<Place>("balances")?.map(|Place(account, asset)| (account, asset));
    let rows = app.views.balances(Accounts::NotEmpty, after, part.limit()? + 1).await?;
    part.answer(&uri, "balances", rows, |row| Place::of(&row.account, row.asset), Balance::from)
}

list_query! {
    /// What is owed to whom.
    OwedQuery {
        /// For operators and auditors: to this account instead of you.
        account: Uuid,
    }
}

/// What is owed to somebody, as refunds, payouts or for a decision.
#[derive(Debug, Serialize, ToSchema)]
pub struct Owed {
    /// The journal's account, which says how far it is.
    account: String,
    /// How much.
    #[schema(example = "1.20", pattern = "^[0-9]+(\\.[0-9]+)?$")]
    amount: String,
    /// Of what.
    #[schema(value_type = schema::Asset)]
    asset: Asset,
}

impl From<OwedRow> for Owed {
    fn from(OwedRow { account, asset, minor }: OwedRow) -> Self {
        Self { account: account.to_string(), amount: Signed { minor, asset }.to_string(), asset }
    }
}

/// What is owed to you, by account of the journal and asset; `account` is for operators and auditors.
#[utoipa::path(get, path = "/v1/owed", tag = "money", params(OwedQuery),
    security(("token" = ["owner", "renter", "marketplace", "operator", "auditor"])),
    responses((status = 200, description = "What is owed", body = List<Owed>)))]
pub async fn list_owed(
    State(app): State<App>,
    caller: MoneyReader,
    uri: Uri,
    Query(query): Query<OwedQuery>,
) -> Result<Answer<List<Owed>>, Problem> {
    let to = query.account.map_or(caller.account, AccountId);
    caller.owns_or(to, &[Role::Operator, Role::Auditor], "account")?;
    let (part, place) = (query.part(), |owed: &OwedRow| Place::of(&owed.account, owed.asset));
    let (after, wanted) = (part.after::<Place>("owed")?, part.limit()? + 1);
    let rows = app.views.owed_to(to).await?.into_iter();
    let rows = rows.filter(|owed| after.as_ref().is_none_or(|after| place(owed) > *after)).take(wanted);
    part.answer(&uri, "owed", rows.collect(), place, Owed::from)
}
