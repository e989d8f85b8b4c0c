//! What to do: the decision table as one pure function.
//!
//! # Shape
//! [`decide`] looks at what the device holds ([`Local`]), what it heard ([`Heard`]) and a lower bound of the time, and
//! names a row: first make [`Decision::next`] durable, then perform [`Decision::step`]. `fixtures/decisions.toml` holds
//! the same table as data.
//!
//! # Correctness
//! * No clock, no I/O, no dice; total: every state is matched with everything that can be heard, without a catch-all
//!   state.
//! * [`Step::Erase`] carries a [`Warrant`], which only a verified tombstone yields: silence cannot build one.
//! * A lease (`Leased`, or a label without a record) is left only by a tombstone that names its epoch, or by the owner's
//!   own [`Demand`] at the console.
//! * Erasing is left only by finishing or by quarantine.

use domain::{id::Epoch, time::Time};

use crate::heard::{Demand, Heard, Said, Warrant};

mod names;
mod rows;

pub use names::{Conflict, Row};

/// An erasure that did not finish in this many starts is left to a human.
pub const ERASE_BOOTS_MAX: u32 = 16;

/// What the record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No record and no label: nothing was ever held.
    Blank,
    /// Nothing is held; every epoch up to `floor` is over.
    Idle {
        /// The last epoch that is over.
        floor: Epoch,
        /// The epoch of the receipt that is kept.
        receipt: Option<Epoch>,
    },
    /// A lease was granted; its volume is not ready.
    Preparing {
        /// The lease.
        epoch: Epoch,
    },
    /// A lease is held.
    Leased {
        /// The lease.
        epoch: Epoch,
        /// The end of the paid time; none while unrented or after the server withheld its word.
        until: Option<Time>,
    },
    /// Erasing: the point of no return is behind.
    Erasing {
        /// What it acts on.
        warrant: Warrant,
        /// How often the agent started in this state.
        boots: u32,
    },
    /// Erased; the server has not confirmed the receipt.
    Erased {
        /// The lease.
        epoch: Epoch,
    },
    /// Erasing failed; a human must look.
    Quarantined {
        /// The lease.
        epoch: Epoch,
    },
    /// The owner erased the lease at the console before it ended.
    Forsaken {
        /// What it acts on.
        demand: Demand,
        /// Whether every step is done.
        finished: bool,
    },
    /// There is a label without a readable record, or an unreadable record.
    Unknown,
}

/// The label on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// There is none.
    Absent,
    /// It names a lease.
    Epoch(Epoch),
    /// There is one that cannot be read.
    Unreadable,
}

/// Whether the volume of the lease can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is open, or can be opened.
    Ready,
    /// It needs the server's half of its key.
    NoKey,
    /// It was tried just now and does not open.
    Broken,
}

/// What the device holds, seen just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// What the record says.
    pub state: State,
    /// The label on the volume.
    pub label: Label,
    /// Whether the volume can be opened.
    pub access: Access,
    /// The record cannot be written.
    pub impaired: bool,
    /// `agent.json` names another server or root key than the record.
    pub foreign_config: bool,
    /// The last word of this start was `Run` for this lease and has not lapsed.
    pub word_stands: bool,
    /// The owner or the renter lets paid leases resume without the server.
    pub offline_resume: bool,
}

/// What becomes durable before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The record stays.
    Same,
    /// Nothing is held up to this epoch.
    Idle {
        /// The last epoch that is over.
        floor: Epoch,
    },
    /// The lease is held.
    Leased {
        /// The lease.
        epoch: Epoch,
        /// The end of the paid time.
        until: Option<Time>,
    },
    /// The point of no return.
    Erasing(Warrant),
    /// A human must look.
    Quarantined {
        /// The lease.
        epoch: Epoch,
    },
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// The record moved on: decide once more on the same word.
    Again,
    /// Ask for a lease, or for the credentials of the lease that was granted.
    Register,
    /// Make the volume ready for the lease.
    Prepare(Epoch),
    /// Run the workload.
    Resume(Epoch),
    /// Stop the workload, keep the data.
    Seal,
    /// Go on erasing.
    Erase(Warrant),
    /// Go on erasing by the owner's demand.
    Forsake(Demand),
    /// Tell the server what was erased.
    SendReceipt,
}

impl Step {
    /// Its name in logs and in the table.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Again => "again",
            Self::Register => "register",
            Self::Prepare(_) => "prepare",
            Self::Resume(_) => "resume",
            Self::Seal => "seal",
            Self::Erase(_) => "erase",
            Self::Forsake(_) => "forsake",
            Self::SendReceipt => "send_receipt",
        }
    }
}

/// One row, applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The row.
    pub row: Row,
    /// Durable first.
    pub next: Next,
    /// Then done.
    pub step: Step,
    /// Told to the server and the log.
    pub conflict: Option<Conflict>,
}

/// Decides; `floor` is a time that is certainly reached.
#[must_use]
pub fn decide(local: &Local, heard: &Heard, floor: Time) -> Decision {
    let decision = rows::apply(local, heard, floor);
    if local.impaired { without_record(decision) } else { decision }
}

/// X1: what cannot be made durable is not done; running on and stopping need no record.
fn without_record(decision: Decision) -> Decision {
    let Decision { row, next, step, .. } = decision;
    let harmless = match step {
        Step::Resume(_) => matches!(row, Row::L1 | Row::L4 | Row::L5),
        Step::Seal => true,
        Step::Wait | Step::SendReceipt => next == Next::Same,
        Step::Again | Step::Register | Step::Prepare(_) | Step::Erase(_) | Step::Forsake(_) => false,
    };
    let step = if harmless { step } else { Step::Wait };
    Decision { row: Row::X1, next: Next::Same, step, conflict: Some(Conflict::Impaired) }
}

impl Decision {
    const fn of(row: Row, step: Step) -> Self {
        Self { row, next: Next::Same, step, conflict: None }
    }

    fn next(self, next: Next) -> Self {
        Self { next, ..self }
    }

    fn conflict(self, conflict: Conflict) -> Self {
        Self { conflict: Some(conflict), ..self }
    }

    fn erase(row: Row, warrant: &Warrant) -> Self {
        Self::of(row, Step::Erase(warrant.clone())).next(Next::Erasing(warrant.clone()))
    }
}

/// The lease that a verdict speaks of.
fn epoch_of(said: &Said) -> Option<Epoch> {
    match said {
        Said::Run { epoch, .. } | Said::Hold { epoch, .. } => Some(*epoch),
        Said::End(warrant) => Some(warrant.epoch()),
        Said::Vacant { .. } | Said::Stranger | Said::Moved => None,
    }
}
