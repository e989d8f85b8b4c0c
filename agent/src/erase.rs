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
    heard::Warrant,
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
    let done = loop {
        let Held::Erasing { tombstone, prepared, boots, done } = &mut record.held else {
            return Err(EraseError::NotIntended(epoch));
        };
        if tombstone != warrant.envelope() {
            return Err(EraseError::NotIntended(epoch));
        }
        let Some(step) = STEPS.get(done.len()) else { break done.clone() };
        let result = step.perform(volume, epoch, *prepared, *boots)?;
        done.push(result);
        save(record)?;
    };
    let receipt = Receipt {
        v: wire::VERSION,
        device: warrant.device(),
        epoch,
        tombstone: warrant.digest(),
        volume: VOLUME_KIND.into(),
        steps: done,
        not_before: floor,
    };
    let receipt = SignedReceipt(wire::sign(&receipt, key));
    record.held = Held::Erased { receipt: Kept { epoch, receipt } };
    save(record)?;
    Ok(())
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
