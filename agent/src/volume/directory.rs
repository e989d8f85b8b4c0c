//! A directory as volume: for demos, tests and containers; erasing it gives no physical guarantee on flash.
//!
//! # Shape
//! ```text
//! <path>/.berth-volume  an identity of its own, for ever
//! <path>/.berth-lease   the label: device, epoch, server and root key, with a checksum
//! <path>/data/          all that the renter can reach
//! ```
//!
//! # Correctness
//! The identity tells a volume whose label is gone from one that was taken away: only the first counts as erased.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{
    id::{DeviceId, Epoch},
    wire::StepResult::{self, Done, NothingThere, Unsupported},
};
use uuid::Uuid;

use super::{Evidence, Job, Owner, Volume, VolumeError, io_error};
use crate::{
    decide::Label,
    file, hardware,
    keyring::VolumeKey,
    tree::{Disk, Entry, Tree},
};

mod remove;

const IDENTITY_FILE: &str = ".berth-volume";
const IDENTITY_BYTES_MAX: u64 = 64;
const LABEL_FILE: &str = ".berth-lease";
const LABEL_MAGIC: &str = "berth-label";
const LABEL_BYTES_MAX: u64 = 4_096;
/// Made by `mkfs`; tolerated while it is empty.
const LOST_AND_FOUND: &str = "lost+found";
const STEPS: [&str; 4] = ["remove files", "remove label", "discard blocks", "verify empty"];

/// A directory volume.
#[derive(Clone)]
pub struct Directory {
    path: PathBuf,
    tree: Arc<dyn Tree>,
    fresh: Uuid,
}

impl Directory {
    /// The volume at `path`, which need not exist yet; `fresh` becomes its identity when it has none.
    #[must_use]
    pub fn new(path: &Path, fresh: Uuid) -> Self {
        Self::on(Arc::new(Disk), path, fresh)
    }

    /// The volume at `path` of another file system.
    #[must_use]
    pub fn on(tree: Arc<dyn Tree>, path: &Path, fresh: Uuid) -> Self {
        Self { path: path.to_owned(), tree, fresh }
    }

    fn identity(&self) -> io::Result<Option<String>> {
        let bytes = self.tree.read(&self.path.join(IDENTITY_FILE), IDENTITY_BYTES_MAX)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| text.trim().parse::<Uuid>().ok()).map(|id| id.to_string()))
    }

    /// At most `limit` entries that are the renter's.
    fn entries(&self, limit: usize) -> io::Result<Vec<Entry>> {
        let own = |name: &OsStr| {
            let torn = name.as_encoded_bytes().starts_with(b".berth-")
                && Path::new(name).extension() == Some("tmp".as_ref());
            name == LABEL_FILE || name == IDENTITY_FILE || torn
        };
        let mut entries = Vec::new();
        // The own files and lost+found are at most five.
        for entry in self.tree.list(&self.path, limit + 5)?.unwrap_or_default() {
            let name = entry.path.file_name().unwrap_or_default();
            let unused = || self.tree.list(&entry.path, 1).is_ok_and(|l| l.is_none_or(|l| l.is_empty()));
            let spared = own(name) || (name == LOST_AND_FOUND && entry.is_directory && unused());
            if !spared {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.label() == Label::Absent && self.entries(1)?.is_empty())
    }

    fn fence(&self, device: DeviceId, epoch: Epoch) -> Result<(), VolumeError> {
        match self.owner() {
            Ok(None) => Ok(()),
            Ok(Some(owner)) if owner.device == device && owner.epoch == epoch => Ok(()),
            Ok(Some(_)) | Err(_) => Err(VolumeError::Fenced { path: self.path.clone(), epoch }),
        }
    }

    /// As [`Directory::fence`], but a label that cannot be read is no other lease's where the volume is the prepared one.
    fn fence_erasure(&self, job: &Job<'_>) -> Result<(), VolumeError> {
        match self.fence(job.device, job.epoch) {
            Err(VolumeError::Fenced { .. }) if job.evidence.is_some() && self.owner().is_err() => Ok(()),
            fenced => fenced,
        }
    }

    fn occupied(&self) -> VolumeError {
        let what = "files that are not a renter's".into();
        VolumeError::Occupied { path: self.path.clone(), what }
    }

    fn write_label(&self, owner: &Owner) -> io::Result<()> {
        file::create_directory(&*self.tree, &self.path)?;
        if self.identity()?.is_none() {
            let identity = format!("{}\n", self.fresh);
            file::write(&*self.tree, &self.path.join(IDENTITY_FILE), identity.as_bytes())?;
        }
        let json = serde_json::to_vec(owner)?;
        file::write(&*self.tree, &self.path.join(LABEL_FILE), &file::seal(LABEL_MAGIC, &json))
    }

    fn remove_label(&self, job: &Job<'_>) -> Result<bool, VolumeError> {
        self.fence_erasure(job)?;
        let failed = io_error(&self.path);
        if !self.entries(1).map_err(&failed)?.is_empty() {
            return Err(self.occupied());
        }
        let removed = self.tree.remove(&self.path.join(LABEL_FILE)).map_err(&failed)?;
        if self.tree.list(&self.path, 1).map_err(&failed)?.is_some() {
            self.tree.sync_directory(&self.path).map_err(&failed)?;
        }
        Ok(removed)
    }

    /// A volume that was prepared and is not there is not called erased.
    fn present(&self, job: &Job<'_>) -> Result<(), VolumeError> {
        let Some(evidence) = job.evidence else { return Ok(()) };
        let here = self.identity().map_err(io_error(&self.path))?;
        let labelled =
            matches!(self.owner(), Ok(Some(owner)) if owner.device == job.device && owner.epoch == job.epoch);
        if labelled || here.as_ref() == Some(&evidence.identity) {
            Ok(())
        } else {
            Err(VolumeError::Missing(job.epoch))
        }
    }
}

