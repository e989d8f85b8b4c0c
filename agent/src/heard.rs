//! What the agent heard: a verified word of its server, or silence.
//!
//! # Correctness
//! [`Word`] and [`Warrant`] have no public fields and one constructor each, which verifies. Whatever is not exactly a
//! signed, fresh answer to this device is [`Heard::Silence`], and silence carries nothing that could be acted on.

use domain::{
    id::{DeviceId, Epoch},
    key::{Digest, PublicKey, SealedHalf},
    time::{Seconds, Time},
    wire::{Expect, GatewayAddress, HoldWhy, ServerSigned, Tombstone, Verdict, Verified, WireError},
};

/// A verified tombstone with the envelope that proves it: what erasing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warrant {
    envelope: ServerSigned,
    tombstone: Verified<Tombstone>,
}

impl Warrant {
    /// Verifies a tombstone, heard just now or kept in the record.
    ///
    /// # Errors
    /// When the signatures do not fit or it names another device.
    pub fn open(envelope: &ServerSigned, root: &PublicKey, device: DeviceId) -> Result<Self, WireError> {
        let tombstone = envelope.verify_tombstone(root, device)?;
        Ok(Self { envelope: envelope.clone(), tombstone })
    }

    /// The lease that ended.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.tombstone.get().epoch
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.tombstone.get().device
    }

    /// What a receipt refers to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.tombstone.get().digest()
    }

    /// The proof, to be kept.
    #[must_use]
    pub const fn envelope(&self) -> &ServerSigned {
        &self.envelope
    }
}

/// The owner's word, given at the console, that a lease be erased before it ended: a breach of the rental.
///
/// Made by the `erase` command, or kept in the record after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    epoch: Epoch,
}

impl Demand {
    pub(crate) const fn of(epoch: Epoch) -> Self {
        Self { epoch }
    }

    /// The lease.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }
}

/// The verdict of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The lease lives.
    Run {
        /// The lease.
        epoch: Epoch,
        /// The end of the paid time; none while unrented.
        until: Option<Time>,
        /// How long this word stands, in seconds from asking.
        valid_for_s: Seconds,
        /// The server's half of the volume key, sealed to this device.
        key_half: Option<SealedHalf>,
        /// The renter lets the lease resume without the server.
        offline_resume: bool,
        /// Where the device's tunnel ends; none when the server has no gateway.
        gateway: Option<GatewayAddress>,
    },
    /// Stop the workload, keep the data.
    Hold {
        /// The lease.
        epoch: Epoch,
        /// Why.
        why: HoldWhy,
    },
    /// The lease of the tombstone is over.
    End(Warrant),
    /// No lease; every epoch up to `floor` is erased.
    Vacant {
        /// The last erased epoch.
        floor: Epoch,
    },
    /// The server does not know this device key.
    Stranger,
    /// The device has a new owner.
    Moved,
}

/// A verified answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    device: DeviceId,
    server_time: Time,
    era: u32,
    seq: u64,
    owner_gen: u32,
    next_poll_s: u32,
    said: Said,
    tombstones: Vec<Warrant>,
}

impl Word {
    /// Verifies an answer to `expect`'s question, tombstones included.
    ///
    /// # Errors
    /// Anything that is not exactly that.
    pub fn open(envelope: &ServerSigned, expect: &Expect) -> Result<Self, WireError> {
        let (online, answer) = envelope.verify_answer(expect)?;
        let answer = answer.into_inner();
        let warrant = |tombstone: &ServerSigned| Warrant::open(tombstone, &expect.root, expect.device);
        let said = match &answer.verdict {
            Verdict::Run { epoch, until, valid_for_s, key_half, offline_resume, gateway } => Said::Run {
                epoch: *epoch,
                until: *until,
                valid_for_s: *valid_for_s,
                key_half: *key_half,
                offline_resume: *offline_resume,
                gateway: gateway.clone(),
            },
            Verdict::Hold { epoch, why } => Said::Hold { epoch: *epoch, why: *why },
            Verdict::End { tombstone } => Said::End(warrant(tombstone)?),
            Verdict::Vacant { floor } => Said::Vacant { floor: *floor },
            Verdict::Stranger => Said::Stranger,
            Verdict::Moved { .. } => Said::Moved,
        };
        Ok(Self {
            device: answer.device,
            server_time: answer.server_time,
            era: online.era,
            seq: answer.seq,
            owner_gen: answer.owner_gen,
            next_poll_s: answer.next_poll_s,
            said,
            tombstones: answer.tombstones.iter().map(warrant).collect::<Result<_, _>>()?,
        })
    }

    /// The verdict.
    #[must_use]
    pub const fn said(&self) -> &Said {
        &self.said
    }

    /// The tombstone of a lease, wherever in the answer it came.
    #[must_use]
    pub fn tombstone(&self, epoch: Epoch) -> Option<&Warrant> {
        let ended = match &self.said {
            Said::End(warrant) => Some(warrant),
            _ => None,
        };
        ended.into_iter().chain(&self.tombstones).find(|warrant| warrant.epoch() == epoch)
    }

    /// The device it is for.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// When the server said it, by the server's clock.
    #[must_use]
    pub const fn server_time(&self) -> Time {
        self.server_time
    }

    /// Where it stands in the server's answers: era, then sequence number.
    #[must_use]
    pub const fn order(&self) -> (u32, u64) {
        (self.era, self.seq)
    }

    /// Counts owners.
    #[must_use]
    pub const fn owner_gen(&self) -> u32 {
        self.owner_gen
    }

    /// Seconds until the next question.
    #[must_use]
    pub const fn next_poll_s(&self) -> u32 {
        self.next_poll_s
    }
}

/// Why there is no word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Nothing was asked yet.
    #[error("the server was not asked yet")]
    NotAsked,
    /// The last word has lapsed and no other came.
    #[error("the last answer has lapsed")]
    Lapsed,
    /// The server could not be reached.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server refused.
    #[error("the server answered {status}{}", detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The title of its problem report.
        detail: Option<String>,
    },
    /// What came is not a message, or not signed for this device and this question.
    #[error("the answer is not believed: {0}")]
    Unbelieved(#[from] WireError),
    /// What was answered does not fit what this device knows.
    #[error("the answer is refused: {0}")]
    Unfit(String),
}

/// A verified word, or silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// No word.
    Silence(Why),
    /// A verified answer.
    Word(Word),
}
