//! The server's halves of volume keys: made with the lease, handed out while it runs, destroyed after it.
//!
//! # Shape
//! A half is made just before its lease is granted and kept sealed in a file of its own ([`Halves`]). It is destroyed when
//! the device's receipt arrives, when the appeal window after the lease's end is over even if the device never returns,
//! or at once when the renter asks for that.
//!
//! # Correctness
//! No half is made for a lease that was granted: a device whose half is gone is told to run without one, and a second
//! half, which would open nothing, cannot come to be. Destroying starts from the ledger's word that the lease is over,
//! which stays true for ever. Then the half is deleted, durably, and only then recorded; what it was stays in the file
//! until the ledger has it, and the next run of the job goes on from whichever step was the last.
//!
//! [`Halves`]: projections::halves::Halves

use domain::{
    device::{Device, DeviceCommand, KeyEnd},
    event::Position,
    id::{DeviceId, Epoch},
    key::{PublicKey, SealedHalf},
    wire::KeyHalf,
};
use zeroize::Zeroizing;

use crate::{
    app::App,
    clock::{Dice, random},
    error::Problem,
    execute::By,
};

/// What a human is called for when the halves of granted leases are gone.
pub const LOST: &str = "key halves lost";

fn context(device: DeviceId, epoch: Epoch) -> String {
    format!("key half {device} {epoch}")
}

/// Makes the half of a lease that is about to be granted; one that was made before stays.
///
/// # Errors
/// When the halves cannot be written.
pub async fn make(app: &App, device: DeviceId, epoch: Epoch) -> Result<(), Problem> {
    if app.halves.half(device, epoch).await?.is_some() {
        return Ok(());
    }
    let mut bytes = Zeroizing::new([0; 32]);
    random(bytes.as_mut_slice());
    let half = KeyHalf::new(*bytes);
    let sealed = app.keys.seal(&context(device, epoch), half.reveal());
    Ok(app.halves.keep(device, epoch, &sealed, half.commitment()).await?)
}

/// A lease's half, sealed to the device key that holds the lease; none when it is gone.
///
/// # Errors
/// When the halves cannot be read.
pub async fn hand_out(
    app: &App,
    device: DeviceId,
    epoch: Epoch,
    to: &PublicKey,
) -> Result<Option<SealedHalf>, Problem> {
    // A workload that runs goes on without the half: that must not hang on a file or a key that an operator can restore.
    let sealed = match app.halves.sealed(device, epoch).await {
        Ok(Some(sealed)) => sealed,
        Ok(None) => return Ok(None),
        Err(e) => {
            tracing::error!(%device, epoch, error = %e, "the key halves cannot be read");
            return Ok(None);
        }
    };
    let opened = match app.keys.unseal(&context(device, epoch), &sealed) {
        Ok(opened) => Zeroizing::new(opened),
        Err(e) => {
            tracing::error!(%device, epoch, error = %e, "a key half cannot be handed out");
            return Ok(None);
        }
    };
    let bytes = Zeroizing::new(<[u8; 32]>::try_from(opened.as_slice()).map_err(|e| Problem::internal(&e))?);
    Ok(KeyHalf::new(*bytes).seal(to, device, epoch, &mut Dice))
}

/// Destroys the half of a lease that is over, and records it; the position of that record.
///
/// # Errors
/// When the lease is not over, or the halves or the log cannot be written.
pub async fn destroy(
    app: &App,
    device: DeviceId,
    epoch: Epoch,
    why: KeyEnd,
    by: &By,
) -> Result<Option<Position>, Problem> {
    let state = app.executor.load::<Device>(&device).await?.state;
    if !state.is_over(epoch) {
        return Err(domain::device::DeviceRefusal::LeaseRunning.into());
    }
    app.halves.lease_ended(device, epoch, app.clock.time()).await?;
    let Some((commitment, why)) = app.halves.destroy(device, epoch, why).await? else { return Ok(None) };
    let command = DeviceCommand::RecordKeyDestroyed { epoch, commitment, why };
    let done = app.executor.execute::<Device>(&device, command, by).await?;
    app.halves.recorded(device, epoch).await?;
    tracing::info!(%device, epoch, ?why, "the server's half of a volume key is destroyed");
    Ok(done.position)
}
