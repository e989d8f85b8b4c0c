//! What runs for the renter on the open volume.
//!
//! # Correctness
//! Every call may be repeated after any interruption. A workload belongs to a device and a lease and says so in a way
//! that outlives the agent; whatever does not say so is somebody else's and is never touched. The agent alone starts a
//! workload: nothing of it comes back by itself after a reboot.

pub mod docker;
mod services;

use std::path::Path;

use async_trait::async_trait;
use domain::{
    id::{DeviceId, Epoch},
    wire::StepResult,
};

pub use services::{Address, Services};

/// Whose workload it is, and what it needs.
#[derive(Clone, Copy)]
pub struct Tenancy<'a> {
    /// The device.
    pub device: DeviceId,
    /// The lease.
    pub epoch: Epoch,
    /// The renter's user name.
    pub user: &'a str,
    /// The renter's password; never shown.
    pub password: &'a str,
    /// The renter's files, on the open volume.
    pub data: &'a Path,
}

/// Why a workload does not run or is not gone; says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorkloadError(pub String);

/// Something that runs for renters.
#[async_trait]
pub trait Workload: Send {
    /// How `agent.json` calls its kind.
    fn kind(&self) -> &'static str;

    /// Makes the lease's workload run; does nothing when it runs already as it should.
    ///
    /// # Errors
    /// When it cannot run; what is there of it may be tried again.
    async fn run(&mut self, tenancy: &Tenancy<'_>) -> Result<(), WorkloadError>;

    /// Stops whatever of this device runs and keeps what it needs to run again.
    ///
    /// # Errors
    /// When something may still run.
    async fn stop(&mut self, device: DeviceId) -> Result<(), WorkloadError>;

    /// Stops and removes what is there of the device's leases up to `epoch`; says, as a receipt does, whether that was
    /// anything.
    ///
    /// # Errors
    /// When something is left.
    async fn remove(&mut self, device: DeviceId, epoch: Epoch)
    -> Result<(StepResult, String), WorkloadError>;

    /// The lease of this device whose workload runs right now, whoever started it.
    async fn running(&mut self, device: DeviceId) -> Option<Epoch>;

    /// Where the services of what runs for this device are; empty when nothing runs or nothing is offered.
    ///
    /// # Errors
    /// When it cannot be told now; what was told last may still be true.
    async fn services(&mut self, device: DeviceId) -> Result<Services, WorkloadError>;

    /// What stands in the way of running, for a human; empty when nothing does.
    async fn problems(&mut self) -> Vec<String>;
}

/// No workload: the lease is a directory and an address.
#[derive(Debug, Default)]
pub struct Nothing;

#[async_trait]
impl Workload for Nothing {
    fn kind(&self) -> &'static str {
        "none"
    }

    async fn run(&mut self, _: &Tenancy<'_>) -> Result<(), WorkloadError> {
        Ok(())
    }

    async fn stop(&mut self, _: DeviceId) -> Result<(), WorkloadError> {
        Ok(())
    }

    async fn remove(&mut self, _: DeviceId, _: Epoch) -> Result<(StepResult, String), WorkloadError> {
        Ok((StepResult::NothingThere, "no workload is configured".into()))
    }

    async fn running(&mut self, _: DeviceId) -> Option<Epoch> {
        None
    }

    async fn services(&mut self, _: DeviceId) -> Result<Services, WorkloadError> {
        Ok(Services::default())
    }

    async fn problems(&mut self) -> Vec<String> {
        Vec::new()
    }
}
