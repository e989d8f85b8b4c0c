//! The file that holds the slots.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, OFlags, fadvise};

use super::slots::{Medium, SLOT};
use crate::{file, tree::Disk};

/// What direct reads must be aligned to, in bytes; holds for every block device in use.
const ALIGNMENT: usize = 4_096;

/// A file of two slots, taken in full when it is made.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: File,
}

impl Place {
    /// Opens the file, making it when there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            Self::make(path)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens it only to look; `None` when there is none.
    pub(super) fn look(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { path: path.to_owned(), file })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn make(path: &Path) -> io::Result<()> {
        let building = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&building)?;
        file.write_all(&vec![0; 2 * SLOT])?;
        file.sync_all()?;
        std::fs::rename(&building, path)?;
        file::sync_parent(&Disk, path)
    }

    /// Reads past the cache; `None` where the file system cannot.
    fn read_direct(&self, at: u64) -> Option<Vec<u8>> {
        let flags = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path).ok()?;
        let mut buffer = vec![0u8; SLOT + ALIGNMENT];
        let skip = buffer.as_ptr().align_offset(ALIGNMENT);
        let aligned = buffer.get_mut(skip..skip + SLOT)?;
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(aligned).ok()?;
        Some(aligned.to_vec())
    }
}

impl Medium for Place {
    fn read(&mut self, slot: usize) -> io::Result<Vec<u8>> {
        let at = (slot * SLOT) as u64;
        if let Some(bytes) = self.read_direct(at) {
            return Ok(bytes);
        }
        // Only a hint: where it is not taken, the cached copy is all there is.
        let _ = fadvise(&self.file, at, std::num::NonZeroU64::new(SLOT as u64), Advice::DontNeed);
        let mut bytes = vec![0; SLOT];
        let mut filled = 0;
        while filled < SLOT {
            match self.file.read_at(&mut bytes[filled..], at + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        Ok(bytes)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, (slot * SLOT) as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
