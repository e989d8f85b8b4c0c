//! What a device asks.

use serde::{Deserialize, Serialize};

use super::{MAX_MESSAGE, Signed, Verified, WireError, envelope::Message};
use crate::{
    id::{DeviceId, Epoch, GatewayName, Subdomain},
    key::{Digest, Nonce, PublicKey},
    offer::Hardware,
    time::Time,
};

/// A device asks for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// [`super::VERSION`].
    pub v: u32,
    /// The device's own key; it signs this request.
    pub device_key: PublicKey,
    /// SHA-256 of the device's configuration.
    pub config_hash: Digest,
    /// What the device is.
    pub hardware: Hardware,
}

impl Message for Registration {
    const CONTEXT: &'static str = "berth registration v1";
}

/// A registration signed by the key inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedRegistration(pub Signed);

impl SignedRegistration {
    /// Opens the request if the key inside signed it.
    ///
    /// # Errors
    /// When it cannot be read, the signature does not fit, or the hardware is out of range.
    pub fn verify(&self) -> Result<Verified<Registration>, WireError> {
        #[derive(Deserialize)]
        struct Claimed {
            device_key: PublicKey,
        }
        let malformed = |e: serde_json::Error| WireError::Malformed(e.to_string());
        if self.0.payload.len() > MAX_MESSAGE {
            return Err(WireError::TooLong);
        }
        let claimed: Claimed = serde_json::from_str(&self.0.payload).map_err(malformed)?;
        let registration: Registration = self.0.open(&claimed.device_key)?;
        if !registration.hardware.is_valid() {
            return Err(WireError::Malformed("the hardware report is out of range".into()));
        }
        Ok(Verified::new(registration))
    }
}

/// What a registered device is told, once per lease; the same question gets the same answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The device's id.
    pub device: DeviceId,
    /// The server's root key: pinned by the device from now on.
    pub server_key: PublicKey,
    /// The lease.
    pub epoch: Epoch,
    /// The gateway.
    pub gateway: GatewayName,
    /// The gateway's host name.
    pub host: String,
    /// The leased port.
    pub port: u16,
    /// The leased subdomain.
    pub subdomain: Subdomain,
    /// The renter's user name on the device.
    pub user: String,
    /// The renter's password on the device.
    pub password: String,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("device", &self.device)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Where a device stands, as it reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedState {
    /// No record, no label.
    Blank,
    /// Nothing leased.
    Idle,
    /// A lease is known, its volume is not ready.
    Preparing,
    /// A lease is held.
    Leased,
    /// Erasing.
    Erasing,
    /// Erased, receipt not acknowledged.
    Erased,
    /// The record is unreadable.
    Unknown,
}

/// What a device says about itself when it polls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// Where it stands.
    pub state: ReportedState,
    /// The lease it knows; 0 for none.
    pub epoch: Epoch,
    /// Whether the workload runs.
    pub running: bool,
    /// A conflict that a human should see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// A device asks what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollRequest {
    /// [`super::VERSION`].
    pub v: u32,
    /// Answered back, so that an old answer is worth nothing.
    pub nonce: Nonce,
    /// The device's own key.
    pub device_key: PublicKey,
    /// Different after every boot.
    pub boot_id: uuid::Uuid,
    /// Where it stands.
    pub reported: Reported,
    /// The sequence number of the last answer; with `wait_s`, the server waits for a later one.
    pub seen_seq: u64,
    /// How long the server may wait for news, in seconds; at most 30.
    #[serde(default)]
    pub wait_s: u32,
    /// The device's time floor.
    pub floor: Time,
}
