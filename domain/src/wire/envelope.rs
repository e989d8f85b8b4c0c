//! Signed envelopes and what it takes to open one.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{MAX_MESSAGE, VERSION};
use crate::{
    event::canonical_json,
    key::{PublicKey, Signature},
    time::Time,
};

/// Why a message is not believed. To a device every one of these is silence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("the message is longer than {MAX_MESSAGE} bytes")]
    TooLong,
    /// Not the expected form.
    #[error("the message cannot be read: {0}")]
    Malformed(String),
    /// A version that is not known here.
    #[error("the message has version {0}, known is {VERSION}")]
    Version(u32),
    /// The signature does not fit.
    #[error("the signature of the {0} does not fit")]
    BadSignature(&'static str),
    /// It was meant for somebody else, or for another moment.
    #[error("the message was not meant for this: {0}")]
    Foreign(&'static str),
}

/// What kind of message a signature is for.
pub trait Message: Serialize + DeserializeOwned {
    /// Signed in front of the bytes.
    const CONTEXT: &'static str;
}

/// A message as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The exact JSON text that was signed.
    pub payload: String,
    /// The signature over the context, a zero byte and the payload.
    pub signature: Signature,
}

/// A message that passed every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(super) const fn new(message: T) -> Self {
        Self(message)
    }

    /// The message.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The message, given away.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Signs a message as canonical JSON.
#[must_use]
pub fn sign<T: Message>(message: &T, key: &SigningKey) -> Signed {
    let payload = canonical_json(message);
    let signature = Signature(key.sign(&signed_bytes(T::CONTEXT, &payload)).to_bytes());
    Signed { payload: String::from_utf8_lossy(&payload).into_owned(), signature }
}

fn signed_bytes(context: &str, payload: &[u8]) -> Vec<u8> {
    [context.as_bytes(), &[0], payload].concat()
}

impl Signed {
    /// Opens the envelope if `key` signed it as a `T`.
    ///
    /// # Errors
    /// When it is too long, the signature does not fit, or the payload is not a `T` of a known version.
    pub(super) fn open<T: Message>(&self, key: &PublicKey) -> Result<T, WireError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let bad = || WireError::BadSignature(T::CONTEXT);
        let payload = self.payload.as_bytes();
        if payload.len() > MAX_MESSAGE {
            return Err(WireError::TooLong);
        }
        let verifying = VerifyingKey::from_bytes(&key.0).map_err(|_| bad())?;
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature.0);
        verifying.verify_strict(&signed_bytes(T::CONTEXT, payload), &signature).map_err(|_| bad())?;
        let malformed = |e: serde_json::Error| WireError::Malformed(e.to_string());
        let version: Version = serde_json::from_slice(payload).map_err(malformed)?;
        if version.v != VERSION {
            return Err(WireError::Version(version.v));
        }
        serde_json::from_slice(payload).map_err(malformed)
    }

    /// The device key that the payload names as its signer; believed only after [`Signed::open`] with it.
    pub(super) fn claimed_key(&self) -> Result<PublicKey, WireError> {
        #[derive(Deserialize)]
        struct Claimed {
            device_key: PublicKey,
        }
        if self.payload.len() > MAX_MESSAGE {
            return Err(WireError::TooLong);
        }
        let claimed = serde_json::from_str::<Claimed>(&self.payload);
        claimed.map(|claimed| claimed.device_key).map_err(|e| WireError::Malformed(e.to_string()))
    }
}

/// The root key's word that an online key may sign answers and tombstones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineKey {
    /// [`VERSION`].
    pub v: u32,
    /// The online key.
    pub key: PublicKey,
    /// Counts restarts of the answer sequence: a server restored from a backup opens a new one.
    pub era: u32,
    /// When the root signed it.
    pub certified_at: Time,
}

impl Message for OnlineKey {
    const CONTEXT: &'static str = "berth online key v1";
}

impl Signed {
    /// The online key that `root` certified with this.
    ///
    /// # Errors
    /// When `root` did not sign it.
    pub fn certified_by(&self, root: &PublicKey) -> Result<OnlineKey, WireError> {
        self.open(root)
    }
}

/// A message signed by an online key, with the root's word for that key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSigned {
    /// [`OnlineKey`], signed by the root.
    pub certificate: Signed,
    /// The message, signed by the online key.
    pub message: Signed,
}

impl ServerSigned {
    /// Opens both envelopes from the pinned root key down.
    pub(super) fn open<T: Message>(&self, root: &PublicKey) -> Result<(OnlineKey, T), WireError> {
        let online: OnlineKey = self.certificate.open(root)?;
        let message = self.message.open(&online.key)?;
        Ok((online, message))
    }

    /// Reads a message off the wire.
    ///
    /// # Errors
    /// When it is too long or not an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(WireError::TooLong);
        }
        serde_json::from_slice(bytes).map_err(|e| WireError::Malformed(e.to_string()))
    }
}
