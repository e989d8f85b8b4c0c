//! Settlements: how one refund or payout leaves escrow.
//!
//! # Shape
//! due → started (attempt 1, 2 …) → settled | failed (may start again) | quarantined → resolved by an operator. What is
//! not under way may be withdrawn, when it is disputed.
//!
//! # Correctness
//! `SettlementStarted` is written before money may move. From then on only a report for that very attempt, or an
//! operator, moves it on; a started settlement is never started again, so it is executed at most once whatever crashes.

mod event;

pub use event::{
    Movement, Resolution, SettlementDue, SettlementEvent, SettlementFailed, SettlementKind,
    SettlementQuarantined, SettlementReinstated, SettlementResolved, SettlementSettled, SettlementStarted,
    SettlementWithdrawn,
};

use crate::{
    aggregate::{Aggregate, Decision},
    id::SettlementId,
    money::Money,
    time::Time,
};

/// The longest method, reference, reason or note, in bytes.
pub const MAX_TEXT: usize = 500;

/// Where a settlement stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing is due.
    #[default]
    None,
    /// Money must move.
    Due,
    /// It may be moving.
    Started(String),
    /// It moved.
    Settled(Movement),
    /// It did not move.
    Failed(String),
    /// Nobody knows.
    Quarantined(String),
    /// It will not move: it is disputed.
    Withdrawn,
}

/// A settlement's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    due: Option<SettlementDue>,
    status: Status,
    attempt: u32,
}

impl Settlement {
    /// What is due, once it is.
    #[must_use]
    pub const fn due(&self) -> Option<&SettlementDue> {
        self.due.as_ref()
    }

    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// What is due anew once less moved than was due; `id` is this settlement's.
    #[must_use]
    pub fn rest(&self, id: SettlementId) -> Option<(SettlementId, SettlementDue)> {
        let (Status::Settled(movement), Some(due)) = (&self.status, &self.due) else { return None };
        let rest = Money::from_minor(due.amount.minor() - movement.moved.minor(), due.amount.asset()).ok()?;
        (!rest.is_zero()).then(|| (SettlementId::rest_of(id), SettlementDue { amount: rest, ..due.clone() }))
    }

