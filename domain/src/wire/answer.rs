//! What a server answers a device that asks what to do.

use serde::{Deserialize, Serialize};

use super::{
    GatewayAddress, MAX_EPOCH_JUMP, ServerSigned, Verified, WireError,
    envelope::{Message, OnlineKey},
};
use crate::{
    device::LeaseEnd,
    event::canonical_json,
    id::{ContractId, DeviceId, Epoch},
    key::{Digest, Nonce, PublicKey, SealedHalf},
    time::{Seconds, Time},
};

/// Why a device must wait with its data kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldWhy {
    /// The lease is being ended; a tombstone follows.
    Ending,
    /// An operator looks into it.
    UnderReview,
    /// Another machine answers to the same key.
    Cloned,
}

/// The server's word on a device's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The lease lives: run it.
    Run {
        /// The lease.
        epoch: Epoch,
        /// The end of the paid time; none while unrented.
        until: Option<Time>,
        /// How long this word stands without another, in seconds from asking.
        valid_for_s: Seconds,
        /// The server's half of the volume key, sealed to the device that asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_half: Option<SealedHalf>,
        /// The renter lets the device keep the half, so that the lease resumes without the server; the price is that
        /// erasing is then best effort.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        offline_resume: bool,
        /// Where the device's tunnel ends; none when the server has no gateway.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gateway: Option<GatewayAddress>,
    },
    /// Stop the workload, keep the data.
    Hold {
        /// The lease.
        epoch: Epoch,
        /// Why.
        why: HoldWhy,
    },
    /// The lease is over: erase. Believed only with the tombstone inside.
    End {
        /// The tombstone.
        tombstone: ServerSigned,
    },
    /// No lease; every epoch up to `floor` is erased.
    Vacant {
        /// The last erased epoch; 0 when there was none.
        floor: Epoch,
    },
    /// The enrolment is known, this device key is not: register.
    Stranger,
    /// The device has a new owner.
    Moved {
        /// Counts owners.
        owner_gen: u32,
    },
}

/// One answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// [`super::VERSION`].
    pub v: u32,
    /// Whom it is for.
    pub device: DeviceId,
    /// The nonce of the question.
    pub nonce: Nonce,
    /// The server's time: a floor for the device's.
    pub server_time: Time,
    /// Counts owners.
    pub owner_gen: u32,
    /// Never falls within an era.
    pub seq: u64,
    /// Seconds until the device should ask again.
    pub next_poll_s: u32,
    /// What to do.
    pub verdict: Verdict,
    /// The tombstones of ended epochs that the device reported.
    pub tombstones: Vec<ServerSigned>,
}

impl Message for Answer {
    const CONTEXT: &'static str = "berth answer v1";
}

/// The statement that a lease has ended; the only thing that lets an agent erase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// [`super::VERSION`].
    pub v: u32,
    /// The device.
    pub device: DeviceId,
    /// The lease that ended.
    pub epoch: Epoch,
    /// The contract that holds the end.
    pub contract: ContractId,
    /// When it ended.
    pub ended_at: Time,
    /// Why.
    pub why: LeaseEnd,
}

impl Message for Tombstone {
    const CONTEXT: &'static str = "berth tombstone v1";
}

impl Tombstone {
    /// SHA-256 of its canonical JSON; what a receipt refers to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical_json(self))
    }
}

/// What a device knows when it opens an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The pinned root key.
    pub root: PublicKey,
    /// Itself.
    pub device: DeviceId,
    /// The nonce it sent.
    pub nonce: Nonce,
    /// The highest era seen.
    pub era: u32,
    /// The highest sequence number seen in that era.
    pub seq: u64,
    /// The highest epoch known.
    pub epoch: Epoch,
}

impl ServerSigned {
    /// Opens an answer to `expect`'s question.
    ///
    /// # Errors
    /// Anything that is not exactly that: then nothing may be kept of it.
    pub fn verify_answer(&self, expect: &Expect) -> Result<(OnlineKey, Verified<Answer>), WireError> {
        let (online, answer): (OnlineKey, Answer) = self.open(&expect.root)?;
        if answer.device != expect.device {
            return Err(WireError::Foreign("another device"));
        }
        if answer.nonce != expect.nonce {
            return Err(WireError::Foreign("another question"));
        }
        if (online.era, answer.seq) < (expect.era, expect.seq) {
            return Err(WireError::Foreign("older than what was heard before"));
        }
        let epoch = match &answer.verdict {
            Verdict::Run { epoch, .. } | Verdict::Hold { epoch, .. } | Verdict::Vacant { floor: epoch } => {
                *epoch
            }
            Verdict::End { tombstone } => {
                tombstone.verify_tombstone(&expect.root, expect.device)?.get().epoch
            }
            Verdict::Stranger | Verdict::Moved { .. } => expect.epoch,
        };
        if epoch > expect.epoch.saturating_add(MAX_EPOCH_JUMP) {
            return Err(WireError::Foreign("an epoch too far ahead"));
        }
        for tombstone in &answer.tombstones {
            tombstone.verify_tombstone(&expect.root, expect.device)?;
        }
        Ok((online, Verified::new(answer)))
    }

    /// Whom an answer is for: what a device that has not been told its id takes for its own.
    ///
    /// # Errors
    /// When the signatures do not fit or it is no answer.
    pub fn addressee(&self, root: &PublicKey) -> Result<DeviceId, WireError> {
        self.open::<Answer>(root).map(|(_, answer)| answer.device)
    }

    /// Opens a tombstone for `device`.
    ///
    /// # Errors
    /// When the signatures do not fit or it names another device.
    pub fn verify_tombstone(
        &self,
        root: &PublicKey,
        device: DeviceId,
    ) -> Result<Verified<Tombstone>, WireError> {
        let (_, tombstone): (OnlineKey, Tombstone) = self.open(root)?;
        if tombstone.device != device {
            return Err(WireError::Foreign("another device's tombstone"));
        }
        Ok(Verified::new(tombstone))
    }
}
