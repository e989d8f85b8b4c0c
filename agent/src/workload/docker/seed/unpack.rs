//! Unpacking one directory: completely, or not at all under its final name.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{PermissionsExt, chown},
    path::{Component, Path, PathBuf},
};

use tar::{Archive, EntryType, Header};
use tokio::sync::mpsc::Receiver;

use super::make;
use crate::tree::{Disk, Tree};

/// An archive ends in two empty blocks; the engine ends a broken one as politely as a whole one, without them.
const END_BYTES: usize = 1024;
/// No image has more in its writable directories.
const ENTRIES_MAX: u64 = 2_000_000;

/// A piece of an archive.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// Everything was sent.
    End,
    /// There is no such directory.
    Absent,
}

/// Where it goes.
#[derive(Clone)]
pub(super) struct Target {
    /// While it is not complete.
    pub(super) temporary: PathBuf,
    /// Once it is.
    pub(super) finished: PathBuf,
    /// Whether only root may enter it when the image does not say.
    pub(super) private: bool,
}

/// How much it was.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Unpacks under the temporary name; an archive without its end is an error.
pub(super) fn fill(target: &Target, pieces: Receiver<Piece>) -> io::Result<Filled> {
    make(&target.temporary, target.private)?;
    let mut pieces = Pieces { pieces, at_hand: io::Cursor::default(), zeros: 0, over: None };
    let filled = unpack(&target.temporary, &mut pieces)?;
    io::copy(&mut pieces, &mut io::sink())?;
    match pieces.over {
        Some(Over::Absent) => Ok(filled),
        Some(Over::End) if pieces.zeros >= END_BYTES => Ok(filled),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine's archive is cut short")),
    }
}

/// Gives what is filled its final names, once it is on the medium.
pub(super) fn finish(root: &Path, targets: &[Target]) -> io::Result<()> {
    // Everything written by now to this file system: one wait for all directories.
    rustix::fs::syncfs(fs::File::open(root)?)?;
    for target in targets {
        fs::rename(&target.temporary, &target.finished)?;
    }
    Disk.sync_directory(root)
}

fn unpack(into: &Path, pieces: &mut Pieces) -> io::Result<Filled> {
    let mut archive = Archive::new(pieces);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    archive.set_overwrite(false);
    let (mut filled, mut directories) = (Filled::default(), Vec::new());
    let mut top: Option<Header> = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        filled.entries += 1;
        if filled.entries > ENTRIES_MAX {
            return Err(io::Error::other("there are too many files in it"));
        }
        filled.bytes += entry.size();
        if entry.path()?.components().all(|c| c == Component::CurDir) {
            top = Some(entry.header().clone());
            continue;
        }
        match entry.header().entry_type() {
            // Last: a directory may be closed to what comes into it, and its time is that of its last change.
            EntryType::Directory => directories.push(entry),
            // Devices are the engine's business, pipes are made by those who use them.
            EntryType::Char | EntryType::Block | EntryType::Fifo => {}
            _ => drop(entry.unpack_in(into)?),
        }
    }
    // The deepest first.
    directories.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    for mut directory in directories {
        directory.unpack_in(into)?;
    }
    if let Some(top) = top {
        let id = |id: io::Result<u64>| id.and_then(|id| u32::try_from(id).map_err(io::Error::other));
        chown(into, Some(id(top.uid())?), Some(id(top.gid())?))?;
        fs::set_permissions(into, fs::Permissions::from_mode(top.mode()? & 0o7777))?;
    }
    Ok(filled)
}

#[derive(Clone, Copy)]
enum Over {
    End,
    Absent,
}

/// The pieces as one stream; counts the zeros at its end.
struct Pieces {
    pieces: Receiver<Piece>,
    at_hand: io::Cursor<Vec<u8>>,
    zeros: usize,
    over: Option<Over>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.at_hand.read(buffer)?;
            if n > 0 || self.over.is_some() || buffer.is_empty() {
                return Ok(n);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => {
                    let zeros = bytes.iter().rev().take_while(|b| **b == 0).count();
                    self.zeros = if zeros == bytes.len() { self.zeros + zeros } else { zeros };
                    self.at_hand = io::Cursor::new(bytes);
                }
                Some(Piece::End) => self.over = Some(Over::End),
                Some(Piece::Absent) => self.over = Some(Over::Absent),
                None => {
                    let why = "the engine stopped in the middle of the archive";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, mode, content) in [
            ("./", EntryType::Directory, 0o1750, ""),
            ("./closed/", EntryType::Directory, 0o500, ""),
            ("./closed/letter", EntryType::Regular, 0o4711, "hello"),
            ("./pipe", EntryType::Fifo, 0o600, ""),
        ] {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(rustix::process::geteuid().as_raw().into());
            header.set_gid(rustix::process::getegid().as_raw().into());
            header.set_size(content.len() as u64);
            header.set_mtime(1_000_000_000);
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn filled_with(pieces: Vec<Piece>) -> (tempfile::TempDir, io::Result<Filled>) {
        let directory = tempfile::tempdir().unwrap();
        let target = Target {
            temporary: directory.path().join(".seed-x"),
            finished: directory.path().join("x"),
            private: true,
        };
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            assert!(sender.try_send(piece).is_ok());
        }
        drop(sender);
        let filled =
            fill(&target, receiver).and_then(|filled| finish(directory.path(), &[target]).map(|()| filled));
        (directory, filled)
    }

    fn mode(path: PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn modes_are_kept_also_of_the_directory_itself() {
        let pieces = archive().chunks(100).map(|c| Piece::Bytes(c.to_vec())).chain([Piece::End]).collect();
        let (directory, filled) = filled_with(pieces);
        assert_eq!(filled.unwrap().entries, 4);
        assert_eq!(mode(directory.path().join("x")), 0o1750);
        assert_eq!(mode(directory.path().join("x/closed")), 0o500);
        assert_eq!(mode(directory.path().join("x/closed/letter")), 0o4711);
        assert!(!directory.path().join("x/pipe").exists());
    }

    #[test]
    fn an_absent_directory_starts_empty_and_as_closed_as_it_should() {
        let (directory, filled) = filled_with(vec![Piece::Absent]);
        assert_eq!(filled.unwrap().entries, 0);
        assert_eq!(mode(directory.path().join("x")), 0o700);
    }

    #[test]
    fn wherever_an_archive_is_cut_nothing_gets_its_final_name() {
        let archive = archive();
        let end = archive.len() - END_BYTES;
        for cut in (0..archive.len()).step_by(512).filter(|cut| *cut < end + 512) {
            for last in [Some(Piece::End), None] {
                let first = Piece::Bytes(archive[..cut].to_vec());
                let (directory, filled) = filled_with([first].into_iter().chain(last).collect());
                assert!(filled.is_err(), "cut at {cut} of {}", archive.len());
                assert!(!directory.path().join("x").exists(), "cut at {cut}");
            }
        }
    }
}
