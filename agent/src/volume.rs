//! The renter's volume and the label that fences it.
//!
//! # Shape
//! [`Volume`] is what the agent asks of one; [`directory`] and [`luks`] are the kinds. Erasing is a list of steps that
//! the record counts.
//!
//! # Correctness
//! * Every call that changes something names a device and an epoch and refuses a volume that is labelled otherwise: a
//!   mistake elsewhere in the agent cannot reach another lease's data, nor can a medium of another device be taken for
//!   one's own.
//! * A label is durable before a renter's first byte and is removed after the last, so data never lie unlabelled.
//! * What is not labelled and not empty is somebody else's and refused.
//! * Every call may be interrupted anywhere and repeated.

use std::{
    io,
    path::{Path, PathBuf},
};

use domain::{
    id::{DeviceId, Epoch},
    key::{Digest, PublicKey},
    wire::StepResult,
};
use serde::{Deserialize, Serialize};

use crate::{decide::Label, keyring::VolumeKey};

pub mod directory;
pub mod luks;
pub mod shared;

/// The label's content; enough to rebuild a lost record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The device.
    pub device: DeviceId,
    /// The lease.
    pub epoch: Epoch,
    /// The server that the device is leased by.
    pub server: String,
    /// Its root key.
    pub root: PublicKey,
}

/// What tells the volume of a lease from any other, and its data from what replaces them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// What stays the same however often it is erased.
    pub identity: String,
    /// Where data lie on the bare medium, and their digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<(u64, Digest)>,
}

/// What an erasure knows.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The device.
    pub device: DeviceId,
    /// The lease.
    pub epoch: Epoch,
    /// The volume that was prepared for it; none when none was.
    pub evidence: Option<&'a Evidence>,
    /// The key that opened it, where it is still in memory.
    pub key: Option<&'a VolumeKey>,
    /// Whether a start before this one may have done a part.
    pub again: bool,
}

/// Why the volume was not touched.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// It carries another label.
    #[error("the volume {} does not belong to lease {epoch}", path.display())]
    Fenced {
        /// The volume.
        path: PathBuf,
        /// The lease in whose name it was to be changed.
        epoch: Epoch,
    },
    /// There is something that is not a renter's.
    #[error("{} holds {what}; move it away or choose another volume", path.display())]
    Occupied {
        /// The volume.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// The volume of the lease is not there.
    #[error("the volume of lease {0} is not there; attach it")]
    Missing(Epoch),
    /// It needs a key that is not at hand.
    #[error("there is no key for the volume of lease {0}")]
    NoKey(Epoch),
    /// After all steps something is left.
    #[error("lease {epoch} is not erased: {left}")]
    NotErased {
        /// The lease.
        epoch: Epoch,
        /// What is left.
        left: String,
    },
    /// A program or the file system refused.
    #[error("the volume {}: {error}", path.display())]
    Io {
        /// The volume.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Where a renter's data lie.
pub trait Volume: Send {
    /// How receipts call its kind.
    fn kind(&self) -> &'static str;

    /// Where the renter's files are while it is open.
    fn data(&self) -> PathBuf;

    /// How much it can hold, in MiB.
    fn size_mib(&self) -> u64;

    /// The content of the label; `None` when there is no label or it tells no more than the epoch.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    fn owner(&self) -> Result<Option<Owner>, String>;

    /// What the decision table sees of the label.
    fn label(&self) -> Label;

    /// What is there now, to be found again at its erasure.
    fn evidence(&self) -> Option<Evidence>;

    /// Whether it opens with a key only.
    fn needs_key(&self) -> bool;

    /// Whether the renter's files can be reached now.
    fn is_open(&self) -> bool;

    /// Makes an empty volume for a lease and opens it; what is already prepared for it is only opened.
    fn prepare(&mut self, owner: &Owner, key: Option<&VolumeKey>) -> Result<(), VolumeError>;

    /// Opens the volume of a lease.
    fn open(&mut self, device: DeviceId, epoch: Epoch, key: Option<&VolumeKey>) -> Result<(), VolumeError>;

    /// Closes it; the data stay.
    fn close(&mut self) -> Result<(), VolumeError>;

    /// The names of the steps that erase it.
    fn steps(&self) -> &'static [&'static str];

    /// Performs one of [`Volume::steps`].
    fn erase(&mut self, step: usize, job: &Job<'_>) -> Result<(StepResult, String), VolumeError>;

    /// What stands in the way of using it, for a human; empty when nothing does.
    fn problems(&self) -> Vec<String>;
}

pub(crate) fn io_error(path: &Path) -> impl Fn(io::Error) -> VolumeError + '_ {
    |error| VolumeError::Io { path: path.to_owned(), error }
}
