//! The books at a glance: what the journal's accounts hold, by what they are for.
//!
//! # Correctness
//! Every entry adds up to 0 in each asset, so what is owed is what the other accounts hold, with the other sign. Only a
//! market with few open items is added up account by account, because a page must not read them all; that its debits are
//! its credits is then seen, and otherwise said to be derived.

use std::collections::BTreeMap;

use domain::{
    journal::{Account, Stage},
    money::{Asset, Signed},
    settlement::SettlementKind,
};
use projections::views::journal::{Accounts, BalanceRow};

use crate::{app::App, error::Problem};

/// Accounts read at once.
const BATCH: usize = 500;
/// Open liabilities that are added up one by one.
const MAX_SUMMED: usize = 2_000;

/// What accounts of one purpose hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What they are for.
    pub what: &'static str,
    /// Debits less credits, if above 0.
    pub debit: Option<String>,
    /// Credits less debits, if above 0.
    pub credit: Option<String>,
}

/// The books in one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The asset.
    pub asset: Asset,
    /// What accounts hold, by what they are for.
    pub lines: Vec<Line>,
    /// The sum of the debits.
    pub debits: String,
    /// The sum of the credits.
    pub credits: String,
    /// Whether they are the same.
    pub balances: bool,
    /// Whether every open item was added up.
    pub complete: bool,
}

const fn purpose(account: &Account) -> &'static str {
    match account {
        Account::EscrowCash(_) => "Cash in escrow",
        Account::PlatformCash(_) => "Operator's cash",
        Account::NetworkFees(_) => "Network fees paid",
        Account::Overpaid(_) => "Paid beyond what was due",
        Account::FeeIncome(_) => "Fees earned",
        Account::Orders(_) => "Orders that nobody has decided on",
        Account::Segment(..) => "Renters' money for time not served",
        Account::Accrued(..) => "Earned by owners, not decided to be paid",
        Account::FeesAccrued(_) => "Fees of running rentals",
        Account::Disputed(_) => "Disputed",
        Account::Claim(kind, _, stage) => match (kind, stage) {
            (_, Stage::Quarantined) => "Quarantined: nobody knows whether it moved",
            (SettlementKind::Refund, _) => "Owed to renters",
            (SettlementKind::Payout, _) => "Owed to owners",
            (SettlementKind::Moderation, _) => "Owed to moderators",
        },
    }
}

/// Balances of accounts whose names begin with `prefix`, at most `most`; and whether those are all.
async fn below(app: &App, prefix: &str, most: usize) -> Result<(Vec<BalanceRow>, bool), Problem> {
    let (mut found, mut after) = (Vec::new(), Some((prefix.to_owned(), String::new())));
    while found.len() < most {
        let rows = app.views.balances(Accounts::NotEmpty, after, BATCH).await?;
        let full = rows.len() == BATCH;
        let (before, here) = (found.len(), rows.len());
        after = rows.last().map(|row| (row.account.to_string(), row.asset.to_string()));
        found.extend(rows.into_iter().filter(|row| row.account.to_string().starts_with(prefix)));
        if !full || found.len() - before < here {
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

/// The books at a glance.
///
/// # Errors
/// When the views cannot be read.
pub async fn at_a_glance(app: &App) -> Result<Vec<Book>, Problem> {
    let mut rows = Vec::new();
    for prefix in ["Assets:", "Expenses:", "Income:"] {
        rows.extend(below(app, prefix, BATCH).await?.0);
    }
    let (owed, complete) = below(app, "Liabilities:", MAX_SUMMED).await?;
    if complete {
        rows.extend(owed);
    }
    Ok(add_up(&rows, complete))
}

/// Adds accounts up by what they are for.
fn add_up(rows: &[BalanceRow], complete: bool) -> Vec<Book> {
    let mut sums: BTreeMap<Asset, BTreeMap<&'static str, i128>> = BTreeMap::new();
    for row in rows {
        *sums.entry(row.asset).or_default().entry(purpose(&row.account)).or_default() += row.minor;
    }
    let book = |(asset, mut purposes): (Asset, BTreeMap<&'static str, i128>)| {
        if !complete {
            let rest = -purposes.values().sum::<i128>();
            purposes.insert("Owed and not decided, together", rest);
        }
        let told = |minor: i128| Signed { minor, asset }.to_string();
        let line = |(what, minor): (&&'static str, &i128)| Line {
            what,
            debit: (*minor > 0).then(|| told(*minor)),
            credit: (*minor < 0).then(|| told(-*minor)),
        };
        let debits: i128 = purposes.values().filter(|minor| **minor > 0).sum();
        let credits: i128 = -purposes.values().filter(|minor| **minor < 0).sum::<i128>();
        Book {
            asset,
            lines: purposes.iter().filter(|(_, minor)| **minor != 0).map(line).collect(),
            debits: told(debits),
            credits: told(credits),
            balances: debits == credits,
            complete,
        }
    };
    sums.into_iter().map(book).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<BalanceRow> {
        let shop = || "ob".parse().unwrap();
        let usd = "USD".parse().unwrap();
        let row = |account, minor| BalanceRow { account, asset: usd, minor, since: 0, updated: 0 };
        vec![
            row(Account::EscrowCash(shop()), 600),
            row(Account::Orders(shop()), -100),
            row(Account::FeeIncome(shop()), -500),
        ]
    }

    #[test]
    fn books_that_add_up_balance_and_others_do_not() {
        let book = &add_up(&rows(), true)[0];
        assert_eq!((book.debits.as_str(), book.credits.as_str(), book.balances), ("6.00", "6.00", true));
        assert!(!add_up(&rows()[..2], true)[0].balances);
    }

    #[test]
    fn what_is_not_added_up_follows_from_the_rest() {
        let mut few = rows();
        few.remove(1);
        let book = &add_up(&few, false)[0];
        assert!(book.balances && !book.complete);
        assert!(book.lines.iter().any(|line| line.credit.as_deref() == Some("1.00")));
    }
}
