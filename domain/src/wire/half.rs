//! The server's half of a volume key, sealed to one device.
//!
//! # Shape
//! A volume opens with two halves: one that the device keeps and one that the server keeps and hands out while the lease
//! runs. Sealing is HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305) to the device's
//! Ed25519 key taken to X25519 (RFC 7748, section 4.1); the info names device and epoch, so a half sealed for one lease
//! opens for no other.
//!
//! # Correctness
//! [`KeyHalf`] is wiped when dropped and cannot be shown or serialised: it leaves memory sealed or through
//! [`KeyHalf::reveal`] only.

use std::fmt;

use ed25519_dalek::{SigningKey, VerifyingKey};
use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, rand_core::CryptoRng,
};
use zeroize::Zeroizing;

use crate::{
    id::{DeviceId, Epoch},
    key::{Digest, PublicKey, SealedHalf},
};

type Kem = X25519HkdfSha256;

/// One half of a volume key: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHalf(Zeroizing<[u8; 32]>);

impl fmt::Debug for KeyHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHalf(…)")
    }
}

impl KeyHalf {
    /// A half of 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to derive a key from or to be sealed by other means.
    #[must_use]
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// What may be shown of it: whoever holds the half can prove that it is this one, and nobody can find it from this.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        Digest::of(&[b"berth key half v1\0".as_slice(), self.0.as_slice()].concat())
    }

    /// Seals it for lease `epoch` of `device` to its key `to`; none when that is no Ed25519 key.
    #[must_use]
    pub fn seal(
        &self,
        to: &PublicKey,
        device: DeviceId,
        epoch: Epoch,
        rng: &mut impl CryptoRng,
    ) -> Option<SealedHalf> {
        let to = VerifyingKey::from_bytes(&to.0).ok()?.to_montgomery();
        let to = <Kem as hpke::Kem>::PublicKey::from_bytes(to.as_bytes()).ok()?;
        let (encapped, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &to,
            &info(device, epoch),
            self.0.as_slice(),
            &[],
            rng,
        )
        .ok()?;
        [encapped.to_bytes().as_slice(), &sealed].concat().try_into().ok().map(SealedHalf)
    }

    /// Opens a half that was sealed for lease `epoch` of `device` to `key`; none when it was not.
    #[must_use]
    pub fn open(sealed: &SealedHalf, key: &SigningKey, device: DeviceId, epoch: Epoch) -> Option<Self> {
        let scalar = Zeroizing::new(key.to_scalar_bytes());
        let key = <Kem as hpke::Kem>::PrivateKey::from_bytes(scalar.as_slice()).ok()?;
        let (encapped, sealed) = sealed.0.split_at(32);
        let encapped = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapped).ok()?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &key,
            &encapped,
            &info(device, epoch),
            sealed,
            &[],
        );
        let opened = Zeroizing::new(opened.ok()?);
        opened.as_slice().try_into().ok().map(Self::new)
    }
}

fn info(device: DeviceId, epoch: Epoch) -> Vec<u8> {
    format!("berth key half v1 {device} {epoch}").into_bytes()
}
