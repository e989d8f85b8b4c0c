//! The key of a locked volume: a half that the device keeps and a half that the server hands out.
//!
//! # Shape
//! ```text
//! volume key = HKDF-SHA-256 (RFC 5869) of device half | server half, for one device and lease
//! ```
//! The device half lies in a file of its own, so that a spoilt record does not cost a renter's data. The server half is
//! held in memory; only where offline resume was chosen is it kept in that file too.
//!
//! # Correctness
//! Without the server half the volume is noise, whatever the medium kept of the device half: that is what makes erasing
//! certain. The file is replaced whole: a power cut leaves the old one or the new one, never none. Keys are wiped when
//! dropped and never shown, logged or put into the record.

use std::{fmt, io, path::PathBuf, sync::Arc};

use domain::{
    id::{DeviceId, Epoch},
    wire::KeyHalf,
};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{file, tree::Tree};

const MAGIC: &str = "berth-half";
const BYTES_MAX: u64 = 1_024;

/// What opens a volume: 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for VolumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VolumeKey(…)")
    }
}

impl VolumeKey {
    /// Derives the key of lease `epoch` of `device`.
    ///
    /// # Panics
    /// Never: 32 bytes are less than HKDF can give.
    #[must_use]
    pub fn derive(device_half: &KeyHalf, server_half: &KeyHalf, device: DeviceId, epoch: Epoch) -> Self {
        let both = Zeroizing::new([device_half.reveal().as_slice(), server_half.reveal()].concat());
        let mut key = Zeroizing::new([0; 32]);
        let info = format!("berth volume key v1 {device} {epoch}");
        Hkdf::<Sha256>::new(None, &both).expand(info.as_bytes(), &mut *key).expect("32 bytes are few");
        Self(key)
    }

    /// The bytes, for the program that opens the volume.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    epoch: Epoch,
    device: [u8; 32],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<[u8; 32]>,
    /// Whether the server half ever lay here: flash may keep what was replaced.
    #[serde(default)]
    kept_server: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.device.zeroize();
        self.server.zeroize();
    }
}

/// The halves of this device.
pub struct Keyring {
    tree: Arc<dyn Tree>,
    path: PathBuf,
    heard: Option<(Epoch, KeyHalf)>,
    /// What opened the volume, to prove after its erasure that it does not any more.
    old: Option<(Epoch, VolumeKey)>,
}

impl Keyring {
    /// The halves kept in the file at `path`.
    #[must_use]
    pub fn new(tree: Arc<dyn Tree>, path: PathBuf) -> Self {
        Self { tree, path, heard: None, old: None }
    }

    /// Makes the device half of a lease durable; `fresh` is used when there is none.
    ///
    /// # Errors
    /// When it cannot be written, or the file is another lease's.
    pub fn make(&self, epoch: Epoch, fresh: [u8; 32]) -> io::Result<()> {
        match self.read()? {
            Some(kept) if kept.epoch == epoch => Ok(()),
            Some(kept) if kept.epoch > epoch => Err(io::Error::other("a later lease's key half lies there")),
            Some(_) | None => self.write(&Kept { epoch, device: fresh, server: None, kept_server: false }),
        }
    }

    /// Takes over the server half of a lease, to be kept in memory.
    pub fn hear(&mut self, epoch: Epoch, half: KeyHalf) {
        self.heard = Some((epoch, half));
    }

