//! The server's keys: what it signs with and what it seals secrets with.
//!
//! # Shape
//! A folder with `root.key` (pins the server; may be taken offline once the online key is certified), `online.key` with
//! `online.cert` (signs answers and tombstones) and `vault.key` (seals secrets in the private store). Made at the first
//! start, readable by the owner only.
//!
//! # Correctness
//! Every file is written whole to a temporary name, synced, and renamed, so a crash leaves all of it or none. A missing
//! file beside existing ones is an error, never silently made anew: a new root would strand every device. A new online key
//! and its certificate count from the moment the certificate is renamed: whoever opens the folder after a crash between
//! the two renames finishes the second.

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
    key::{Digest, PublicKey},
    time::Time,
    wire::{self, OnlineKey, ServerSigned, Signed},
};
use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;

use crate::{clock::random_bytes, config::Secret};

/// The server's keys.
pub struct Keys {
    root: PublicKey,
    online: SigningKey,
    certified: OnlineKey,
    certificate: Signed,
    vault: ChaCha20Poly1305,
    /// Of the vault's key and the root: what nodes must have alike.
    fingerprint: Digest,
    gateway_token: Secret,
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
        let vault = read_key(&dir.join("vault.key"))?;
        let root = fs::read_to_string(dir.join("root.pub")).context("keys/root.pub cannot be read")?;
        let root: PublicKey = root.trim().parse().context("keys/root.pub is damaged")?;
        let certificate = fs::read(dir.join("online.cert")).context("keys/online.cert cannot be read")?;
        let certificate: Signed =
            serde_json::from_slice(&certificate).context("keys/online.cert is damaged")?;
        let certified =
            certificate.certified_by(&root).context("keys/online.cert is not signed by keys/root.pub")?;
        let online = online(dir, &certified)?;
        let derive = |purpose: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&vault).context("keys/vault.key is damaged")?;
            mac.update(purpose.as_bytes());
            mac.update(&root.0);
            anyhow::Ok(mac.finalize().into_bytes())
        };
        let fingerprint = Digest(derive("berth fingerprint")?.into());
        let gateway_token = URL_SAFE_NO_PAD.encode(derive("berth gateway token")?);
        let gateway_token = Secret(format!("berth-gateway-{gateway_token}"));
        let vault = ChaCha20Poly1305::new(&vault.into());
        Ok(Self { root, online, certified, certificate, vault, fingerprint, gateway_token })
    }

    /// Tells keys apart; says nothing about them.
    #[must_use]
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// What gateways prove themselves with to any node that has these keys.
    #[must_use]
    pub const fn gateway_token(&self) -> &Secret {
        &self.gateway_token
    }

    /// Makes a new online key of a later era, certified by the root key in `root` or in the folder. What the server signs
    /// with it is believed by devices that have heard more of an earlier era than this server knows.
    ///
    /// # Errors
    /// When the root's secret is not there or is another's, the era is not later, or the folder cannot be written.
    pub fn renew(dir: &Path, root: Option<&Path>, era: Option<u32>, now: Time) -> anyhow::Result<Self> {
        ensure!(dir.exists(), "{} does not exist; `berth serve` makes it", dir.display());
        let current = Self::open(dir, now)?;
        let kept = dir.join("root.key");
        ensure!(
            root.is_some() || kept.exists(),
            "{} is not there: name the file that holds the root's secret with --root",
            kept.display()
        );
        let root = SigningKey::from_bytes(&read_key(root.unwrap_or(&kept))?);
        ensure!(
            root.verifying_key().to_bytes() == current.root.0,
            "that is the secret of another root key than the one that devices have pinned, {}",
            current.root
        );
        let next = current.certified.era.checked_add(1).context("there is no later era")?;
        let era = era.unwrap_or(next);
        ensure!(era >= next, "the era must be {next} or later");
        let online = SigningKey::from_bytes(&random_bytes());
        let key = PublicKey(online.verifying_key().to_bytes());
        let certificate = wire::sign(&OnlineKey { v: wire::VERSION, key, era, certified_at: now }, &root);
        for (name, bytes) in [
            ("online.key.new", URL_SAFE_NO_PAD.encode(online.to_bytes()).into_bytes()),
            ("online.cert.new", serde_json::to_vec(&certificate)?),
        ] {
            let path = dir.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => write(&path, &bytes)?,
            }
        }
        fs::File::open(dir)?.sync_all()?;
        take_over(dir, "online.cert")?;
        Self::open(dir, now)
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

    /// The online key, as the root certified it.
    #[must_use]
    pub const fn online(&self) -> &OnlineKey {
        &self.certified
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

/// The secret of the certified key; the one that was made with a certificate which has just come into force takes over.
fn online(dir: &Path, certified: &OnlineKey) -> anyhow::Result<SigningKey> {
    let fits = |path: &Path| {
        let key = SigningKey::from_bytes(&read_key(path)?);
        anyhow::Ok((key.verifying_key().to_bytes() == certified.key.0).then_some(key))
    };
    let (current, next) = (dir.join("online.key"), dir.join("online.key.new"));
    if next.exists()
        && let Ok(Some(key)) = fits(&next)
    {
        take_over(dir, "online.key")?;
        return Ok(key);
    }
    fits(&current)?.context("keys/online.cert is for another key")
}

/// Puts the new file of this name in the place of the old one.
fn take_over(dir: &Path, name: &str) -> anyhow::Result<()> {
    fs::rename(dir.join(format!("{name}.new")), dir.join(name))?;
    Ok(fs::File::open(dir)?.sync_all()?)
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

    fn folder() -> (tempfile::TempDir, PathBuf, Keys) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let keys = Keys::open(&path, Time::from_unix(1)).unwrap();
        (dir, path, keys)
    }

    #[test]
    fn a_new_online_key_is_of_a_later_era_and_signed_by_the_same_root() {
        let (_dir, path, old) = folder();
        let new = Keys::renew(&path, None, None, Time::from_unix(2)).unwrap();
        assert_eq!((old.online().era, new.online().era, new.root()), (1, 2, old.root()));
        assert_ne!(old.online().key, new.online().key);
        assert_eq!(new.unseal("a", &old.seal("a", b"secret")).unwrap(), b"secret");
        assert_eq!(Keys::renew(&path, None, Some(9), Time::from_unix(3)).unwrap().online().era, 9);
        let early = Keys::renew(&path, None, Some(9), Time::from_unix(3)).unwrap_err().to_string();
        assert!(early.contains("10 or later"), "{early}");
        assert_eq!(Keys::open(&path, Time::from_unix(4)).unwrap().online().era, 9);
    }

    #[test]
    fn without_the_roots_own_secret_no_key_is_renewed() {
        let (dir, path, _) = folder();
        let away = dir.path().join("offline.key");
        fs::rename(path.join("root.key"), &away).unwrap();
        let refused =
            |root: Option<&Path>| Keys::renew(&path, root, None, Time::from_unix(2)).unwrap_err().to_string();
        assert!(refused(None).contains("--root"), "{}", refused(None));
        let (_other, other, _) = folder();
        assert!(refused(Some(&other.join("root.key"))).contains("another root"));
        assert_eq!(Keys::open(&path, Time::from_unix(3)).unwrap().online().era, 1);
        assert_eq!(Keys::renew(&path, Some(&away), None, Time::from_unix(4)).unwrap().online().era, 2);
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_key_or_the_new_one() {
        let (_dir, path, old) = folder();
        let before =
            (fs::read(path.join("online.key")).unwrap(), fs::read(path.join("online.cert")).unwrap());
        let new = Keys::renew(&path, None, None, Time::from_unix(2)).unwrap();
        let after = (fs::read(path.join("online.key")).unwrap(), fs::read(path.join("online.cert")).unwrap());
        let put = |name: &str, bytes: &[u8]| fs::write(path.join(name), bytes).unwrap();
        let era = || Keys::open(&path, Time::from_unix(3)).unwrap().online().clone();
        // Only the key was written; both were; the certificate was renamed; the key was too.
        put("online.key", &before.0);
        put("online.cert", &before.1);
        put("online.key.new", &after.0);
        assert_eq!(era(), *old.online());
        put("online.cert.new", &after.1);
        assert_eq!(era(), *old.online());
        fs::rename(path.join("online.cert.new"), path.join("online.cert")).unwrap();
        assert_eq!(era(), *new.online());
        assert!(!path.join("online.key.new").exists(), "it was finished");
        assert_eq!(era(), *new.online());
        // A file that was cut off while it was written stops nobody, and the next renewal writes over it.
        put("online.key.new", b"half");
        assert_eq!(era(), *new.online());
        assert_eq!(Keys::renew(&path, None, None, Time::from_unix(4)).unwrap().online().era, 3);
    }
}
