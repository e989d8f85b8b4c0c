//! Which containers are this device's.
//!
//! # Correctness
//! A container is ours when all its labels say so, whatever its name is; every other container is somebody else's, and no
//! call that changes it is ever made. Labels outlive the agent.
//!
//! | label | value |
//! |---|---|
//! | `berth.managed` | `agent` |
//! | `berth.device` | the device's id |
//! | `berth.epoch` | the lease |
//! | `berth.role` | `workload`, or `seed`: never started, read once to fill the volume |
//! | `berth.spec` | digest of what the container was made from (`workload` only) |

mod change;
mod label;

use std::{collections::HashMap, path::PathBuf};

use bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum as State},
    query_parameters::ListContainersOptionsBuilder,
};
use domain::id::{DeviceId, Epoch};

use super::engine::{Engine, Failure};
pub(super) use change::{is_settled, remove, stop};
pub(super) use label::{Role, labels, name};

/// A container of this device.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) epoch: Epoch,
    pub(super) role: Role,
    pub(super) spec: Option<String>,
    pub(super) state: State,
    sources: Vec<PathBuf>,
}

impl Owned {
    fn of(summary: ContainerSummary, device: DeviceId) -> Option<Self> {
        let labels = summary.labels.unwrap_or_default();
        let (epoch, role) = label::read(&labels, device)?;
        let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        let mounts = summary.mounts.unwrap_or_default();
        Some(Self {
            id: summary.id?,
            name: name.trim_start_matches('/').to_owned(),
            epoch,
            role,
            spec: labels.get(label::SPEC).cloned(),
            state: summary.state.unwrap_or(State::EMPTY),
            sources: mounts.into_iter().filter_map(|m| m.source).map(Into::into).collect(),
        })
    }

    /// Whether any process of it may be alive.
    pub(super) const fn runs(&self) -> bool {
        matches!(self.state, State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING)
    }

    /// Whether it can be started, or runs: it is not on its way out and everything mounted into it is there.
    pub(super) fn is_usable(&self) -> bool {
        match self.state {
            State::REMOVING | State::DEAD => false,
            _ => self.runs() || self.sources.iter().all(|source| source.is_dir()),
        }
    }
}

/// Every container of this device, also stopped and half-made ones.
pub(super) async fn list(engine: &Engine, device: DeviceId) -> Result<Vec<Owned>, Failure> {
    let filters = HashMap::from([("label".to_owned(), label::filter(device))]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let found = engine.call("list containers", engine.docker().list_containers(Some(options))).await?;
    Ok(found.into_iter().filter_map(|summary| Owned::of(summary, device)).collect())
}
