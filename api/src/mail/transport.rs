//! How mails leave this server: over a mail server, or into a folder.
//!
//! # Correctness
//! A file is written whole under another name, synced, and renamed, and its name follows from its cause: a mail that is put
//! there twice is there once. Files hold passwords: only their owner can read them.

use std::{
    error::Error,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use domain::key::Digest;
use lettre::Message;

use super::smtp::{Server, Smtp};

/// The longest text of an error that is kept, in characters.
const MAX_ERROR: usize = 300;
/// The longest cause that a file is named after as it is, in bytes.
const MAX_NAME: usize = 150;

/// Where mails go.
#[derive(Debug, Clone)]
pub enum Way {
    /// To a mail server.
    Smtp(Box<Server>),
    /// Into a folder.
    Folder(PathBuf),
}

/// Why a mail did not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No mail can leave now.
    Unreachable(String),
    /// This one was certainly not taken.
    Refused {
        /// In words.
        why: String,
        /// Whether it will not be taken later either.
        for_good: bool,
    },
    /// Nobody knows whether it was taken.
    InDoubt(String),
}

/// An error on one line, without the addresses that servers repeat.
pub(super) fn in_words(error: &dyn Error) -> String {
    let words = error.to_string();
    let words = words.split(|c: char| c.is_control() || c == ' ');
    let hidden = words.map(|word| if word.contains('@') { "(address)" } else { word });
    hidden.collect::<Vec<_>>().join(" ").chars().take(MAX_ERROR).collect()
}

/// The way, and what is open of it.
pub(super) enum Transport {
    Smtp(Box<Smtp>),
    Folder(PathBuf),
}

impl Transport {
    /// `domain`: where the mails come from.
    pub fn new(way: Way, domain: &str) -> Self {
        match way {
            Way::Smtp(server) => Self::Smtp(Box::new(Smtp::new(*server, domain))),
            Way::Folder(folder) => Self::Folder(folder),
        }
    }

    /// Whether what is handed over twice arrives twice.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Smtp(_))
    }

    /// Does all that can be done without the mail leaving.
    ///
    /// # Errors
    /// When no mail can leave, or this one is not wanted.
    pub async fn prepare(&mut self, message: &Message) -> Result<(), Failure> {
        match self {
            Self::Smtp(smtp) => smtp.prepare(message).await,
            Self::Folder(_) => Ok(()),
        }
    }

    /// Lets the mail that was prepared leave.
    ///
    /// # Errors
    /// When it did not, or nobody knows.
    pub async fn hand_over(&mut self, cause: &str, message: &Message) -> Result<(), Failure> {
        let folder = match self {
            Self::Smtp(smtp) => return smtp.hand_over(message).await,
            Self::Folder(folder) => folder.clone(),
        };
        let (name, bytes) = (file_name(cause), message.formatted());
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &bytes)).await;
        let failed = |e: &dyn Error| Failure::Unreachable(in_words(e));
        written.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    }

    /// Ends what is open.
    pub async fn rest(&mut self) {
        if let Self::Smtp(smtp) = self {
            smtp.rest().await;
        }
    }
}

fn file_name(cause: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if cause.len() <= MAX_NAME && cause.chars().all(plain) {
        format!("{cause}.eml")
    } else {
        format!("{}.eml", Digest::of(cause.as_bytes()))
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let (unfinished, finished) = (folder.join(format!(".{name}.new")), folder.join(name));
    match std::fs::remove_file(&unfinished) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, &finished)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_told_without_addresses() {
        let said = std::io::Error::other("550 5.1.1\r\n<ada@example.org>: nobody here");
        assert_eq!(in_words(&said), "550 5.1.1  (address) nobody here");
    }

    #[test]
    fn a_cause_names_one_file_and_never_one_elsewhere() {
        assert_eq!(file_name("rental-1"), "rental-1.eml");
        for odd in ["../../etc/passwd", "a/b", "..", "a.b", &"x".repeat(MAX_NAME + 1)] {
            let name = file_name(odd);
            assert!(name.len() < 80 && !name.contains('/') && !name.starts_with('.'), "{name}");
        }
        assert_ne!(file_name("a/b"), file_name("a.b"));
    }

    #[test]
    fn a_file_that_was_cut_off_is_written_over_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("mail");
        write(&folder, "a.eml", b"whole").unwrap();
        std::fs::write(folder.join(".a.eml.new"), b"a longer one that was cut off").unwrap();
        write(&folder, "a.eml", b"whole").unwrap();
        assert_eq!(std::fs::read(folder.join("a.eml")).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        for (path, mode) in [(folder.clone(), 0o700), (folder.join("a.eml"), 0o600)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
    }
}
