//! The device's statement of how it erased an epoch.

use serde::{Deserialize, Serialize};

use super::{Signed, Verified, WireError, envelope::Message};
use crate::{
    id::{DeviceId, Epoch},
    key::{Digest, PublicKey},
    time::Time,
};

/// The most steps a receipt may list.
pub const MAX_STEPS: usize = 32;
/// The longest receipt, in bytes: as part of an event it stays below [`crate::event::MAX_PAYLOAD`] however it is escaped.
pub const MAX_RECEIPT: usize = 24_576;
/// The longest step name or detail, in bytes.
pub const MAX_STEP_TEXT: usize = 200;

/// How one step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// Done and verified.
    Done,
    /// There was nothing to do.
    NothingThere,
    /// The hardware cannot do it.
    Unsupported,
}

/// One step of an erasure and its result; never a bare "ok".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseStep {
    /// What was done, such as `remove files` or `blkdiscard --secure`.
    pub step: String,
    /// How it went.
    pub result: StepResult,
    /// What was seen.
    pub detail: String,
}

/// How an epoch was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`super::VERSION`].
    pub v: u32,
    /// The device.
    pub device: DeviceId,
    /// The lease.
    pub epoch: Epoch,
    /// [`super::Tombstone::digest`] of the tombstone it acted on.
    pub tombstone: Digest,
    /// The kind of volume, such as `directory`.
    pub volume: String,
    /// What was done.
    pub steps: Vec<EraseStep>,
    /// Not before this time: the device's time floor.
    pub not_before: Time,
}

impl Message for Receipt {
    const CONTEXT: &'static str = "berth erasure receipt v1";
}

/// A receipt signed by the device's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedReceipt(pub Signed);

impl SignedReceipt {
    /// Opens a receipt of `device` signed by `key`.
    ///
    /// # Errors
    /// When the signature does not fit, it names another device, or it or its texts are too long.
    pub fn verify(&self, key: &PublicKey, device: DeviceId) -> Result<Verified<Receipt>, WireError> {
        if self.0.payload.len() > MAX_RECEIPT {
            return Err(WireError::Malformed(format!("a receipt has at most {MAX_RECEIPT} bytes")));
        }
        let receipt: Receipt = self.0.open(key)?;
        if receipt.device != device {
            return Err(WireError::Foreign("another device's receipt"));
        }
        let texts = receipt.steps.iter().flat_map(|s| [&s.step, &s.detail]).chain([&receipt.volume]);
        if receipt.steps.is_empty()
            || receipt.steps.len() > MAX_STEPS
            || texts.into_iter().any(|t| t.len() > MAX_STEP_TEXT)
        {
            return Err(WireError::Malformed("a receipt lists 1 to 32 steps with short texts".into()));
        }
        Ok(Verified::new(receipt))
    }
}
