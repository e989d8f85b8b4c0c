//! The owner erases a lease at the console before it ended.

use anyhow::{Context, bail};
use domain::{id::Epoch, wire::EraseStep};
use tracing::warn;

use super::Agent;
use crate::{
    decide::{Label, State},
    heard::Demand,
    record::Held,
};

impl Agent {
    /// Erases the lease that is held, by the same steps and fences as after its end; a receipt follows the tombstone.
    ///
    /// # Errors
    /// When no lease is held, its erasure is under way already, or a step fails; then the agent goes on with it.
    pub async fn erase_on_demand(mut self) -> anyhow::Result<(Epoch, Vec<EraseStep>)> {
        let local = self.local();
        let epoch = match (local.state, local.label) {
            (State::Preparing { epoch } | State::Leased { epoch, .. }, _) => epoch,
            (State::Unknown, Label::Epoch(epoch)) => epoch,
            (State::Forsaken { demand, .. }, _) => demand.epoch(),
            (State::Erasing { warrant, .. }, _) => {
                bail!("lease {} has ended and is being erased; start the agent", warrant.epoch())
            }
            (State::Quarantined { epoch }, _) => {
                bail!("lease {epoch} could not be erased: see to its volume, then enrol the device anew")
            }
            (State::Unknown, Label::Unreadable) => {
                bail!(
                    "the volume's label cannot be read: see to it by hand, the agent touches no volume it does not know"
                )
            }
            (State::Blank | State::Idle { .. } | State::Erased { .. } | State::Unknown, _) => {
                bail!("this device holds no lease: there is nothing to erase")
            }
        };
        let demand = Demand::of(epoch);
        warn!(device = %self.shown_device(), epoch, "erasing by the owner's demand");
        if !self.forsaken(demand) {
            bail!("the record cannot be written, so nothing was erased");
        }
        self.forsake_all(demand).await.context("not everything is erased; start the agent, it goes on")?;
        match self.record.held {
            Held::Forsaken { done, .. } => Ok((epoch, done)),
            _ => bail!("the record changed under the erasure of lease {epoch}"),
        }
    }
}
