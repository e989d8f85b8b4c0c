//! Where the record lies, and who may change it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    Record, VERSION,
    place::Place,
    slots::{self, Found, Medium},
};
use crate::{file, tree::Disk};

/// The file's name in the state directory.
const FILE: &str = "record";

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

/// The record on its medium.
pub struct Store {
    medium: Box<dyn Medium>,
    saves: u64,
    spoilt: Option<PathBuf>,
    _lock: Option<File>,
}

impl Store {
    /// Opens the record in a state directory, creating both if need be, and takes its lock until dropped.
    ///
    /// # Errors
    /// When another agent holds it or it cannot be used.
    pub fn lock(directory: &Path) -> Result<Self, StoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        file::create_directory(&Disk, directory).map_err(failed(directory))?;
        let path = directory.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(&path)(error)),
        }
        let path = directory.join(FILE);
        let place = Place::open(&path).map_err(failed(&path))?;
        Ok(Self { medium: Box::new(place), saves: 0, spoilt: Some(path), _lock: Some(lock) })
    }

    /// The record on a medium that nobody else uses.
    #[must_use]
    pub fn over(medium: Box<dyn Medium>) -> Self {
        Self { medium, saves: 0, spoilt: None, _lock: None }
    }

    /// Reads the record of a state directory and disturbs no running agent.
    #[must_use]
    pub fn look(directory: &Path) -> Loaded {
        match Place::look(&directory.join(FILE)) {
            Ok(None) => Loaded::Missing,
            Ok(Some(place)) => Self::over(Box::new(place)).load(),
            Err(error) => Loaded::Unreadable(error.to_string()),
        }
    }

    /// Reads the record.
    pub fn load(&mut self) -> Loaded {
        match slots::load(&mut *self.medium) {
            Ok(Found::Nothing) => Loaded::Missing,
            Ok(Found::Spoilt) => Loaded::Unreadable("neither of its slots is whole".into()),
            Ok(Found::Saved { n, payload }) => {
                self.saves = n;
                match parse(&payload) {
                    Ok(record) => Loaded::Record(Box::new(record)),
                    Err(why) => Loaded::Unreadable(why),
                }
            }
            Err(error) => Loaded::Unreadable(error.to_string()),
        }
    }

    /// Saves the record.
    ///
    /// # Errors
    /// When it cannot be made durable; then nothing may be done that relies on it.
    pub fn save(&mut self, record: &Record) -> io::Result<()> {
        let n = self.saves + 1;
        slots::save(&mut *self.medium, n, &serde_json::to_vec(record)?)?;
        self.saves = n;
        Ok(())
    }

    /// How often the record was saved.
    #[must_use]
    pub const fn saves(&self) -> u64 {
        self.saves
    }

    /// Puts a copy of an unreadable record aside, where a human can find it.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn set_aside(&self) -> io::Result<()> {
        let Some(path) = &self.spoilt else { return Ok(()) };
        std::fs::copy(path, path.with_extension("unreadable")).map(|_| ())
    }
}

fn parse(payload: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(payload).map_err(|e| e.to_string())?;
    if record.v != VERSION {
        return Err(format!("it has version {}, known is {VERSION}", record.v));
    }
    record.state().ok_or("the tombstone inside does not verify")?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_record_reads_back_and_one_spoilt_slot_costs_one_step() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::lock(directory.path()).unwrap();
        assert_eq!(store.load(), Loaded::Missing);
        let first = Record::fresh("http://127.0.0.1", None);
        let second = Record { seq: 7, ..first.clone() };
        store.save(&first).unwrap();
        store.save(&second).unwrap();
        assert_eq!(Store::look(directory.path()), Loaded::Record(Box::new(second)));
        let path = directory.path().join(FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"spoilt", 20).unwrap();
        assert_eq!(store.load(), Loaded::Record(Box::new(first)));
        file.write_all_at(b"spoilt", 20 + slots::SLOT as u64).unwrap();
        assert!(matches!(store.load(), Loaded::Unreadable(_)));
        store.set_aside().unwrap();
        assert!(directory.path().join("record.unreadable").exists());
    }

    #[test]
    fn saving_takes_no_space_that_was_not_taken_before() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::lock(directory.path()).unwrap();
        let length = || directory.path().join(FILE).metadata().unwrap().len();
        let before = length();
        for _ in 0..5 {
            store.save(&Record::fresh("http://127.0.0.1", None)).unwrap();
        }
        assert_eq!((length(), before), (2 * slots::SLOT as u64, 2 * slots::SLOT as u64));
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
