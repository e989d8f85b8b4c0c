//! The SSH host keys of workloads, as devices report them, so that renters can check whom they reach.
//!
//! # Correctness
//! Only a poll that the lease's key has signed is listened to. A device reports its keys with every poll; they are written
//! when they differ from what this server wrote in the last minutes, and a report without keys changes nothing: the workload may be starting.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{
    id::{DeviceId, Epoch},
    wire::Reported,
};
use projections::private::PrivateError;
use tokio::time::Instant;

use crate::app::App;

/// Devices whose keys are remembered, so that most polls write nothing.
const MAX_KNOWN: usize = 50_000;

/// After this they are written again: another server may have written others meanwhile.
const REMEMBERED: Duration = Duration::from_secs(300);

/// What was written last.
#[derive(Debug, Default)]
pub struct HostKeys(Mutex<HashMap<DeviceId, Written>>);

#[derive(Debug)]
struct Written {
    epoch: Epoch,
    keys: Vec<String>,
    at: Instant,
}

/// Takes a device's report.
///
/// # Errors
/// When the private store fails.
pub async fn take(
    app: &App,
    device: DeviceId,
    epoch: Epoch,
    reported: &Reported,
) -> Result<(), PrivateError> {
    let keys = &reported.host_keys;
    if reported.epoch != epoch || keys.is_empty() || !reported.is_valid() {
        return Ok(());
    }
    {
        let mut known = app.host_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_written =
            |last: &Written| last.epoch == epoch && last.keys == *keys && last.at.elapsed() < REMEMBERED;
        if known.get(&device).is_some_and(is_written) {
            return Ok(());
        }
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(device, Written { epoch, keys: keys.clone(), at: Instant::now() });
    }
    let kept = app.private.keep_host_keys(device, epoch, keys).await;
    if kept.is_err() {
        app.host_keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }
    kept
}
