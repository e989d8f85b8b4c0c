//! A LUKS2 volume on a partition or a file.
//!
//! # Shape
//! ```text
//! header: label berth-lease-<epoch>, then, when all is ready, a token with the owner
//! data:   ext4, mounted at <state directory>/mount; the renter's files in its data/
//! tail:   32 KiB that no file system uses, with random blocks: the canaries
//! ```
//!
//! # Correctness
//! * The token is written last and at once: a volume without it was never given to a renter and may be formatted anew;
//!   one with it is never formatted, whatever the record says.
//! * A medium that is not empty and not labelled is somebody else's and refused.
//! * Erasing does not trust one method: key slots, blocks and both ends go, and the canaries must have changed. What
//!   makes it certain is the server's half of the key, which was never on this medium.

use std::{io, path::PathBuf};

use domain::{
    id::{DeviceId, Epoch},
    key::Digest,
    wire::StepResult,
};
use serde_json::json;

use super::{Evidence, Job, Owner, Volume, VolumeError, io_error};
use crate::{decide::Label, dice, keyring::VolumeKey};

mod blocks;
mod erase;
pub mod header;
mod system;
mod tool;

pub use blocks::Blocks;
use erase::{ENDS, STEPS};
use header::Header;
pub use system::System;

/// The smallest medium, in bytes.
const SIZE_MIN: u64 = 4 * ENDS;
/// The tail that is left to the canaries, in bytes.
const TAIL: u64 = 1 << 14;
/// The length of a canary, in bytes.
const CANARY: usize = 4_096;
/// The first part of a header, which names it, in bytes.
const BINARY: usize = 4_096;
/// Where the data begin, in bytes: `cryptsetup`'s default.
const DATA: u64 = 16 << 20;
/// Written or looked at at once.
const CHUNK: usize = 1 << 20;

/// A LUKS volume.
pub struct Luks {
    path: PathBuf,
    mount: PathBuf,
    blocks: Box<dyn Blocks>,
}

impl Luks {
    /// The volume on `blocks`, called `path` to humans, to be mounted at `mount`.
    #[must_use]
    pub fn new(path: PathBuf, mount: PathBuf, blocks: Box<dyn Blocks>) -> Self {
        Self { path, mount, blocks }
    }

    fn io(&self, error: io::Error) -> VolumeError {
        io_error(&self.path)(error)
    }

    fn header(&self) -> io::Result<Header> {
        if self.blocks.size()?.is_none() {
            return Ok(Header::Absent);
        }
        header::read(|at, length| self.blocks.read(at as u64, length))
    }

    fn size(&self, epoch: Epoch) -> Result<u64, VolumeError> {
        self.blocks.size().map_err(|e| self.io(e))?.ok_or(VolumeError::Missing(epoch))
    }

    fn fenced(&self, epoch: Epoch) -> VolumeError {
        VolumeError::Fenced { path: self.path.clone(), epoch }
    }

    fn fence(&self, device: DeviceId, epoch: Epoch) -> Result<Header, VolumeError> {
        match self.header().map_err(|e| self.io(e))? {
            Header::Unreadable(_) => Err(self.fenced(epoch)),
            Header::Lease { epoch: label, .. } if label != epoch => Err(self.fenced(epoch)),
            Header::Lease { owner: Some(owner), .. } if owner.device != device => Err(self.fenced(epoch)),
            header => Ok(header),
        }
    }

    /// What a medium without a header of ours holds; none when both its ends are empty.
    fn used(&self) -> io::Result<Option<String>> {
        if let Some(what) = self.blocks.foreign()? {
            return Ok(Some(what));
        }
        let size = self.blocks.size()?.unwrap_or(0);
        // Not where the rest of the header and the key slots lie: formatting that was cut off leaves pieces there.
        for (at, length) in [(0, BINARY), (DATA, CHUNK), (size.saturating_sub(CHUNK as u64), CHUNK)] {
            if self.blocks.read(at, length)?.iter().any(|b| *b != 0) {
                return Ok(Some("data; an empty one is zeros, as `blkdiscard --zeroout` makes it".into()));
            }
        }
        Ok(None)
    }

    /// Where the canaries lie on the bare medium: in its last [`TAIL`] bytes.
    fn canary_offsets(size: u64) -> impl Iterator<Item = u64> {
        let first = size.saturating_sub(TAIL) / CANARY as u64;
        (first..first + TAIL / CANARY as u64).map(|n| n * CANARY as u64)
    }

    fn format(&mut self, owner: &Owner, key: &VolumeKey) -> io::Result<()> {
        self.shut()?;
        self.blocks.format(&header::label(owner.epoch), key)?;
        self.blocks.map(key)?;
        let size = self.blocks.mapped_size()?;
        let used = size.saturating_sub(2 * TAIL);
        let canaries: Vec<u8> = (0..2 * TAIL).step_by(CANARY).flat_map(|_| dice::bytes::<CANARY>()).collect();
        self.blocks.write_mapped(used, &canaries)?;
        self.blocks.make_file_system(used)?;
        let token = json!({ "type": header::TOKEN, "keyslots": [], "owner": owner });
        self.blocks.add_token(&token.to_string())
    }

