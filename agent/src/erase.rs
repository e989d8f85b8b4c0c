//! Erasing, in numbered steps.
//!
//! # Shape
//! The record is already `Erasing` when this runs: the intention is durable. Each step is done, then recorded; after a
//! restart the first unrecorded step is done again. The receipt lists every step and its result: first those of the
//! agent, then those of the volume's kind, of which the last verifies.
//!
//! | step | what |
//! |---|---|
//! | stop workload | nothing may hold files open |
//! | destroy device half | only of a locked volume |
//! | … | the volume's own steps |
//!
//! # Correctness
//! Every step may be interrupted and repeated. A volume that had been prepared and is not there is not called erased:
//! the agent waits for it. What does not verify is quarantined, never called erased.

use std::io;

use domain::{
    id::{DeviceId, Epoch},
    time::Time,
    wire::{self, EraseStep, Receipt, SignedReceipt, StepResult},
};
use ed25519_dalek::SigningKey;

use crate::{
    heard::{Demand, Warrant},
    keyring::Keyring,
    record::{Held, Kept, Record, Store},
    volume::{Evidence, Job, VolumeError, shared::Shared},
    workload::{Workload, WorkloadError},
};

/// Why an erasure is not finished.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The volume refused.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The workload cannot be removed.
    #[error("the workload cannot be removed: {0}")]
    Workload(#[from] WorkloadError),
    /// The device half cannot be destroyed.
    #[error("the device's half of the key cannot be destroyed: {0}")]
    Half(io::Error),
    /// A step could not be recorded.
    #[error("the record cannot be written: {0}")]
    Record(io::Error),
    /// There is nothing to go on with.
    #[error("the record does not hold the intention to erase lease {0}")]
    NotIntended(Epoch),
}

/// What an erasure works on.
pub struct Site<'a> {
    /// Where the record is kept.
    pub store: &'a mut Store,
    /// The renter's volume.
    pub volume: &'a Shared,
    /// What runs on it.
    pub workload: &'a mut dyn Workload,
    /// Its key.
    pub keyring: &'a mut Keyring,
}

