//! Removing everything that a renter left.
//!
//! # Correctness
//! Directories inside directories are first moved to the top, so that neither the depth nor the length of a path
//! matters. Links are removed and never followed.

use std::{fmt, io, path::PathBuf};

use super::Directory;
use crate::tree::Entry;

/// Entries handled before the directory is read again.
const BATCH: usize = 1_024;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Removed {
    /// Files, links and the like.
    files: u64,
    directories: u64,
    /// Bytes in files.
    bytes: u64,
}

impl Removed {
    pub(super) const fn is_nothing(self) -> bool {
        self.files == 0 && self.directories == 0
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files with {} bytes and {} directories", self.files, self.bytes, self.directories)
    }
}

impl Directory {
    /// Removes everything but the own files; may be repeated after any interruption.
    pub(super) fn remove_files(&self) -> io::Result<Removed> {
        let (mut removed, mut moved) = (Removed::default(), 0);
        loop {
            let entries = self.entries(BATCH)?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                if entry.is_directory {
                    self.empty(&entry, &mut removed, &mut moved)?;
                    self.tree.remove_directory(&entry.path)?;
                    removed.directories += 1;
                } else {
                    self.remove_file(&entry, &mut removed)?;
                }
            }
        }
        if self.tree.list(&self.path, 1)?.is_some() {
            self.tree.sync_directory(&self.path)?;
        }
        Ok(removed)
    }

    fn empty(&self, directory: &Entry, removed: &mut Removed, moved: &mut u64) -> io::Result<()> {
        self.tree.unlock(&directory.path)?;
        loop {
            let batch = self.tree.list(&directory.path, BATCH)?.unwrap_or_default();
            if batch.is_empty() {
                return Ok(());
            }
            for entry in batch {
                if entry.is_directory {
                    self.tree.unlock(&entry.path)?;
                    self.tree.rename(&entry.path, &self.free_name(moved)?)?;
                } else {
                    self.remove_file(&entry, removed)?;
                }
            }
        }
    }

    fn remove_file(&self, entry: &Entry, removed: &mut Removed) -> io::Result<()> {
        self.tree.remove(&entry.path)?;
        removed.files += 1;
        removed.bytes += entry.bytes;
        Ok(())
    }

    fn free_name(&self, moved: &mut u64) -> io::Result<PathBuf> {
        loop {
            *moved += 1;
            let name = self.path.join(format!(".erasing-{moved}"));
            if self.tree.list(&name, 1)?.is_none() {
                return Ok(name);
            }
        }
    }
}
