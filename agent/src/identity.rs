//! The device's own key: written once, never changed, never sent.

use std::{io, path::Path};

use anyhow::ensure;
use domain::key::PublicKey;
use ed25519_dalek::SigningKey;
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use zeroize::Zeroizing;

use crate::{
    dice, file,
    tree::{Disk, Tree},
};

/// Reads the device key, or makes one if there is none and nothing is `bound` to it.
///
/// # Errors
/// When it cannot be read or written, is no key, or is gone while a lease is bound to it; it is never replaced.
pub fn load_or_create(data_dir: &Path, bound: bool) -> io::Result<SigningKey> {
    let path = data_dir.join("device.key");
    if let Some(bytes) = Disk.read(&path, 32)? {
        let secret: [u8; 32] = bytes.try_into().map_err(|_| {
            io::Error::other(format!(
                "{} is damaged; restore it from a copy: a new key is a new device",
                path.display()
            ))
        })?;
        return Ok(SigningKey::from_bytes(&secret));
    }
    if bound {
        return Err(io::Error::other(format!(
            "{} is gone, and a lease is bound to it; restore it from a copy: a new key is a new device",
            path.display()
        )));
    }
    let key = SigningKey::from_bytes(&dice::bytes());
    file::write(&Disk, &path, key.as_bytes())?;
    Ok(key)
}

/// The device key as OpenSSH reads it.
///
/// # Errors
/// When there is none: it is made when the agent first runs.
pub fn openssh(data_dir: &Path) -> anyhow::Result<Zeroizing<String>> {
    let path = data_dir.join("device.key");
    ensure!(path.exists(), "{} does not exist; the agent makes it when it first runs", path.display());
    let key = load_or_create(data_dir, true)?;
    let pair = Ed25519Keypair::from_seed(key.as_bytes());
    Ok(PrivateKey::new(pair.into(), "berth device")?.to_openssh(LineEnding::LF)?)
}

/// Its public half.
#[must_use]
pub fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn openssh_reads_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        assert!(openssh(directory.path()).unwrap_err().to_string().contains("does not exist"));
        let key = load_or_create(directory.path(), false).unwrap();
        let shown = PrivateKey::from_openssh(openssh(directory.path()).unwrap().as_str()).unwrap();
        assert_eq!(shown.public_key().key_data().ed25519().unwrap().0, public(&key).0);
    }

    #[test]
    fn the_key_is_made_once_private_and_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let first = load_or_create(directory.path(), false).unwrap();
        assert_eq!(public(&first), public(&load_or_create(directory.path(), false).unwrap()));
        let path = directory.path().join("device.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"short").unwrap();
        assert!(load_or_create(directory.path(), false).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        std::fs::remove_file(&path).unwrap();
        assert!(load_or_create(directory.path(), true).is_err() && !path.exists());
    }
}