    fn shut(&mut self) -> io::Result<bool> {
        let was_open = self.blocks.is_mapped();
        if self.blocks.is_mounted(&self.mount) {
            self.blocks.unmount(&self.mount)?;
        }
        if self.blocks.is_mapped() {
            self.blocks.unmap()?;
        }
        Ok(was_open)
    }
}

impl Volume for Luks {
    fn kind(&self) -> &'static str {
        "luks"
    }

    fn data(&self) -> PathBuf {
        self.mount.join("data")
    }

    fn size_mib(&self) -> u64 {
        self.blocks.size().ok().flatten().unwrap_or(0) >> 20
    }

    fn owner(&self) -> Result<Option<Owner>, String> {
        match self.header() {
            Ok(Header::Absent | Header::Torn) => Ok(None),
            Ok(Header::Lease { owner, .. }) => Ok(owner),
            Ok(Header::Unreadable(why)) => Err(why),
            Err(e) => Err(e.to_string()),
        }
    }

    fn label(&self) -> Label {
        match self.header() {
            Ok(Header::Absent | Header::Torn) => Label::Absent,
            Ok(Header::Lease { epoch, .. }) => Label::Epoch(epoch),
            Ok(Header::Unreadable(_)) | Err(_) => Label::Unreadable,
        }
    }

    fn evidence(&self) -> Option<Evidence> {
        let size = self.blocks.size().ok().flatten()?;
        let Ok(Header::Lease { uuid, .. }) = self.header() else { return None };
        let block = |at| self.blocks.read(at, CANARY).ok().map(|bytes| (at, bytes));
        let blocks = Self::canary_offsets(size).map(block).collect::<Option<Vec<_>>>()?;
        let written = blocks.iter().filter(|(_, bytes)| bytes.iter().any(|b| *b != 0));
        let canaries = written.map(|(at, bytes)| (*at, Digest::of(bytes))).collect();
        Some(Evidence { identity: uuid, canaries })
    }

    fn needs_key(&self) -> bool {
        true
    }

    fn is_open(&self) -> bool {
        self.blocks.is_mapped() && self.blocks.is_mounted(&self.mount)
    }

    fn prepare(&mut self, owner: &Owner, key: Option<&VolumeKey>) -> Result<(), VolumeError> {
        let epoch = owner.epoch;
        if self.size(epoch)? < SIZE_MIN {
            return Err(self.io(io::Error::other(format!("it must have at least {} MiB", SIZE_MIN >> 20))));
        }
        let key = key.ok_or(VolumeError::NoKey(epoch))?;
        let ready = match self.fence(owner.device, epoch)? {
            Header::Lease { owner, .. } => owner.is_some(),
            Header::Torn | Header::Unreadable(_) => false,
            Header::Absent => match self.used().map_err(|e| self.io(e))? {
                Some(what) => return Err(VolumeError::Occupied { path: self.path.clone(), what }),
                None => false,
            },
        };
        if !ready {
            self.format(owner, key).map_err(|e| self.io(e))?;
        }
        self.open(owner.device, epoch, Some(key))
    }

    fn open(&mut self, device: DeviceId, epoch: Epoch, key: Option<&VolumeKey>) -> Result<(), VolumeError> {
        self.size(epoch)?;
        match self.fence(device, epoch)? {
            Header::Lease { owner: Some(_), .. } => {}
            Header::Lease { owner: None, .. } | Header::Absent | Header::Torn | Header::Unreadable(_) => {
                return Err(self.fenced(epoch));
            }
        }
        if !self.blocks.is_mapped() {
            let key = key.ok_or(VolumeError::NoKey(epoch))?;
            self.blocks.map(key).map_err(|e| self.io(e))?;
        }
        let (mount, data) = (self.mount.clone(), self.data());
        if !self.blocks.is_mounted(&mount) {
            self.blocks.mount(&mount).map_err(|e| self.io(e))?;
        }
        self.blocks.make_directory(&data).map_err(|e| self.io(e))
    }

    fn close(&mut self) -> Result<(), VolumeError> {
        self.shut().map(|_| ()).map_err(|e| self.io(e))
    }

    fn steps(&self) -> &'static [&'static str] {
        &STEPS
    }

    fn erase(&mut self, step: usize, job: &Job<'_>) -> Result<(StepResult, String), VolumeError> {
        self.erase_step(step, job)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.blocks.problems();
        match self.blocks.size() {
            Ok(None) => problems.push(format!("{} is not there", self.path.display())),
            Ok(Some(size)) if size < SIZE_MIN => {
                problems.push(format!("{} must have at least {} MiB", self.path.display(), SIZE_MIN >> 20));
            }
            Ok(Some(_)) if self.header().is_ok_and(|header| header == Header::Absent) => match self.used() {
                Ok(None) => {}
                Ok(Some(what)) => {
                    problems.push(VolumeError::Occupied { path: self.path.clone(), what }.to_string());
                }
                Err(e) => problems.push(format!("{}: {e}", self.path.display())),
            },
            Ok(Some(_)) => {}
            Err(e) => problems.push(format!("{}: {e}", self.path.display())),
        }
        problems
    }
}