impl Volume for Directory {
    fn kind(&self) -> &'static str {
        "directory"
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn size_mib(&self) -> u64 {
        hardware::disk_mib(&self.path)
    }

    fn owner(&self) -> Result<Option<Owner>, String> {
        let path = self.path.join(LABEL_FILE);
        let Some(bytes) = self.tree.read(&path, LABEL_BYTES_MAX).map_err(|e| e.to_string())? else {
            return Ok(None);
        };
        let json = file::unseal(LABEL_MAGIC, &bytes)?;
        serde_json::from_slice(json).map(Some).map_err(|e| e.to_string())
    }

    fn label(&self) -> Label {
        match self.owner() {
            Ok(None) => Label::Absent,
            Ok(Some(owner)) => Label::Epoch(owner.epoch),
            Err(_) => Label::Unreadable,
        }
    }

    fn evidence(&self) -> Option<Evidence> {
        let identity = self.identity().ok().flatten()?;
        Some(Evidence { identity, canaries: Vec::new() })
    }

    fn needs_key(&self) -> bool {
        false
    }

    fn is_open(&self) -> bool {
        true
    }

    fn prepare(&mut self, owner: &Owner, _: Option<&VolumeKey>) -> Result<(), VolumeError> {
        let failed = io_error(&self.path);
        match self.label() {
            Label::Absent if !self.entries(1).map_err(&failed)?.is_empty() => return Err(self.occupied()),
            Label::Absent => self.write_label(owner).map_err(&failed)?,
            Label::Epoch(_) | Label::Unreadable => self.fence(owner.device, owner.epoch)?,
        }
        file::create_directory(&*self.tree, &self.data()).map_err(&failed)
    }

    fn open(&mut self, device: DeviceId, epoch: Epoch, _: Option<&VolumeKey>) -> Result<(), VolumeError> {
        match self.label() {
            Label::Absent => Err(VolumeError::Missing(epoch)),
            Label::Epoch(_) | Label::Unreadable => self.fence(device, epoch),
        }
    }

    fn close(&mut self) -> Result<(), VolumeError> {
        Ok(())
    }

    fn steps(&self) -> &'static [&'static str] {
        &STEPS
    }

    fn erase(&mut self, step: usize, job: &Job<'_>) -> Result<(StepResult, String), VolumeError> {
        let failed = io_error(&self.path);
        if job.evidence.is_none() && self.label() == Label::Absent {
            // What lies there, if anything, was never this lease's.
            return Ok((NothingThere, "no volume was prepared for this lease".into()));
        }
        match step {
            0 => {
                self.present(job)?;
                self.fence_erasure(job)?;
                let removed = self.remove_files().map_err(&failed)?;
                let again = if job.again { "; counted after a restart" } else { "" };
                let result = if removed.is_nothing() { NothingThere } else { Done };
                Ok((result, format!("removed {removed}{again}")))
            }
            1 => match self.remove_label(job)? {
                true => Ok((Done, format!("removed the label of lease {}", job.epoch))),
                false => Ok((NothingThere, "there was no label".into())),
            },
            2 => {
                let detail =
                    "a directory has no blocks of its own: what flash keeps of removed files is not erased";
                Ok((Unsupported, detail.into()))
            }
            _ if self.is_empty().map_err(&failed)? => Ok((Done, "neither a file nor a label is left".into())),
            _ => Err(VolumeError::NotErased {
                epoch: job.epoch,
                left: "the volume is not empty after all steps".into(),
            }),
        }
    }

    fn problems(&self) -> Vec<String> {
        let occupied =
            self.label() == Label::Absent && self.entries(1).is_ok_and(|entries| !entries.is_empty());
        occupied.then(|| self.occupied().to_string()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
