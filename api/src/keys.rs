//! The server's keys: what it signs with and what it seals secrets with.
//!
//! # Shape
//! A folder with `root.key` (pins the server; may be taken offline once the online key is certified), `online.key` with
//! `online.cert` (signs answers and tombstones) and `vault.key` (seals secrets in the private store). Made at the first
//! start, readable by the owner only.
//!
//! # Correctness
//! Every file is written whole to a temporary name, synced, and renamed, so a crash leaves all of it or none. A missing
//! file beside existing ones is an error, never silently made anew: a new root would strand every device.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::Aead};
use domain::{
    key::PublicKey,
    time::Time,
    wire::{self, OnlineKey, ServerSigned, Signed},
};
use ed25519_dalek::SigningKey;

use crate::clock::random_bytes;

/// The server's keys.
pub struct Keys {
    root: PublicKey,
    online: SigningKey,
    certificate: Signed,
    vault: ChaCha20Poly1305,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the keys in `dir`, or makes them when the folder does not exist.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the folder cannot be written.
    pub fn open(dir: &Path, now: Time) -> anyhow::Result<Self> {
        if !dir.exists() {
            Self::create(dir, now)?;
        }
        let online = SigningKey::from_bytes(&read_key(&dir.join("online.key"))?);
        let vault = read_key(&dir.join("vault.key"))?;
        let root = fs::read_to_string(dir.join("root.pub")).context("keys/root.pub cannot be read")?;
        let root: PublicKey = root.trim().parse().context("keys/root.pub is damaged")?;
        let certificate = fs::read(dir.join("online.cert")).context("keys/online.cert cannot be read")?;
        let certificate: Signed =
            serde_json::from_slice(&certificate).context("keys/online.cert is damaged")?;
        let certified =
            certificate.certified_by(&root).context("keys/online.cert is not signed by keys/root.pub")?;
        ensure!(certified.key.0 == online.verifying_key().to_bytes(), "keys/online.cert is for another key");
        Ok(Self { root, online, certificate, vault: ChaCha20Poly1305::new(&vault.into()) })
    }

    fn create(dir: &Path, now: Time) -> anyhow::Result<()> {
        let root = SigningKey::from_bytes(&random_bytes());
        let online = SigningKey::from_bytes(&random_bytes());
        let key = PublicKey(online.verifying_key().to_bytes());
        let certificate = wire::sign(&OnlineKey { v: wire::VERSION, key, era: 1, certified_at: now }, &root);
        let building = dir.with_extension("new");
        if building.exists() {
            fs::remove_dir_all(&building)?;
        }
        fs::create_dir_all(&building).with_context(|| format!("{} cannot be made", building.display()))?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).into_bytes();
        write(&building.join("root.key"), &encode(&root.to_bytes()))?;
        write(&building.join("root.pub"), PublicKey(root.verifying_key().to_bytes()).to_string().as_bytes())?;
        write(&building.join("online.key"), &encode(&online.to_bytes()))?;
        write(&building.join("online.cert"), &serde_json::to_vec(&certificate)?)?;
        write(&building.join("vault.key"), &encode(&random_bytes::<32>()))?;
        fs::File::open(&building)?.sync_all()?;
        fs::rename(&building, dir)?;
        let parent = dir.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        fs::File::open(parent)?.sync_all()?;
        Ok(())
    }

    /// The root key that devices pin.
    #[must_use]
    pub const fn root(&self) -> PublicKey {
        self.root
    }

    /// Signs a message to a device.
    #[must_use]
    pub fn sign<T: wire::Message>(&self, message: &T) -> ServerSigned {
        ServerSigned { certificate: self.certificate.clone(), message: wire::sign(message, &self.online) }
    }

    /// Seals a secret for the private store. `context` must be given again to open it.
    ///
    /// # Panics
    /// Never for anything that fits into memory.
    #[must_use]
    pub fn seal(&self, context: &str, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = random_bytes();
        let payload = chacha20poly1305::aead::Payload { msg: secret, aad: context.as_bytes() };
        let sealed = self.vault.encrypt(&nonce.into(), payload).expect("sealing in memory cannot fail");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens what [`Keys::seal`] sealed under the same context.
    ///
    /// # Errors
    /// When it was sealed with another key or context, or is damaged.
    pub fn unseal(&self, context: &str, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let Some((nonce, sealed)) = sealed.split_first_chunk::<12>() else {
            bail!("a sealed secret is too short")
        };
        let payload = chacha20poly1305::aead::Payload { msg: sealed, aad: context.as_bytes() };
        let opened = self.vault.decrypt(&(*nonce).into(), payload);
        opened.map_err(|_| {
            anyhow::anyhow!(
                "a sealed secret does not open with keys/vault.key; restore the key that sealed it"
            )
        })
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let advice = || format!("{} cannot be read; restore it from a backup", path.display());
    fs::read_to_string(path).with_context(advice)
}

fn damaged(path: &Path) -> String {
    format!("{} is damaged; restore it from a backup", path.display())
}

fn read_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(read(path)?.trim()).ok().and_then(|b| b.try_into().ok());
    bytes.with_context(|| damaged(path))
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_a_missing_one_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let first = Keys::open(&keys, Time::from_unix(1)).unwrap();
        let second = Keys::open(&keys, Time::from_unix(2)).unwrap();
        assert_eq!(first.root(), second.root());
        assert_eq!(second.unseal("a", &first.seal("a", b"secret")).unwrap(), b"secret");
        assert!(second.unseal("b", &first.seal("a", b"secret")).is_err());
        fs::remove_file(keys.join("vault.key")).unwrap();
        assert!(Keys::open(&keys, Time::from_unix(3)).unwrap_err().to_string().contains("vault.key"));
    }
}
