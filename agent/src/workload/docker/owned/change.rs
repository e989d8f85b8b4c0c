//! Stopping and removing, of this device's containers only.

use std::time::Duration;

use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use domain::id::DeviceId;
use tokio::time::sleep;

use super::{Owned, list};
use crate::workload::docker::engine::{Engine, Failure, within};

/// How often is looked again at a state that the engine is just changing.
const LOOKS_MAX: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Asks a container to end and kills it after `grace_s`.
pub(in super::super) async fn stop(engine: &Engine, container: &Owned, grace_s: u32) -> Result<(), Failure> {
    let what = format!("stop {}", container.name);
    let grace = Duration::from_secs(grace_s.into());
    let client = engine.patient(grace);
    let options = StopContainerOptionsBuilder::default().t(i32::try_from(grace_s).unwrap_or(0)).build();
    let limit = engine.patience.call + grace;
    match within(limit, &what, client.stop_container(&container.id, Some(options))).await {
        Ok(()) => return Ok(()),
        Err(failure) if failure.is_absent() => return Ok(()),
        Err(_) => {}
    }
    // What cannot be asked is killed.
    let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
    match engine.call(&what, engine.docker().kill_container(&container.id, Some(options))).await {
        // A conflict: it does not run any more.
        Err(failure) if !failure.is_absent() && !failure.is_conflict() => Err(failure),
        _ => Ok(()),
    }
}

/// Kills and removes a container with what the engine made for it, and sees it gone.
pub(in super::super) async fn remove(
    engine: &Engine,
    device: DeviceId,
    container: &Owned,
) -> Result<(), Failure> {
    let what = format!("remove {}", container.name);
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match engine.call(&what, engine.docker().remove_container(&container.id, Some(options))).await {
        // A conflict: it is being removed already.
        Err(failure) if !failure.is_absent() && !failure.is_conflict() => return Err(failure),
        _ => {}
    }
    if is_settled(engine, device, |all| all.iter().all(|c| c.id != container.id)).await? {
        return Ok(());
    }
    let name = &container.name;
    Err(Failure::new(format!("container {name} is still there; remove it with: docker rm -f {name}")))
}

/// Looks at this device's containers until they are as they should be, for a while.
pub(in super::super) async fn is_settled(
    engine: &Engine,
    device: DeviceId,
    fine: impl Fn(&[Owned]) -> bool + Send,
) -> Result<bool, Failure> {
    for look in 0..LOOKS_MAX {
        if look > 0 {
            sleep(LOOK_EVERY).await;
        }
        if fine(&list(engine, device).await?) {
            return Ok(true);
        }
    }
    Ok(false)
}
