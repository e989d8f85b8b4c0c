//! Where the record lies.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::Record;
use crate::file;

/// The longest record, in bytes: a few tombstones and a receipt are far below.
const RECORD_BYTES_MAX: u64 = 262_144;
const MAGIC: &str = "berth-record";

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent holds the lock.
    #[error("another agent runs on {}; stop it first", .0.display())]
    Locked(PathBuf),
    /// The file system refused.
    #[error("cannot use {}: {error}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// There is no record.
    Missing,
    /// There is one that cannot be believed.
    Unreadable(String),
    /// The record.
    Record(Box<Record>),
}

/// The state directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    _lock: Option<File>,
}

impl Store {
    /// Opens the state directory, creating it if need be, and takes its lock until dropped.
    ///
    /// # Errors
    /// When another agent holds it or it cannot be written.
    pub fn lock(directory: &Path) -> Result<Self, StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        file::create_directory(directory).map_err(failed(directory))?;
        let path = directory.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(&path)(error)),
        }
    }

    /// Opens it only to look.
    #[must_use]
    pub fn look(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), _lock: None }
    }

    /// Reads the record.
    #[must_use]
    pub fn load(&self) -> Loaded {
        match file::read(&self.path(), RECORD_BYTES_MAX) {
            Ok(None) => Loaded::Missing,
            Ok(Some(bytes)) => match parse(&bytes) {
                Ok(record) => Loaded::Record(Box::new(record)),
                Err(why) => Loaded::Unreadable(why),
            },
            Err(error) => Loaded::Unreadable(error.to_string()),
        }
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// When it cannot be made durable; then nothing may be done that relies on it.
    pub fn save(&self, record: &Record) -> io::Result<()> {
        let json = serde_json::to_vec(record)?;
        file::write(&self.path(), &file::seal(MAGIC, &json))
    }

    /// Puts an unreadable record aside, where a human can find it.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn set_aside(&self) -> io::Result<()> {
        match std::fs::copy(self.path(), self.directory.join("record.unreadable")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            copied => copied.map(|_| ()),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("record.json")
    }
}

fn parse(bytes: &[u8]) -> Result<Record, String> {
    let json = file::unseal(MAGIC, bytes)?;
    let record: Record = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    record.state().ok_or("the tombstone inside does not verify")?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_any_damage_makes_it_unreadable() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::lock(directory.path()).unwrap();
        assert_eq!(store.load(), Loaded::Missing);
        let record = Record::fresh("http://127.0.0.1", None);
        store.save(&record).unwrap();
        assert_eq!(store.load(), Loaded::Record(Box::new(record)));
        let whole = std::fs::read(store.path()).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(store.path(), &damaged).unwrap();
            assert!(matches!(store.load(), Loaded::Unreadable(_)), "byte {at}");
            std::fs::write(store.path(), &whole[..at]).unwrap();
            assert!(matches!(store.load(), Loaded::Unreadable(_)), "cut at {at}");
        }
    }

    #[test]
    fn a_state_directory_has_one_agent() {
        let directory = tempfile::tempdir().unwrap();
        let held = Store::lock(directory.path()).unwrap();
        assert!(matches!(Store::lock(directory.path()), Err(StoreError::Locked(_))));
        drop(held);
        assert!(Store::lock(directory.path()).is_ok());
    }
}
