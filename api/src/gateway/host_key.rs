//! The gateway's own SSH key: made once, kept, and pinned by devices.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::Context;
use domain::key::PublicKey;
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};

use crate::clock::random_bytes;

/// The key in `folder`, made when there is none.
///
/// # Errors
/// When it cannot be read or written, or is no Ed25519 key: it is never replaced.
pub fn load_or_create(folder: &Path) -> anyhow::Result<PrivateKey> {
    let path = folder.join("host_key");
    let shown = path.display();
    if path.exists() {
        let text = std::fs::read_to_string(&path).with_context(|| format!("{shown} cannot be read"))?;
        let key = PrivateKey::from_openssh(&text);
        let key = key.ok().filter(|key| public(key).is_some());
        return key.with_context(|| format!("{shown} is no Ed25519 key; restore it from a backup, or remove it and let every device learn the new one"));
    }
    let pair = Ed25519Keypair::from_seed(&random_bytes());
    let key = PrivateKey::new(pair.into(), "berth gateway")?;
    let text = key.to_openssh(LineEnding::LF)?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("{} cannot be made", folder.display()))?;
    let building = folder.join("host_key.new");
    let _ = std::fs::remove_file(&building);
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&building)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&building, &path)?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(key)
}

/// Its public half; `None` when it is of another kind.
#[must_use]
pub fn public(key: &PrivateKey) -> Option<PublicKey> {
    key.public_key().key_data().ed25519().map(|key| PublicKey(key.0))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_host_key_is_made_once_private_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("gateway");
        let first = load_or_create(&folder).unwrap();
        assert_eq!(public(&first), public(&load_or_create(&folder).unwrap()));
        let path = folder.join("host_key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "no key").unwrap();
        assert!(load_or_create(&folder).unwrap_err().to_string().contains("restore"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no key");
    }
}
