//! The SSH host keys of workloads, as devices report them, so that renters can check whom they reach.
//!
//! # Correctness
//! Only a poll that the lease's key has signed is listened to. A device reports its keys with every poll; they are written
//! when they differ from what was written last, and a report without keys changes nothing: the workload may be starting.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::{
    id::{DeviceId, Epoch},
    wire::Reported,
};
use projections::private::PrivateError;

use crate::app::App;

/// Devices whose keys are remembered, so that most polls write nothing.
const MAX_KNOWN: usize = 50_000;

/// What was written last.
#[derive(Debug, Default)]
pub struct HostKeys(Mutex<HashMap<DeviceId, (Epoch, Vec<String>)>>);

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
        if known.get(&device).is_some_and(|(at, before)| *at == epoch && before == keys) {
            return Ok(());
        }
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(device, (epoch, keys.clone()));
    }
    let kept = app.private.keep_host_keys(device, epoch, keys).await;
    if kept.is_err() {
        app.host_keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }
    kept
}
