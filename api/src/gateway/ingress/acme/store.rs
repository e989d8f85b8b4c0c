//! What is kept of ACME: the account and the certificate, each in one file that only the server may read.
//!
//! # Correctness
//! A file is written under another name, synced and renamed, so it is always whole; a key and its certificate are one file,
//! so they always fit.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use instant_acme::AccountCredentials;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use x509_parser::parse_x509_certificate;

/// An account, and where it was opened.
#[derive(Serialize, Deserialize)]
struct Kept<A> {
    directory: String,
    account: A,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

impl Store {
    /// Opens the folder, and makes it if need be.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self(folder.to_owned()))
    }

    /// The account at this directory.
    pub(super) fn account(&self, directory: &str) -> anyhow::Result<Option<AccountCredentials>> {
        let Some(text) = self.read("account.json")? else { return Ok(None) };
        // Without what stands in it.
        let kept: Kept<AccountCredentials> = serde_json::from_str(&text)
            .map_err(|_| anyhow::anyhow!("{} is damaged", self.0.join("account.json").display()))?;
        Ok((kept.directory == directory).then_some(kept.account))
    }

    /// Keeps the account in place of any other.
    pub(super) fn keep_account(&self, directory: &str, account: &AccountCredentials) -> anyhow::Result<()> {
        let kept = Kept { directory: directory.to_owned(), account };
        self.write("account.json", &serde_json::to_string(&kept)?)
    }

    /// Forgets the account.
    pub(super) fn forget_account(&self) -> anyhow::Result<()> {
        let path = self.0.join("account.json");
        fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))
    }

    /// The key and the certificate chain of a domain, as PEM.
    pub(super) fn certificate(&self, domain: &str) -> anyhow::Result<Option<String>> {
        self.read(&format!("{domain}.pem"))
    }

    /// Keeps the key and the certificate chain of a domain.
    pub(super) fn keep_certificate(&self, domain: &str, pem: &str) -> anyhow::Result<()> {
        self.write(&format!("{domain}.pem"), pem)
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let written = || {
            match fs::remove_file(&new) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            fs::File::open(&self.0)?.sync_all()
        };
        written().with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// From when until when the first certificate in `pem` is valid.
pub(super) fn validity(pem: &str) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
    let leaf = CertificateDer::pem_slice_iter(pem.as_bytes()).next().context("there is no certificate")??;
    let (_, leaf) = parse_x509_certificate(&leaf).context("the certificate cannot be read")?;
    let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp_secs(time.timestamp());
    let valid = leaf.validity();
    time(valid.not_before).zip(time(valid.not_after)).context("the certificate has no sound dates")
}
