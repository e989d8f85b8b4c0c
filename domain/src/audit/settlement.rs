//! One settlement: its steps against what its rules allow.

use crate::{
    aggregate::{Aggregate, Decision},
    event::Events,
    id::SettlementId,
    settlement::{Settlement, SettlementCommand, SettlementDue, SettlementEvent, Status},
    time::Time,
};

/// A settlement's state.
#[derive(Debug, Default)]
pub(super) struct SettlementAudit {
    state: Settlement,
}

impl SettlementAudit {
    /// Whether nothing more can happen to it.
    pub(super) const fn is_over(&self) -> bool {
        // What was withdrawn may be reinstated.
        matches!(self.state.status(), Status::Settled(_))
    }

    /// What is still to be paid when less moved than was due.
    pub(super) fn rest(&self, id: SettlementId) -> Option<(SettlementId, SettlementDue)> {
        self.state.rest(id)
    }

    /// Asks the rules for the step that the event records: they must lead to that very event.
    pub(super) fn next(&mut self, event: &SettlementEvent) -> Vec<String> {
        let command = match event.clone() {
            SettlementEvent::SettlementDue(e) => SettlementCommand::Due(e),
            SettlementEvent::SettlementStarted(e) => SettlementCommand::Start { method: e.method },
            SettlementEvent::SettlementSettled(e) => {
                SettlementCommand::Settle { attempt: e.attempt, movement: e.movement }
            }
            SettlementEvent::SettlementFailed(e) => {
                SettlementCommand::Fail { attempt: e.attempt, reason: e.reason }
            }
            SettlementEvent::SettlementQuarantined(e) => {
                SettlementCommand::Quarantine { attempt: e.attempt, reason: e.reason }
            }
            SettlementEvent::SettlementResolved(e) => {
                SettlementCommand::Resolve { resolution: e.resolution, note: e.note }
            }
            SettlementEvent::SettlementWithdrawn(_) => SettlementCommand::Withdraw,
            SettlementEvent::SettlementReinstated(_) => SettlementCommand::Reinstate,
        };
        let decided = self.state.decide(command, Time::MIN);
        let fits = decided == Ok(Decision::event(event.clone()));
        let fault = (!fits).then(|| match decided {
            Err(refusal) => format!("{} is not allowed here: {refusal}", event.kind()),
            Ok(Decision::AlreadyDone) => format!("{} had happened before", event.kind()),
            Ok(Decision::Events(_)) => {
                format!("{} does not say what follows from its settlement", event.kind())
            }
        });
        self.state.apply(event);
        fault.into_iter().collect()
    }
}