    /// The number of the last try; 0 before the first.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// What can be asked of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettlementCommand {
    /// Money must leave escrow.
    Due(SettlementDue),
    /// Try to move it.
    Start {
        /// How.
        method: String,
    },
    /// It moved.
    Settle {
        /// The try.
        attempt: u32,
        /// What really moved.
        movement: Movement,
    },
    /// It certainly did not move.
    Fail {
        /// The try.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// Nobody knows whether it moved.
    Quarantine {
        /// The try.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// Hold it back: it is disputed.
    Withdraw,
    /// Make it due again: the dispute was decided without it.
    Reinstate,
    /// An operator found out.
    Resolve {
        /// What.
        resolution: Resolution,
        /// Why the operator is sure.
        note: String,
    },
}

/// Why a settlement says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettlementRefusal {
    /// Nothing is due under this id.
    #[error("there is no such settlement")]
    Unknown,
    /// The same id is due with other contents.
    #[error("this settlement is already due with other contents")]
    Different,
    /// It was started and not reported on.
    #[error("attempt {0} is under way; report how it went before starting another")]
    UnderWay(u32),
    /// The report is about another try.
    #[error("the current attempt is {0}")]
    WrongAttempt(u32),
    /// Not in this state.
    #[error("the settlement is {0}")]
    NotNow(&'static str),
    /// An empty or long text.
    #[error("{0} must be 1 to {MAX_TEXT} bytes")]
    Text(&'static str),
    /// Nothing arrived.
    #[error("nothing arrived, so it did not settle; report it as failed")]
    NothingMoved,
    /// The movement is in another asset than the amount due.
    #[error("the amount moved must be in the asset that is due")]
    WrongAsset,
}

impl Status {
    /// Its stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "unknown",
            Self::Due => "due",
            Self::Started(_) => "started",
            Self::Settled(_) => "settled",
            Self::Failed(_) => "failed",
            Self::Quarantined(_) => "quarantined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

fn text(what: &'static str, value: &str) -> Result<(), SettlementRefusal> {
    let ok = !value.trim().is_empty() && value.len() <= MAX_TEXT;
    if ok { Ok(()) } else { Err(SettlementRefusal::Text(what)) }
}

impl Settlement {
    fn check(&self, movement: &Movement) -> Result<(), SettlementRefusal> {
        text("reference", &movement.reference)?;
        let same = self.due.as_ref().is_some_and(|due| due.amount.asset() == movement.moved.asset());
        match same {
            false => Err(SettlementRefusal::WrongAsset),
            true if movement.moved.is_zero() => Err(SettlementRefusal::NothingMoved),
            true => Ok(()),
        }
    }

    /// Only the try under way can be reported on.
    fn under_way(&self, attempt: u32) -> Result<(), SettlementRefusal> {
        match self.status {
            Status::Started(_) if attempt == self.attempt => Ok(()),
            Status::Started(_) => Err(SettlementRefusal::WrongAttempt(self.attempt)),
            ref other => Err(SettlementRefusal::NotNow(other.name())),
        }
    }
}

impl Aggregate for Settlement {
    type Id = SettlementId;
    type Command = SettlementCommand;
    type Event = SettlementEvent;
    type Refusal = SettlementRefusal;

    const CATEGORY: &'static str = "settlement";

    fn decide(
        &self,
        command: SettlementCommand,
        _now: Time,
    ) -> Result<Decision<SettlementEvent>, SettlementRefusal> {
        if let SettlementCommand::Due(due) = command {
            return match &self.due {
                None => Ok(Decision::event(due)),
                Some(old) if *old == due => Ok(Decision::AlreadyDone),
                Some(_) => Err(SettlementRefusal::Different),
            };
        }
        match (command, &self.status) {
            (_, Status::None) => Err(SettlementRefusal::Unknown),
            (SettlementCommand::Start { method }, Status::Due | Status::Failed(_)) => {
                text("method", &method)?;
                Ok(Decision::event(SettlementStarted { attempt: self.attempt + 1, method }))
            }
            (SettlementCommand::Reinstate, Status::Withdrawn) => {
                let due = self.due.clone().ok_or(SettlementRefusal::Unknown)?;
                Ok(Decision::event(SettlementReinstated { due }))
            }
            (SettlementCommand::Reinstate, _) => Ok(Decision::AlreadyDone),
            (SettlementCommand::Withdraw, Status::Withdrawn) => Ok(Decision::AlreadyDone),
            (SettlementCommand::Withdraw, Status::Due | Status::Failed(_)) => {
                let due = self.due.as_ref().ok_or(SettlementRefusal::Unknown)?;
                Ok(Decision::event(SettlementWithdrawn { amount: due.amount }))
            }
            (SettlementCommand::Start { .. }, Status::Started(_)) => {
                Err(SettlementRefusal::UnderWay(self.attempt))
            }
            (SettlementCommand::Settle { attempt, movement }, Status::Settled(old))
                if attempt == self.attempt && *old == movement =>
            {
                Ok(Decision::AlreadyDone)
            }
            (SettlementCommand::Settle { attempt, movement }, _) => {
                self.under_way(attempt)?;
                self.check(&movement)?;
                Ok(Decision::event(SettlementSettled { attempt, movement }))
            }
            (SettlementCommand::Fail { attempt, .. }, Status::Failed(_)) if attempt == self.attempt => {
                Ok(Decision::AlreadyDone)
            }
            (SettlementCommand::Fail { attempt, reason }, _) => {
                self.under_way(attempt)?;
                text("reason", &reason)?;
                Ok(Decision::event(SettlementFailed { attempt, reason }))
            }
            (SettlementCommand::Quarantine { attempt, .. }, Status::Quarantined(_))
                if attempt == self.attempt =>
            {
                Ok(Decision::AlreadyDone)
            }
            (SettlementCommand::Quarantine { attempt, reason }, _) => {
                self.under_way(attempt)?;
                text("reason", &reason)?;
                Ok(Decision::event(SettlementQuarantined { attempt, reason }))
            }
            (SettlementCommand::Resolve { resolution, note }, Status::Quarantined(_)) => {
                text("note", &note)?;
                if let Resolution::Moved { movement } = &resolution {
                    self.check(movement)?;
                }
                Ok(Decision::event(SettlementResolved { attempt: self.attempt, resolution, note }))
            }
            (
                SettlementCommand::Resolve { resolution: Resolution::Moved { movement }, .. },
                Status::Settled(old),
            ) if *old == movement => Ok(Decision::AlreadyDone),
            (_, other) => Err(SettlementRefusal::NotNow(other.name())),
        }
    }

    fn apply(&mut self, event: &SettlementEvent) {
        self.status = match event {
            SettlementEvent::SettlementDue(e) => {
                self.due = Some(e.clone());
                Status::Due
            }
            SettlementEvent::SettlementStarted(e) => {
                self.attempt = e.attempt;
                Status::Started(e.method.clone())
            }
            SettlementEvent::SettlementSettled(e) => Status::Settled(e.movement.clone()),
            SettlementEvent::SettlementFailed(e) => Status::Failed(e.reason.clone()),
            SettlementEvent::SettlementQuarantined(e) => Status::Quarantined(e.reason.clone()),
            SettlementEvent::SettlementWithdrawn(_) => Status::Withdrawn,
            SettlementEvent::SettlementReinstated(_) => Status::Due,
            SettlementEvent::SettlementResolved(e) => match &e.resolution {
                Resolution::Moved { movement } => Status::Settled(movement.clone()),
                Resolution::NotMoved {} => Status::Due,
            },
        };
    }
}

#[cfg(test)]
mod tests;
