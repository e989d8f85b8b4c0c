//! How the agent's own small files are written and read.
//!
//! # Correctness
//! A reader sees the old bytes or the new bytes, whole, even after a power cut: the new bytes are on the medium before
//! the name changes, and the directory is on the medium before the caller goes on.

use std::{io, path::Path};

use domain::key::Digest;

use crate::tree::Tree;

/// Replaces `path` by `bytes`, readable by its owner only.
pub(crate) fn write(tree: &dyn Tree, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    tree.remove(&temporary)?;
    tree.create(&temporary, bytes)?;
    tree.sync(&temporary)?;
    tree.rename(&temporary, path)?;
    sync_parent(tree, path)?;
    if tree.read(path, bytes.len() as u64)?.as_deref() == Some(bytes) {
        Ok(())
    } else {
        Err(io::Error::other("what was written does not read back"))
    }
}

/// Creates a directory that only its owner may enter, with its parents, for good.
pub(crate) fn create_directory(tree: &dyn Tree, path: &Path) -> io::Result<()> {
    tree.create_directory(path)?;
    sync_parent(tree, path)
}

/// Overwrites a secret where it lies, then removes it; `false` when there was none.
pub(crate) fn destroy(tree: &dyn Tree, path: &Path, limit: u64) -> io::Result<bool> {
    let Some(bytes) = tree.read(path, limit)? else { return Ok(false) };
    tree.overwrite(path, &vec![0; bytes.len()])?;
    tree.sync(path)?;
    tree.remove(path)?;
    sync_parent(tree, path)?;
    Ok(true)
}

/// Makes the names in `path`'s directory durable.
pub(crate) fn sync_parent(tree: &dyn Tree, path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    tree.sync_directory(parent)
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
