//! Books in memory: the journal's balances, checked at every position.
//!
//! # Correctness
//! Only accounts with money in them and what is open are kept, so memory grows with what is open and with the people that
//! are owed something, not with the length of the log.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Account, Happened, Open, Posting, post, subject};
use crate::{
    any::AnyEvent,
    contract::ContractEvent,
    id::{AccountId, ContractId},
    money::Asset,
};

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Debits and credits differ.
    #[error("its postings in {asset} add up to {minor} minor units, not to 0")]
    Unbalanced {
        /// The asset.
        asset: Asset,
        /// The sum.
        minor: i128,
    },
    /// More left an account than was in it.
    #[error("it leaves {minor} minor units of {asset} in {account}, which is overdrawn")]
    Overdrawn {
        /// The account.
        account: Account,
        /// The asset.
        asset: Asset,
        /// The balance.
        minor: i128,
    },
    /// A closed contract has money left.
    #[error("it closes the contract with {minor} minor units of {asset} in {account}")]
    NotEmpty {
        /// The account.
        account: Account,
        /// The asset.
        asset: Asset,
        /// The balance.
        minor: i128,
    },
}

/// Balances, and what is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    open: HashMap<Uuid, Open>,
    balances: BTreeMap<(Account, Asset), i128>,
}

impl Books {
    /// Posts an event; answers its postings and everything that is wrong after it.
    pub fn post(&mut self, happened: &Happened<'_>) -> (Vec<Posting>, Vec<Fault>) {
        let subject = subject(happened);
        let mut open = subject.and_then(|id| self.open.remove(&id));
        let entry = post(happened, &mut open);
        if let Some((id, open)) = subject.zip(open) {
            self.open.insert(id, open);
        }
        let mut faults = Vec::new();
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for Posting { account, minor, asset } in &entry {
            *sums.entry(*asset).or_default() += minor;
            let balance = self.balances.entry((account.clone(), *asset)).or_default();
            *balance += minor;
        }
        faults.extend(
            sums.into_iter()
                .filter(|(_, minor)| *minor != 0)
                .map(|(asset, minor)| Fault::Unbalanced { asset, minor }),
        );
        for Posting { account, asset, .. } in &entry {
            let key = (account.clone(), *asset);
            let minor = self.balances.get(&key).copied().unwrap_or(0);
            let overdrawn = (account.is_liability() && minor > 0) || (account.is_escrow_cash() && minor < 0);
            if overdrawn {
                faults.push(Fault::Overdrawn { account: account.clone(), asset: *asset, minor });
            } else if minor == 0 {
                self.balances.remove(&key);
            }
        }
        if let AnyEvent::Contract(ContractEvent::PayoutIssued(e)) = happened.event {
            let contract = ContractId(happened.id.unwrap_or_default());
            faults.extend(self.left_of(contract, e.owner));
        }
        (entry, faults)
    }

    /// What is left in a closed contract's accounts. What is disputed may be for a moment: a refund that was withdrawn while
    /// the dispute was decided without it is reinstated at once.
    fn left_of(&self, contract: ContractId, owner: AccountId) -> Vec<Fault> {
        let (first, last) = (Asset::ALL[0], Asset::ALL[Asset::ALL.len() - 1]);
        let of = |from: Account, to: Account| self.balances.range((from, first)..=(to, last));
        let one = |account: Account| of(account.clone(), account);
        let left = of(Account::Segment(contract, 0), Account::Segment(contract, u32::MAX))
            .chain(one(Account::Accrued(owner, contract)))
            .chain(one(Account::FeesAccrued(contract)));
        let fault = |((account, asset), minor): (&(Account, Asset), &i128)| Fault::NotEmpty {
            account: account.clone(),
            asset: *asset,
            minor: *minor,
        };
        left.map(fault).collect()
    }

    /// The balance of an account, in minor units.
    #[must_use]
    pub fn balance(&self, account: &Account, asset: Asset) -> i128 {
        self.balances.get(&(account.clone(), asset)).copied().unwrap_or(0)
    }

    /// Every account with something in it, in the order of the accounts.
    pub fn balances(&self) -> impl Iterator<Item = (&Account, Asset, i128)> {
        self.balances.iter().map(|((account, asset), minor)| (account, *asset, *minor))
    }

    /// What is open.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// What is owed and what was earned and not swept, less escrow cash: 0 in every asset, at every position.
    #[must_use]
    pub fn escrow_gap(&self, asset: Asset) -> i128 {
        let of = |wanted: fn(&Account) -> bool| -> i128 {
            self.balances().filter(|(a, of, _)| *of == asset && wanted(a)).map(|(.., minor)| minor).sum()
        };
        let owed = -of(Account::is_liability);
        let unswept = -of(|a| {
            matches!(
                a,
                Account::FeeIncome(_)
                    | Account::PlatformCash(_)
                    | Account::NetworkFees(_)
                    | Account::Overpaid(_)
            )
        });
        owed + unswept - of(Account::is_escrow_cash)
    }
}
