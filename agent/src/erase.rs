//! Erasing, in numbered steps.
//!
//! # Shape
//! The record is already `Erasing` when this runs: the intention is durable. Each step is done, then recorded; after a
//! restart the first unrecorded step is done again. The receipt lists every step and its result.
//!
//! | step | what |
//! |---|---|
//! | stop workload | nothing may hold files open |
//! | remove files | everything but the label |
//! | remove label | the volume belongs to nobody |
//! | discard blocks | not possible for a directory, and said so |
//! | verify empty | else quarantine instead of a receipt |
//!
//! # Correctness
//! Every step may be interrupted and repeated. A volume that had been prepared and is not there is not called erased:
//! the agent waits for it.

use std::io;

use domain::{
    id::Epoch,
    time::Time,
    wire::{self, EraseStep, Receipt, SignedReceipt, StepResult},
};
use ed25519_dalek::SigningKey;

use crate::{
    decide::Label,
    heard::{Demand, Warrant},
    record::{Held, Kept, Record},
    volume::{Volume, VolumeError},
};

/// The kind of volume, as receipts call it.
const VOLUME_KIND: &str = "directory";
const STEPS: [Step; 5] =
    [Step::StopWorkload, Step::RemoveFiles, Step::RemoveLabel, Step::DiscardBlocks, Step::VerifyEmpty];

#[derive(Clone, Copy)]
enum Step {
    StopWorkload,
    RemoveFiles,
    RemoveLabel,
    DiscardBlocks,
    VerifyEmpty,
}

/// Why an erasure is not finished.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The volume refused.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The prepared volume is not there.
    #[error("the volume of lease {0} is not there; attach it")]
    Missing(Epoch),
    /// After all steps something is left.
    #[error("lease {0} is not erased: the volume is not empty after all steps")]
    NotEmpty(Epoch),
    /// A step could not be recorded.
    #[error("the record cannot be written: {0}")]
    Record(#[from] io::Error),
    /// There is nothing to go on with.
    #[error("the record does not hold the intention to erase lease {0}")]
    NotIntended(Epoch),
}

/// Goes on erasing until the record is `Erased`; `save` makes it durable after every step.
///
/// # Errors
/// When a step fails; what is recorded stays valid and the call may be repeated.
pub fn run(
    record: &mut Record,
    warrant: &Warrant,
    volume: &Volume,
    key: &SigningKey,
    floor: Time,
    mut save: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(), EraseError> {
    let epoch = warrant.epoch();
    match &record.held {
        Held::Erasing { tombstone, .. } if tombstone == warrant.envelope() => {}
        _ => return Err(EraseError::NotIntended(epoch)),
    }
    perform_all(record, epoch, volume, &mut save)?;
    let Held::Erasing { earlier, done, .. } = &record.held else {
        return Err(EraseError::NotIntended(epoch));
    };
    let receipt = Receipt {
        v: wire::VERSION,
        device: warrant.device(),
        epoch,
        tombstone: warrant.digest(),
        volume: VOLUME_KIND.into(),
        steps: [earlier.as_slice(), done].concat(),
        not_before: floor,
    };
    let receipt = SignedReceipt(wire::sign(&receipt, key));
    record.held = Held::Erased { receipt: Kept { epoch, receipt } };
    save(record)?;
    Ok(())
}

/// Erases by the owner's demand; the record must be `Forsaken` and durable, and stays so: there is no receipt before the
/// lease has ended.
///
/// # Errors
/// As [`run`].
pub fn forsake(
    record: &mut Record,
    demand: Demand,
    volume: &Volume,
    mut save: impl FnMut(&Record) -> io::Result<()>,
) -> Result<(), EraseError> {
    match record.held {
        Held::Forsaken { epoch, .. } if epoch == demand.epoch() => {
            perform_all(record, epoch, volume, &mut save)
        }
        _ => Err(EraseError::NotIntended(demand.epoch())),
    }
}

fn perform_all(
    record: &mut Record,
    epoch: Epoch,
    volume: &Volume,
    save: &mut impl FnMut(&Record) -> io::Result<()>,
) -> Result<(), EraseError> {
    loop {
        let (prepared, boots, done) = match &mut record.held {
            Held::Erasing { prepared, boots, done, .. } => (*prepared, *boots, done),
            Held::Forsaken { prepared, done, .. } => (*prepared, 0, done),
            _ => return Err(EraseError::NotIntended(epoch)),
        };
        let Some(step) = STEPS.get(done.len()) else { return Ok(()) };
        done.push(step.perform(volume, epoch, prepared, boots)?);
        save(record)?;
    }
}

/// Whether all steps are done.
pub(crate) const fn is_finished(done: &[EraseStep]) -> bool {
    done.len() >= STEPS.len()
}

/// How a receipt tells what the owner had erased before the lease ended.
pub(crate) fn after_demand(epoch: Epoch, done: Vec<EraseStep>) -> Vec<EraseStep> {
    let detail = format!("the owner erased lease {epoch} at the device before it ended; those steps follow");
    let demand = EraseStep { step: "owner's demand".into(), result: StepResult::Done, detail };
    std::iter::once(demand).chain(done).collect()
}

impl Step {
    fn perform(
        self,
        volume: &Volume,
        epoch: Epoch,
        prepared: bool,
        boots: u32,
    ) -> Result<EraseStep, EraseError> {
        use StepResult::{Done, NothingThere, Unsupported};
        let (result, detail) = match self {
            Self::StopWorkload => (NothingThere, "no workload is configured".to_owned()),
            Self::RemoveFiles => {
                if prepared && volume.label() == Label::Absent {
                    return Err(EraseError::Missing(epoch));
                }
                let removed = volume.remove_files(epoch)?;
                let again = if boots > 0 { "; counted after a restart" } else { "" };
                let nothing = removed.files == 0 && removed.directories == 0;
                let result = if nothing { NothingThere } else { Done };
                let (files, directories, bytes) = (removed.files, removed.directories, removed.bytes);
                (
                    result,
                    format!("removed {files} files with {bytes} bytes and {directories} directories{again}"),
                )
            }
            Self::RemoveLabel => match volume.remove_label(epoch)? {
                true => (Done, format!("removed the label of lease {epoch}")),
                false => (NothingThere, "there was no label".to_owned()),
            },
            Self::DiscardBlocks => (
                Unsupported,
                "a directory has no blocks of its own: what flash keeps of removed files is not erased"
                    .to_owned(),
            ),
            Self::VerifyEmpty if volume.is_empty()? => {
                (Done, "neither a file nor a label is left".to_owned())
            }
            Self::VerifyEmpty => return Err(EraseError::NotEmpty(epoch)),
        };
        Ok(EraseStep { step: self.name().into(), result, detail })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::StopWorkload => "stop workload",
            Self::RemoveFiles => "remove files",
            Self::RemoveLabel => "remove label",
            Self::DiscardBlocks => "discard blocks",
            Self::VerifyEmpty => "verify empty",
        }
    }
}
