//! A file system, as far as the agent needs one: so that tests can cut the power under it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a directory; a link is not.
    pub is_directory: bool,
    /// The bytes of a file.
    pub bytes: u64,
}

/// Files and directories. Nothing is durable before the file and the directory that names it are synced.
///
/// # Errors
/// Every call fails as the operating system says.
pub trait Tree: Send + Sync {
    /// Reads at most `limit` bytes; `None` when there is no such file.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;

    /// Creates a file that must not exist, readable by its owner only.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Replaces the first bytes of a file where they lie.
    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's bytes durable.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory that only its owner may enter, with its parents.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// At most `limit` entries; `None` when there is no such directory.
    fn list(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<Entry>>>;

    /// Lets the owner into a directory whatever its mode was.
    fn unlock(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or directory another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; `false` when there was none.
    fn remove(&self, path: &Path) -> io::Result<bool>;

    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Tree for Disk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = found(File::open(path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("{} is longer than {limit} bytes", path.display())));
        }
        Ok(Some(bytes))
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.write_all(bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<Entry>>> {
        let Some(listing) = found(fs::read_dir(path))? else { return Ok(None) };
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let meta = entry.metadata()?;
            let bytes = if meta.is_file() { meta.len() } else { 0 };
            Ok(Entry { path: entry.path(), is_directory: meta.is_dir(), bytes })
        };
        listing.take(limit).map(entry).collect::<io::Result<_>>().map(Some)
    }

    fn unlock(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<bool> {
        found(fs::remove_file(path)).map(|removed| removed.is_some())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
