//! The renter's volume: a directory with a label that says whose it is.
//!
//! # Shape
//! ```text
//! <path>/.berth-lease   the label: device, epoch, server and root key, with a checksum
//! <path>/data/          all that the renter can reach
//! ```
//!
//! # Correctness
//! The label is written before anything else and removed after everything else, so data never lie unlabelled. Every call
//! that changes something names an epoch and refuses a volume that is labelled otherwise: a mistake elsewhere in the
//! agent cannot reach another lease's data. A directory that holds files without a label is somebody else's and refused.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use domain::{
    id::{DeviceId, Epoch},
    key::PublicKey,
};
use serde::{Deserialize, Serialize};

use crate::{decide::Label, file};

const LABEL_FILE: &str = ".berth-lease";
const LABEL_MAGIC: &str = "berth-label";
const LABEL_BYTES_MAX: u64 = 4_096;
/// Made by `mkfs`; tolerated while it is empty.
const LOST_AND_FOUND: &str = "lost+found";
/// Entries handled before the directory is read again.
const BATCH: usize = 1_024;

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
    /// There are files without a label.
    #[error("{} holds files that are not a renter's; move them away or choose another volume path", .0.display())]
    Occupied(PathBuf),
    /// The file system refused.
    #[error("the volume {}: {error}", path.display())]
    Io {
        /// The volume.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Files, links and the like.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// A directory volume.
#[derive(Debug, Clone)]
pub struct Volume {
    path: PathBuf,
}

impl Volume {
    /// The volume at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where the renter's files are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Reads the label.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn owner(&self) -> Result<Option<Owner>, String> {
        let Some(bytes) = file::read(&self.label_path(), LABEL_BYTES_MAX).map_err(|e| e.to_string())? else {
            return Ok(None);
        };
        let json = file::unseal(LABEL_MAGIC, &bytes)?;
        serde_json::from_slice(json).map(Some).map_err(|e| e.to_string())
    }

    /// What the decision table sees of the label.
    #[must_use]
    pub fn label(&self) -> Label {
        match self.owner() {
            Ok(None) => Label::Absent,
            Ok(Some(owner)) => Label::Epoch(owner.epoch),
            Err(_) => Label::Unreadable,
        }
    }

    /// Labels an empty volume for a lease, or does nothing if it is labelled for it; files are never touched.
    ///
    /// # Errors
    /// When it is labelled otherwise or not empty.
    pub fn prepare(&self, owner: &Owner) -> Result<(), VolumeError> {
        file::create_directory(&self.path).map_err(|e| self.io(e))?;
        match self.label() {
            Label::Epoch(epoch) if epoch == owner.epoch => {}
            Label::Epoch(_) | Label::Unreadable => return Err(self.fenced(owner.epoch)),
            Label::Absent if !self.entries(1).map_err(|e| self.io(e))?.is_empty() => {
                return Err(VolumeError::Occupied(self.path.clone()));
            }
            Label::Absent => {
                let json = serde_json::to_vec(owner).map_err(|e| self.io(e.into()))?;
                file::write(&self.label_path(), &file::seal(LABEL_MAGIC, &json)).map_err(|e| self.io(e))?;
            }
        }
        file::create_directory(&self.data()).map_err(|e| self.io(e))
    }

    /// Removes everything but the label of lease `epoch`; may be repeated after any interruption.
    ///
    /// Directories inside directories are first moved to the top, so that neither depth nor length of a path matters.
    ///
    /// # Errors
    /// When the volume is labelled otherwise or something cannot be removed.
    pub fn remove_files(&self, epoch: Epoch) -> Result<Removed, VolumeError> {
        self.fence(epoch)?;
        let mut removed = Removed::default();
        let mut moved = 0u64;
        self.empty(&mut removed, &mut moved).map_err(|e| self.io(e))?;
        Ok(removed)
    }

    /// Removes the label of lease `epoch`; `false` when there was none.
    ///
    /// # Errors
    /// When the volume is labelled otherwise or files are left.
    pub fn remove_label(&self, epoch: Epoch) -> Result<bool, VolumeError> {
        self.fence(epoch)?;
        if !self.entries(1).map_err(|e| self.io(e))?.is_empty() {
            return Err(VolumeError::Occupied(self.path.clone()));
        }
        match fs::remove_file(self.label_path()) {
            Ok(()) => file::sync_directory(&self.path).map_err(|e| self.io(e)).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.io(e)),
        }
    }

    /// Whether neither a file nor a label is left.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_empty(&self) -> Result<bool, VolumeError> {
        Ok(self.label() == Label::Absent && self.entries(1).map_err(|e| self.io(e))?.is_empty())
    }

    fn empty(&self, removed: &mut Removed, moved: &mut u64) -> io::Result<()> {
        loop {
            let entries = self.entries(BATCH)?;
            if entries.is_empty() {
                break;
            }
            for path in entries {
                if fs::symlink_metadata(&path)?.is_dir() {
                    self.empty_directory(&path, removed, moved)?;
                    fs::remove_dir(&path)?;
                    removed.directories += 1;
                } else {
                    remove_file(&path, removed)?;
                }
            }
        }
        if self.path.exists() { file::sync_directory(&self.path) } else { Ok(()) }
    }

    fn empty_directory(&self, directory: &Path, removed: &mut Removed, moved: &mut u64) -> io::Result<()> {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        loop {
            let batch: Vec<_> = fs::read_dir(directory)?.take(BATCH).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            for entry in batch {
                if entry.file_type()?.is_dir() {
                    fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700))?;
                    fs::rename(entry.path(), self.free_name(moved))?;
                } else {
                    remove_file(&entry.path(), removed)?;
                }
            }
        }
    }

    fn free_name(&self, moved: &mut u64) -> PathBuf {
        loop {
            *moved += 1;
            let name = self.path.join(format!(".erasing-{moved}"));
            if fs::symlink_metadata(&name).is_err() {
                return name;
            }
        }
    }

    /// At most `limit` entries that are neither the label nor an empty `lost+found`.
    fn entries(&self, limit: usize) -> io::Result<Vec<PathBuf>> {
        let listing = match fs::read_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry?;
            let name = entry.file_name();
            let spared = name == LABEL_FILE || (name == LOST_AND_FOUND && is_empty_directory(&entry.path()));
            if !spared {
                entries.push(entry.path());
            }
            if entries.len() == limit {
                break;
            }
        }
        Ok(entries)
    }

    fn fence(&self, epoch: Epoch) -> Result<(), VolumeError> {
        match self.label() {
            Label::Absent => Ok(()),
            Label::Epoch(label) if label == epoch => Ok(()),
            Label::Epoch(_) | Label::Unreadable => Err(self.fenced(epoch)),
        }
    }

    fn fenced(&self, epoch: Epoch) -> VolumeError {
        VolumeError::Fenced { path: self.path.clone(), epoch }
    }

    fn io(&self, error: io::Error) -> VolumeError {
        VolumeError::Io { path: self.path.clone(), error }
    }

    fn label_path(&self) -> PathBuf {
        self.path.join(LABEL_FILE)
    }
}

fn is_empty_directory(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut listing| listing.next().is_none())
}

fn remove_file(path: &Path, removed: &mut Removed) -> io::Result<()> {
    let bytes = fs::symlink_metadata(path).map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
    fs::remove_file(path)?;
    removed.files += 1;
    removed.bytes += bytes;
    Ok(())
}

#[cfg(test)]
mod tests;
