//! The accounts of the journal and their names.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::{
    id::{AccountId, ContractId, MarketplaceName},
    settlement::SettlementKind,
};

/// How far money is that must leave escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It waits to be moved.
    Due,
    /// It is being moved and may have arrived.
    InFlight,
    /// Nobody knows whether it arrived.
    Quarantined,
}

/// An account of the journal.
///
/// Its name is a path of components out of `A–Z a–z 0–9 -`, each beginning with a capital or a digit, which is what
/// hledger, ledger and beancount all take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// `Assets:Escrow:Cash:<Marketplace>`: what a marketplace has received and not paid out.
    EscrowCash(MarketplaceName),
    /// `Assets:Platform:Cash:<Marketplace>`: fees taken out of escrow, less what settlements have cost the operator.
    PlatformCash(MarketplaceName),
    /// `Liabilities:Escrow:Orders:<Marketplace>`: received for orders that nobody has decided on.
    Orders(MarketplaceName),
    /// `Liabilities:Escrow:C-<contract>:S<segment>`: a renter's money for time that is not served.
    Segment(ContractId, u32),
    /// `Liabilities:Owner:A-<owner>:Accrued:C-<contract>`: earned and not decided to be paid.
    Accrued(AccountId, ContractId),
    /// `Liabilities:Fees:Accrued:C-<contract>`: the operator's share of what was earned.
    FeesAccrued(ContractId),
    /// `Liabilities:Disputed:C-<contract>`: waits for a decision.
    Disputed(ContractId),
    /// `Liabilities:Renter:A-<renter>:RefundDue`, `Liabilities:Owner:A-<owner>:Payable`,
    /// `Liabilities:Moderator:A-<account>:Payable`, and the same with `InFlight` or `Quarantined`.
    Claim(SettlementKind, AccountId, Stage),
    /// `Income:Fees:<Marketplace>`: the operator's fees of closed contracts and segments.
    FeeIncome(MarketplaceName),
    /// `Expenses:Network:<Marketplace>`: what networks took on top of settlements.
    NetworkFees(MarketplaceName),
    /// `Expenses:Overpaid:<Marketplace>`: what settlements moved beyond what was due.
    Overpaid(MarketplaceName),
}

impl Account {
    /// Whether money in it is owed to somebody.
    #[must_use]
    pub const fn is_liability(&self) -> bool {
        matches!(
            self,
            Self::Orders(_)
                | Self::Segment(..)
                | Self::Accrued(..)
                | Self::FeesAccrued(_)
                | Self::Disputed(_)
                | Self::Claim(..)
        )
    }

    /// Whether it is part of what was received and not paid out: never overdrawn.
    #[must_use]
    pub const fn is_escrow_cash(&self) -> bool {
        matches!(self, Self::EscrowCash(_))
    }

    /// The contract it is about; when that is closed, nothing is left in it.
    #[must_use]
    pub const fn contract(&self) -> Option<ContractId> {
        match self {
            Self::Segment(contract, _)
            | Self::Accrued(_, contract)
            | Self::FeesAccrued(contract)
            | Self::Disputed(contract) => Some(*contract),
            _ => None,
        }
    }
}

const fn claim(kind: SettlementKind, stage: Stage) -> (&'static str, &'static str) {
    let due = match kind {
        SettlementKind::Refund => ("Renter", "RefundDue"),
        SettlementKind::Payout => ("Owner", "Payable"),
        SettlementKind::Moderation => ("Moderator", "Payable"),
    };
    match stage {
        Stage::Due => due,
        Stage::InFlight => (due.0, "InFlight"),
        Stage::Quarantined => (due.0, "Quarantined"),
    }
}

/// A marketplace's name as a component: its first letter is capital.
struct Component<'a>(&'a MarketplaceName);

impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = self.0.as_str().chars();
        let first = letters.next().unwrap_or_default().to_ascii_uppercase();
        write!(f, "{first}{}", letters.as_str())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EscrowCash(m) => write!(f, "Assets:Escrow:Cash:{}", Component(m)),
            Self::PlatformCash(m) => write!(f, "Assets:Platform:Cash:{}", Component(m)),
            Self::Orders(m) => write!(f, "Liabilities:Escrow:Orders:{}", Component(m)),
            Self::Segment(c, n) => write!(f, "Liabilities:Escrow:C-{c}:S{n}"),
            Self::Accrued(owner, c) => write!(f, "Liabilities:Owner:A-{owner}:Accrued:C-{c}"),
            Self::FeesAccrued(c) => write!(f, "Liabilities:Fees:Accrued:C-{c}"),
            Self::Disputed(c) => write!(f, "Liabilities:Disputed:C-{c}"),
            Self::Claim(kind, account, stage) => {
                let (whose, what) = claim(*kind, *stage);
                write!(f, "Liabilities:{whose}:A-{account}:{what}")
            }
            Self::FeeIncome(m) => write!(f, "Income:Fees:{}", Component(m)),
            Self::NetworkFees(m) => write!(f, "Expenses:Network:{}", Component(m)),
            Self::Overpaid(m) => write!(f, "Expenses:Overpaid:{}", Component(m)),
        }
    }
}

/// A text was not the name of an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an account of the journal: {0:?}")]
pub struct InvalidAccount(String);

impl FromStr for Account {
    type Err = InvalidAccount;

    fn from_str(text: &str) -> Result<Self, InvalidAccount> {
        read(text).ok_or_else(|| InvalidAccount(text.chars().take(200).collect()))
    }
}

fn read(text: &str) -> Option<Account> {
    let id = |text: &str, prefix: &str| Uuid::try_parse(text.strip_prefix(prefix)?).ok();
    let contract = |text: &str| id(text, "C-").map(ContractId);
    let account = |text: &str| id(text, "A-").map(AccountId);
    let shop = |text: &str| MarketplaceName::new(text.to_ascii_lowercase()).ok();
    let parts: Vec<_> = text.split(':').collect();
    match parts[..] {
        ["Assets", "Escrow", "Cash", m] => Some(Account::EscrowCash(shop(m)?)),
        ["Assets", "Platform", "Cash", m] => Some(Account::PlatformCash(shop(m)?)),
        ["Liabilities", "Escrow", "Orders", m] => Some(Account::Orders(shop(m)?)),
        ["Liabilities", "Escrow", c, n] => {
            Some(Account::Segment(contract(c)?, n.strip_prefix('S')?.parse().ok()?))
        }
        ["Liabilities", "Owner", a, "Accrued", c] => Some(Account::Accrued(account(a)?, contract(c)?)),
        ["Liabilities", "Fees", "Accrued", c] => Some(Account::FeesAccrued(contract(c)?)),
        ["Liabilities", "Disputed", c] => Some(Account::Disputed(contract(c)?)),
        ["Liabilities", whose, a, what] => {
            let kinds = [SettlementKind::Refund, SettlementKind::Payout, SettlementKind::Moderation];
            let stages = [Stage::Due, Stage::InFlight, Stage::Quarantined];
            let all = kinds.into_iter().flat_map(|kind| stages.map(|stage| (kind, stage)));
            let (kind, stage) = all.into_iter().find(|(k, s)| claim(*k, *s) == (whose, what))?;
            Some(Account::Claim(kind, account(a)?, stage))
        }
        ["Income", "Fees", m] => Some(Account::FeeIncome(shop(m)?)),
        ["Expenses", "Network", m] => Some(Account::NetworkFees(shop(m)?)),
        ["Expenses", "Overpaid", m] => Some(Account::Overpaid(shop(m)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_reads_back_by_its_name() {
        let (a, c) = (AccountId(Uuid::from_u128(7)), ContractId(Uuid::from_u128(0xc << 100)));
        let mut all = vec![
            Account::Segment(c, 499),
            Account::Accrued(a, c),
            Account::FeesAccrued(c),
            Account::Disputed(c),
        ];
        for kind in [SettlementKind::Refund, SettlementKind::Payout, SettlementKind::Moderation] {
            for stage in [Stage::Due, Stage::InFlight, Stage::Quarantined] {
                all.push(Account::Claim(kind, a, stage));
            }
        }
        for name in ["shop", "1a"] {
            let m: MarketplaceName = name.parse().unwrap();
            all.push(Account::EscrowCash(m.clone()));
            all.push(Account::PlatformCash(m.clone()));
            all.push(Account::Orders(m.clone()));
            all.push(Account::FeeIncome(m.clone()));
            all.push(Account::NetworkFees(m.clone()));
            all.push(Account::Overpaid(m));
        }
        for account in all {
            let name = account.to_string();
            assert_eq!(name.parse(), Ok(account));
            for part in name.split(':') {
                assert!(part.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit()), "{name}");
                assert!(part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
            }
        }
        assert!("Assets:Escrow:Cash".parse::<Account>().is_err());
    }
}
