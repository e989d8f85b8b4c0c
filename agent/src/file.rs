//! The only code that writes files of the agent's own.
//!
//! # Correctness
//! A reader sees the old bytes or the new bytes, whole, even after a power cut: the new bytes are on the medium before
//! the name changes, and the directory is on the medium before the caller goes on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use domain::key::Digest;

/// Replaces `path` by `bytes`, readable by its owner only.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)?;
    if fs::read(path)? == bytes {
        Ok(())
    } else {
        Err(io::Error::other("what was written does not read back"))
    }
}

/// Makes the names in `path`'s directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    sync_directory(parent)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a directory that only its owner may enter, with its parents.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_parent(path)
}

/// Reads at most `limit` bytes; `None` when there is no such file.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("{} is longer than {limit} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// A text with the checksum of what follows in front.
pub(crate) fn seal(magic: &str, json: &[u8]) -> Vec<u8> {
    [format!("{magic} 1 {}\n", Digest::of(json)).as_bytes(), json].concat()
}

/// What [`seal`] protects, if every byte is as written.
pub(crate) fn unseal<'a>(magic: &str, bytes: &'a [u8]) -> Result<&'a [u8], String> {
    let end = bytes.iter().position(|b| *b == b'\n').ok_or("there is no header")?;
    let (head, json) = (&bytes[..end], &bytes[end + 1..]);
    let expected = format!("{magic} 1 {}", Digest::of(json));
    if head == expected.as_bytes() {
        Ok(json)
    } else {
        Err(format!("not a {magic} of version 1, or the checksum does not fit"))
    }
}
