//! What a LUKS volume needs of its medium and of the programs that handle it, so that tests can cut the power under it.

use std::{io, path::Path};

use crate::keyring::VolumeKey;

/// A block device, or a file that stands for one, and the mapping and mount made of it.
///
/// # Errors
/// Every call fails as the operating system or the program that was run says.
pub trait Blocks: Send {
    /// Its size in bytes; `None` when it is not there.
    fn size(&self) -> io::Result<Option<u64>>;

    /// Reads at an offset; fewer bytes at the end.
    fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Writes at an offset.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;

    /// Tells the medium that nothing on it is needed any more; `false` when it cannot be told so.
    fn discard(&mut self, secure: bool) -> io::Result<bool>;

    /// What other programs would recognise on it; `None` when nothing.
    fn foreign(&self) -> io::Result<Option<String>>;

    /// Writes a new header with a label; whatever was there is lost.
    fn format(&mut self, label: &str, key: &VolumeKey) -> io::Result<()>;

    /// Adds a token to the header; atomic.
    fn add_token(&mut self, json: &str) -> io::Result<()>;

    /// Whether the key opens the header.
    fn fits(&mut self, key: &VolumeKey) -> io::Result<bool>;

    /// Destroys every key slot in the header.
    fn destroy_slots(&mut self) -> io::Result<()>;

    /// Whether it is mapped.
    fn is_mapped(&self) -> bool;

    /// Maps it.
    fn map(&mut self, key: &VolumeKey) -> io::Result<()>;

    /// Takes the mapping away.
    fn unmap(&mut self) -> io::Result<()>;

    /// The size of the mapping in bytes.
    fn mapped_size(&self) -> io::Result<u64>;

    /// Writes through the mapping, durably.
    fn write_mapped(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file system in the first `bytes` bytes of the mapping.
    fn make_file_system(&mut self, bytes: u64) -> io::Result<()>;

    /// Whether the mapping is mounted at `at`.
    fn is_mounted(&self, at: &Path) -> bool;

    /// Mounts the mapping.
    fn mount(&mut self, at: &Path) -> io::Result<()>;

    /// Takes the mount away.
    fn unmount(&mut self, at: &Path) -> io::Result<()>;

    /// Makes a directory in the mount, and the mount durable.
    fn make_directory(&mut self, path: &Path) -> io::Result<()>;

    /// What is missing to use it, for a human.
    fn problems(&self) -> Vec<String>;
}