    /// Keeps the server half on the device, or takes it away again, as was chosen.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, epoch: Epoch, wanted: bool) -> io::Result<()> {
        let heard = self.heard.as_ref().filter(|(of, _)| *of == epoch);
        let Some(mut kept) = self.read()?.filter(|kept| kept.epoch == epoch) else { return Ok(()) };
        let server = match (wanted, heard) {
            (true, Some((_, half))) => Some(*half.reveal()),
            (true, None) => return Ok(()),
            (false, _) => None,
        };
        if kept.server == server {
            return Ok(());
        }
        kept.kept_server |= server.is_some();
        kept.server = server;
        self.write(&kept)
    }

    /// Whether the server half of a lease ever lay on the device.
    #[must_use]
    pub fn ever_kept(&self, epoch: Epoch) -> bool {
        self.read().ok().flatten().is_some_and(|kept| kept.epoch == epoch && kept.kept_server)
    }

    /// Whether the server half of a lease lies on the device.
    #[must_use]
    pub fn keeps(&self, epoch: Epoch) -> bool {
        self.read().ok().flatten().is_some_and(|kept| kept.epoch == epoch && kept.server.is_some())
    }

    /// The key of a lease, while both halves are at hand.
    #[must_use]
    pub fn key(&self, device: DeviceId, epoch: Epoch) -> Option<VolumeKey> {
        let kept = self.read().ok().flatten().filter(|kept| kept.epoch == epoch)?;
        let heard = self.heard.as_ref().filter(|(of, _)| *of == epoch).map(|(_, half)| half.clone());
        let server = heard.or_else(|| kept.server.map(KeyHalf::new))?;
        Some(VolumeKey::derive(&KeyHalf::new(kept.device), &server, device, epoch))
    }

    /// Whether the server's half of a lease's key is at hand.
    #[must_use]
    pub fn has_server_half(&self, epoch: Epoch) -> bool {
        self.heard.as_ref().is_some_and(|(of, _)| *of == epoch) || self.keeps(epoch)
    }

    /// Remembers the key of a lease beyond the destruction of its halves, where they are at hand.
    pub fn remember(&mut self, device: DeviceId, epoch: Epoch) {
        if let Some(key) = self.key(device, epoch) {
            self.old = Some((epoch, key));
        }
    }

    /// The key that opened the volume of a lease, if this start knew it.
    #[must_use]
    pub fn old_key(&self, epoch: Epoch) -> Option<VolumeKey> {
        self.old.as_ref().filter(|(of, _)| *of == epoch).map(|(_, key)| key.clone())
    }

    /// Forgets what memory holds.
    pub fn forget(&mut self) {
        (self.heard, self.old) = (None, None);
    }

    /// Destroys the halves of leases up to `epoch`; `false` when there were none.
    ///
    /// # Errors
    /// When they cannot be overwritten.
    pub fn destroy(&mut self, epoch: Epoch) -> io::Result<bool> {
        if self.heard.as_ref().is_some_and(|(of, _)| *of <= epoch) {
            self.heard = None;
        }
        let torn = file::destroy(&*self.tree, &self.path.with_extension("tmp"), BYTES_MAX)?;
        if self.read().ok().flatten().is_some_and(|kept| kept.epoch > epoch) {
            return Ok(torn);
        }
        Ok(file::destroy(&*self.tree, &self.path, BYTES_MAX)? || torn)
    }

    fn read(&self) -> io::Result<Option<Kept>> {
        let Some(bytes) = self.tree.read(&self.path, BYTES_MAX)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let json = file::unseal(MAGIC, &bytes).map_err(io::Error::other)?;
        // The error text of serde may quote what it read.
        serde_json::from_slice(json).map(Some).map_err(|_| io::Error::other("the key half's file is damaged"))
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let json = Zeroizing::new(serde_json::to_vec(kept)?);
        file::write(&*self.tree, &self.path, &Zeroizing::new(file::seal(MAGIC, &json)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::tree::Disk;

    const ME: DeviceId = DeviceId(Uuid::from_u128(1));

    fn keyring(directory: &tempfile::TempDir) -> Keyring {
        Keyring::new(Arc::new(Disk), directory.path().join("half"))
    }

    #[test]
    fn a_key_needs_both_halves_of_its_lease() {
        let directory = tempfile::tempdir().unwrap();
        let mut keys = keyring(&directory);
        keys.make(3, [1; 32]).unwrap();
        assert_eq!(keys.key(ME, 3), None);
        keys.hear(3, KeyHalf::new([2; 32]));
        let key = keys.key(ME, 3).unwrap();
        assert_eq!(keys.key(ME, 2), None);
        keys.make(3, [9; 32]).unwrap();
        assert_eq!(keys.key(ME, 3), Some(key.clone()), "a half is made once");
        let mut again = keyring(&directory);
        assert_eq!(again.key(ME, 3), None, "the server half was in memory");
        again.hear(3, KeyHalf::new([2; 32]));
        assert_eq!(again.key(ME, 3), Some(key));
    }

    #[test]
    fn the_server_half_lies_on_the_device_only_while_that_is_chosen() {
        let directory = tempfile::tempdir().unwrap();
        let mut keys = keyring(&directory);
        keys.make(3, [1; 32]).unwrap();
        keys.hear(3, KeyHalf::new([2; 32]));
        let key = keys.key(ME, 3);
        keys.keep(3, true).unwrap();
        assert!(keys.keeps(3));
        assert_eq!(keyring(&directory).key(ME, 3), key);
        keys.keep(3, false).unwrap();
        assert!(!keys.keeps(3) && keys.ever_kept(3), "what lay there once is not forgotten");
        assert_eq!(keyring(&directory).key(ME, 3), None);
    }

    #[test]
    fn destroying_leaves_no_half_and_spares_a_later_lease() {
        let directory = tempfile::tempdir().unwrap();
        let mut keys = keyring(&directory);
        keys.make(3, [1; 32]).unwrap();
        keys.hear(3, KeyHalf::new([2; 32]));
        assert!(!keys.destroy(2).unwrap());
        assert!(keys.key(ME, 3).is_some());
        assert!(keys.destroy(3).unwrap());
        assert!(!keys.destroy(3).unwrap());
        assert_eq!(keys.key(ME, 3), None);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn keys_differ_by_half_device_and_lease() {
        let derive = |a, b, device, epoch| {
            VolumeKey::derive(&KeyHalf::new([a; 32]), &KeyHalf::new([b; 32]), device, epoch)
        };
        let keys = [
            derive(1, 2, ME, 3),
            derive(2, 1, ME, 3),
            derive(1, 3, ME, 3),
            derive(1, 2, DeviceId(Uuid::from_u128(2)), 3),
            derive(1, 2, ME, 4),
        ];
        for (n, key) in keys.iter().enumerate() {
            assert!(!keys[..n].contains(key));
        }
        assert_eq!(format!("{:?}", keys[0]), "VolumeKey(…)");
    }
}
