//! The treasury: what the operator has taken out of a marketplace's escrow as its fees.
//!
//! # Correctness
//! Never more than was earned in the asset, less what settlements have cost: the caller looks that up, it only grows
//! behind its back by earnings, and the treasury's own stream knows what was taken. So the rest of the escrow always
//! covers what is owed to renters and owners.

use std::collections::BTreeMap;

use crate::{
    aggregate::{Aggregate, Decision},
    events,
    id::MarketplaceName,
    money::{Asset, Money},
    settlement::MAX_TEXT,
    time::Time,
};

events! {
    /// The events of a treasury.
    TreasuryEvent {
        /// The operator took earned fees out of escrow.
        FeesSwept = 1 {
            /// How much.
            amount: Money,
            /// The transaction's id or the operator's reference.
            reference: String,
        }
    }
}

/// A treasury's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Treasury {
    /// By reference.
    sweeps: BTreeMap<String, Money>,
}

impl Treasury {
    /// All that was taken out in an asset, in minor units.
    #[must_use]
    pub fn swept(&self, asset: Asset) -> i128 {
        self.sweeps.values().filter(|swept| swept.asset() == asset).map(|swept| swept.minor()).sum()
    }
}

/// What can be asked of a treasury.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreasuryCommand {
    /// Fees were taken out.
    Sweep {
        /// How much.
        amount: Money,
        /// The transaction's id or the operator's reference; names the sweep.
        reference: String,
        /// All fees earned in this asset so far, less what settlements have cost, in minor units.
        earned: i128,
    },
}

/// Why a treasury says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreasuryRefusal {
    /// More than there is.
    #[error("only {left} of earned fees are left in escrow")]
    NotEarned {
        /// What may be taken.
        left: Money,
    },
    /// Nothing was taken.
    #[error("a sweep must be of more than nothing")]
    Nothing,
    /// The reference stands for another amount.
    #[error("this reference stands for a sweep of {0}")]
    Different(Money),
    /// An empty or long reference.
    #[error("reference must be 1 to {MAX_TEXT} bytes")]
    Reference,
}

impl Aggregate for Treasury {
    type Id = MarketplaceName;
    type Command = TreasuryCommand;
    type Event = TreasuryEvent;
    type Refusal = TreasuryRefusal;

    const CATEGORY: &'static str = "treasury";

    fn decide(
        &self,
        command: TreasuryCommand,
        _now: Time,
    ) -> Result<Decision<TreasuryEvent>, TreasuryRefusal> {
        let TreasuryCommand::Sweep { amount, reference, earned } = command;
        match self.sweeps.get(&reference) {
            Some(old) if *old == amount => return Ok(Decision::AlreadyDone),
            Some(old) => return Err(TreasuryRefusal::Different(*old)),
            None if reference.trim().is_empty() || reference.len() > MAX_TEXT => {
                return Err(TreasuryRefusal::Reference);
            }
            None if amount.is_zero() => return Err(TreasuryRefusal::Nothing),
            None => {}
        }
        let left = earned - self.swept(amount.asset());
        if amount.minor() > left {
            let left = Money::from_minor(left.max(0), amount.asset());
            return Err(TreasuryRefusal::NotEarned { left: left.unwrap_or(Money::zero(amount.asset())) });
        }
        Ok(Decision::event(FeesSwept { amount, reference }))
    }

    fn apply(&mut self, event: &TreasuryEvent) {
        let TreasuryEvent::FeesSwept(e) = event;
        self.sweeps.insert(e.reference.clone(), e.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::given;

    const NOW: Time = Time::from_unix(0);

    fn money(minor: i128, asset: &str) -> Money {
        Money::from_minor(minor, asset.parse().unwrap()).unwrap()
    }

    fn sweep(minor: i128, asset: &str, reference: &str, earned: i128) -> TreasuryCommand {
        TreasuryCommand::Sweep { amount: money(minor, asset), reference: reference.into(), earned }
    }

    #[test]
    fn no_more_than_was_earned_is_taken_out_of_each_asset() {
        let swept = FeesSwept { amount: money(70, "USD"), reference: "a".into() };
        let taken = given::<Treasury>([]).when(sweep(70, "USD", "a", 100), NOW).then([swept.into()]);
        let left = TreasuryRefusal::NotEarned { left: money(30, "USD") };
        taken.when(sweep(31, "USD", "b", 100), NOW).then_refused(left);
        let other = FeesSwept { amount: money(31, "EUR"), reference: "b".into() };
        taken.when(sweep(31, "EUR", "b", 31), NOW).then([other.into()]);
    }

    #[test]
    fn a_sweep_is_recorded_once_by_its_reference() {
        let swept = FeesSwept { amount: money(70, "USD"), reference: "a".into() };
        let taken = given::<Treasury>([swept.into()]);
        taken.when(sweep(70, "USD", "a", 70), NOW).then_already_done();
        let other = TreasuryRefusal::Different(money(70, "USD"));
        taken.when(sweep(71, "USD", "a", 900), NOW).then_refused(other);
        taken.when(sweep(1, "USD", " ", 900), NOW).then_refused(TreasuryRefusal::Reference);
        taken.when(sweep(0, "USD", "c", 900), NOW).then_refused(TreasuryRefusal::Nothing);
    }
}
