//! Purses: payouts of one owner, in one asset, at one marketplace, that wait until they are worth sending.
//!
//! # Shape
//! held, held … → released together, and again. A purse is emptied when what waits reaches the minimum that the newest
//! payout's contract pinned, when it holds [`MAX_HELD`] payouts, or when somebody asks for it.
//!
//! # Correctness
//! Its stream alone decides: a payout is held once, and is in exactly one release, whose amount is the sum of its parts.
//! Hence no payout is paid twice or forgotten, whatever repeats a command.

mod event;

pub use event::{PayoutHeld, PayoutsReleased, PurseEvent};

use std::{collections::HashSet, fmt, str::FromStr};

use crate::{
    aggregate::{Aggregate, Decision},
    id::{AccountId, MarketplaceName, SettlementId},
    money::{Asset, Money},
    time::Time,
};

/// The most payouts that wait: all of them are named by one event.
pub const MAX_HELD: usize = 500;

/// Whose purse it is, and of what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PurseId {
    /// The owner.
    pub owner: AccountId,
    /// Who holds the money.
    pub marketplace: MarketplaceName,
    /// What it is.
    pub asset: Asset,
}

impl fmt::Display for PurseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.owner, self.marketplace, self.asset)
    }
}

/// A text was not the id of a purse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a purse: {0:?}; it is <owner>-<marketplace>-<asset>")]
pub struct InvalidPurse(String);

impl FromStr for PurseId {
    type Err = InvalidPurse;
    fn from_str(text: &str) -> Result<Self, InvalidPurse> {
        let read = || {
            let (rest, asset) = text.rsplit_once('-')?;
            let (owner, marketplace) = rest.rsplit_once('-')?;
            let (owner, marketplace) = (owner.parse().ok()?, marketplace.parse().ok()?);
            Some(Self { owner, marketplace, asset: asset.parse().ok()? })
        };
        read().ok_or_else(|| InvalidPurse(text.chars().take(200).collect()))
    }
}

/// A purse's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purse {
    known: HashSet<SettlementId>,
    held: Vec<PayoutHeld>,
}

impl Purse {
    /// The payouts that wait.
    #[must_use]
    pub fn held(&self) -> &[PayoutHeld] {
        &self.held
    }
}

/// What can be asked of a purse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurseCommand {
    /// Take a payout, and release all when it reaches the minimum.
    Hold {
        /// Whose.
        owner: AccountId,
        /// The payout.
        payout: PayoutHeld,
        /// What is worth sending.
        minimum: Money,
    },
    /// Release what waits, however little.
    Release {
        /// Whose.
        owner: AccountId,
    },
}

/// Why a purse says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PurseRefusal {
    /// The amounts are of another asset, or beyond what it can hold.
    #[error("the payout is of another asset than the purse, or beyond what it can hold")]
    Amount,
}

impl Aggregate for Purse {
    type Id = PurseId;
    type Command = PurseCommand;
    type Event = PurseEvent;
    type Refusal = PurseRefusal;

    const CATEGORY: &'static str = "purse";

    fn decide(&self, command: PurseCommand, _now: Time) -> Result<Decision<PurseEvent>, PurseRefusal> {
        match command {
            PurseCommand::Hold { payout, .. } if self.known.contains(&payout.payout) => {
                Ok(Decision::AlreadyDone)
            }
            PurseCommand::Hold { owner, payout, minimum } => {
                let mut held = self.held.clone();
                held.push(payout.clone());
                let total = sum(&held).filter(|total| total.asset() == minimum.asset());
                let total = total.ok_or(PurseRefusal::Amount)?;
                let mut events = vec![payout.into()];
                if total >= minimum || held.len() >= MAX_HELD {
                    events.extend(release(owner, &held, total));
                }
                Ok(Decision::Events(events))
            }
            PurseCommand::Release { owner } => {
                let Some(total) = sum(&self.held) else { return Ok(Decision::AlreadyDone) };
                Ok(Decision::Events(release(owner, &self.held, total).into_iter().collect()))
            }
        }
    }

    fn apply(&mut self, event: &PurseEvent) {
        match event {
            PurseEvent::PayoutHeld(e) => {
                self.known.insert(e.payout);
                self.held.push(e.clone());
            }
            PurseEvent::PayoutsReleased(_) => self.held.clear(),
        }
    }
}

fn sum(held: &[PayoutHeld]) -> Option<Money> {
    let (first, rest) = held.split_first()?;
    rest.iter().try_fold(first.amount, |sum, next| sum.plus(next.amount))
}

fn release(owner: AccountId, held: &[PayoutHeld], amount: Money) -> Option<PurseEvent> {
    let first = held.first()?;
    let (settlement, order) = (SettlementId::release(first.payout), first.order.clone());
    let payouts = held.iter().map(|held| held.payout).collect();
    Some(PayoutsReleased { settlement, order, owner, amount, payouts }.into())
}

#[cfg(test)]
mod tests;
