//! What a device asks.

use serde::{Deserialize, Serialize};

use super::{ServerSigned, Signed, Verified, WireError, envelope::Message};
use crate::{
    event::canonical_json,
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
        let registration: Registration = self.0.open(&self.0.claimed_key()?)?;
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

/// The server's word that it grants just this: signed like an answer, without the secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantProof {
    /// [`super::VERSION`].
    pub v: u32,
    /// SHA-256 of the registration's payload that it answers.
    pub registration: Digest,
    /// SHA-256 of the grant's canonical JSON.
    pub grant: Digest,
}

impl Message for GrantProof {
    const CONTEXT: &'static str = "berth grant v1";
}

/// A grant with its proof: the answer to a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenGrant {
    /// The grant.
    #[serde(flatten)]
    pub grant: Grant,
    /// [`GrantProof`], signed by the online key.
    pub proof: ServerSigned,
}

impl SignedRegistration {
    /// What proves that `grant` answers this registration.
    #[must_use]
    pub fn proof(&self, grant: &Grant) -> GrantProof {
        let registration = Digest::of(self.0.payload.as_bytes());
        GrantProof { v: super::VERSION, registration, grant: Digest::of(&canonical_json(grant)) }
    }
}

impl ProvenGrant {
    /// The grant, if the server that `root` certifies gave it as the answer to `registration`.
    ///
    /// # Errors
    /// When the signatures do not fit, or it is another grant or the answer to something else.
    pub fn verify(self, root: &PublicKey, registration: &SignedRegistration) -> Result<Grant, WireError> {
        let (_, proof): (_, GrantProof) = self.proof.open(root)?;
        if proof == registration.proof(&self.grant) {
            Ok(self.grant)
        } else {
            Err(WireError::Foreign("another grant, or the answer to another registration"))
        }
    }
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
    /// The SSH host keys of the workload, each as [`super::is_host_key`] wants it; at most [`super::MAX_HOST_KEYS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
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
    /// Different after every start of the agent.
    pub boot_id: uuid::Uuid,
    /// Counts the polls of this start from 1, so that an old one is worth nothing; 0 when not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u64,
    /// How often the device wrote its record; a copy of a card falls behind. 0 when not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub saves: u64,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Message for PollRequest {
    const CONTEXT: &'static str = "berth poll v1";
}

/// A question signed by the key that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedPoll(pub Signed);

impl SignedPoll {
    /// Opens the question if the key inside signed it.
    ///
    /// # Errors
    /// When it cannot be read, the signature does not fit, or what is reported is out of range.
    pub fn verify(&self) -> Result<Verified<PollRequest>, WireError> {
        let poll: PollRequest = self.0.open(&self.0.claimed_key()?)?;
        if !poll.reported.is_valid() {
            return Err(WireError::Malformed("the report is out of range".into()));
        }
        Ok(Verified::new(poll))
    }
}

/// A sign of life while there is no time to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckIn {
    /// [`super::VERSION`].
    pub v: u32,
    /// The device's own key.
    pub device_key: PublicKey,
    /// Different after every start of the agent.
    pub boot_id: uuid::Uuid,
    /// Counts the check-ins of this start from 1, so that an old one is worth nothing.
    pub count: u64,
}

impl Message for CheckIn {
    const CONTEXT: &'static str = "berth check-in v1";
}

/// A sign of life signed by the key that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedCheckIn(pub Signed);

impl SignedCheckIn {
    /// Opens it if the key inside signed it.
    ///
    /// # Errors
    /// When it cannot be read or the signature does not fit.
    pub fn verify(&self) -> Result<Verified<CheckIn>, WireError> {
        self.0.open(&self.0.claimed_key()?).map(Verified::new)
    }
}