impl Site<'_> {
    /// Goes on erasing until the record is `Erased`, which is made durable after every step.
    ///
    /// # Errors
    /// When a step fails; what is recorded stays valid and the call may be repeated.
    pub async fn erase(
        &mut self,
        record: &mut Record,
        warrant: &Warrant,
        key: &SigningKey,
        floor: Time,
    ) -> Result<(), EraseError> {
        let epoch = warrant.epoch();
        match &record.held {
            Held::Erasing { tombstone, .. } if tombstone == warrant.envelope() => {}
            _ => return Err(EraseError::NotIntended(epoch)),
        }
        self.perform_all(record, warrant.device(), epoch).await?;
        let Held::Erasing { earlier, done, .. } = &record.held else {
            return Err(EraseError::NotIntended(epoch));
        };
        let receipt = Receipt {
            v: wire::VERSION,
            device: warrant.device(),
            epoch,
            tombstone: warrant.digest(),
            volume: self.volume.look(|volume| volume.kind().to_owned()),
            steps: [earlier.as_slice(), done].concat(),
            not_before: floor,
        };
        let receipt = SignedReceipt(wire::sign(&receipt, key));
        record.held = Held::Erased { receipt: Kept { epoch, receipt } };
        self.save(record)?;
        self.keyring.forget();
        Ok(())
    }

    /// Erases by the owner's demand; the record must be `Forsaken` and durable, and stays so: there is no receipt before
    /// the lease has ended.
    ///
    /// # Errors
    /// As [`Site::erase`].
    pub async fn forsake(&mut self, record: &mut Record, demand: Demand) -> Result<(), EraseError> {
        let epoch = demand.epoch();
        match (&record.held, record.device) {
            (Held::Forsaken { epoch: begun, .. }, Some(device)) if *begun == epoch => {
                self.perform_all(record, device, epoch).await?;
            }
            _ => return Err(EraseError::NotIntended(epoch)),
        }
        if let Held::Forsaken { finished, .. } = &mut record.held {
            *finished = true;
        }
        self.save(record)?;
        self.keyring.forget();
        Ok(())
    }

    fn save(&mut self, record: &Record) -> Result<(), EraseError> {
        self.store.save(record).map_err(EraseError::Record)
    }

    async fn perform_all(
        &mut self,
        record: &mut Record,
        device: DeviceId,
        epoch: Epoch,
    ) -> Result<(), EraseError> {
        loop {
            let (volume, boots, done) = match &record.held {
                Held::Erasing { volume, boots, done, .. } => (volume, *boots, done.len()),
                Held::Forsaken { volume, done, .. } => (volume, 0, done.len()),
                _ => return Err(EraseError::NotIntended(epoch)),
            };
            let (volume, workload) = (volume.clone(), record.workload.clone());
            let work = Work { device, epoch, volume, workload, again: boots > 0 };
            let Some(step) = self.perform(done, work).await? else { return Ok(()) };
            if let Held::Erasing { done, .. } | Held::Forsaken { done, .. } = &mut record.held {
                done.push(step);
            }
            self.save(record)?;
        }
    }

    /// Performs step `n`; `None` when there is no such step.
    async fn perform(&mut self, n: usize, work: Work) -> Result<Option<EraseStep>, EraseError> {
        let (needs_key, steps) = self.volume.look(|volume| (volume.needs_key(), volume.steps()));
        let own = if needs_key { 2 } else { 1 };
        Ok(Some(match n {
            0 if !["", self.workload.kind()].contains(&work.workload.as_str()) => {
                let was = &work.workload;
                let text =
                    format!("it was of the kind {was:?}: put that back into agent.json until it is erased");
                return Err(WorkloadError(text).into());
            }
            0 => {
                let (result, detail) = self.workload.remove(work.device, work.epoch).await?;
                EraseStep { step: "stop workload".into(), result, detail: short(detail) }
            }
            1 if needs_key => {
                self.keyring.remember(work.device, work.epoch);
                let kept = self.keyring.ever_kept(work.epoch);
                let there = self.keyring.destroy(work.epoch).map_err(EraseError::Half)?;
                let detail = match (there, kept) {
                    (true, true) => {
                        "overwritten, and offline resume had kept the server's half here: best effort"
                    }
                    (true, false) => "overwritten; the server's half was never kept here",
                    (false, _) if work.again => "there was none left",
                    (false, _) => "there was none",
                };
                let result = if there { StepResult::Done } else { StepResult::NothingThere };
                EraseStep { step: "destroy device half".into(), result, detail: detail.into() }
            }
            n => {
                let n = n - own;
                let Some(name) = steps.get(n) else { return Ok(None) };
                let key = self.keyring.old_key(work.epoch);
                let done = self.volume.work(move |volume| {
                    let evidence = work.volume.as_ref();
                    let job = Job {
                        device: work.device,
                        epoch: work.epoch,
                        evidence,
                        key: key.as_ref(),
                        again: work.again,
                    };
                    volume.erase(n, &job)
                });
                let (result, detail) = done.await?;
                EraseStep { step: (*name).to_owned(), result, detail: short(detail) }
            }
        }))
    }
}

struct Work {
    device: DeviceId,
    epoch: Epoch,
    volume: Option<Evidence>,
    workload: String,
    again: bool,
}

/// Within what a receipt may say.
fn short(mut text: String) -> String {
    let end = (0..=wire::MAX_STEP_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

/// How a receipt tells what the owner had erased before the lease ended.
pub(crate) fn after_demand(epoch: Epoch, done: Vec<EraseStep>) -> Vec<EraseStep> {
    let detail = format!("the owner erased lease {epoch} at the device before it ended; those steps follow");
    let demand = EraseStep { step: "owner's demand".into(), result: StepResult::Done, detail };
    std::iter::once(demand).chain(done).collect()
}
