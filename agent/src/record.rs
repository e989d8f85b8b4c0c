//! The durable record: who this device is to its server, and what it holds.
//!
//! # Shape
//! [`Record`] is plain data; [`Record::advance`] is the only way what is held changes by a decision. `slots` keeps it
//! twice in a file taken in advance, `store` under a lock that one agent holds.
//!
//! # Correctness
//! * An unreadable record is not an empty one: [`Loaded::Unreadable`] never turns into `Blank` by itself.
//! * Era, sequence number, owner count and time floor never fall within one root key.
//! * A tombstone is kept with its signatures and verified again when the record is read.

use domain::{
    id::{DeviceId, Epoch},
    key::{Digest, PublicKey},
    time::Time,
    wire::{EraseStep, Grant, ServerSigned, SignedReceipt},
};
use serde::{Deserialize, Serialize};

use crate::{
    decide::{Label, Next, State},
    erase,
    heard::{Demand, Said, Warrant, Word},
    volume::Evidence,
};

mod place;
mod slots;
mod store;

pub use slots::{Medium, SLOT};
pub use store::{Loaded, Store, StoreError};

/// The version of the record.
pub const VERSION: u32 = 2;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Held {
    /// Nothing was ever held.
    Blank,
    /// Nothing is held.
    Idle {
        /// The last epoch that is over.
        floor: Epoch,
        /// The last receipt, in case the server asks again.
        receipt: Option<Kept>,
    },
    /// A lease was granted; its volume is not ready.
    Preparing {
        /// What the server granted.
        grant: Grant,
    },
    /// A lease is held.
    Leased {
        /// The lease.
        epoch: Epoch,
        /// The end of the paid time; none while unrented or after the server withheld its word.
        until: Option<Time>,
        /// What the server granted; none after the record had to be rebuilt from the label.
        grant: Option<Grant>,
        /// The volume that was prepared.
        volume: Option<Evidence>,
    },
    /// Erasing.
    Erasing {
        /// What it acts on.
        tombstone: ServerSigned,
        /// The volume that had been prepared and must be there to be erased; none when none was.
        volume: Option<Evidence>,
        /// How often the agent started in this state.
        boots: u32,
        /// What the owner had erased before the lease ended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        earlier: Vec<EraseStep>,
        /// The steps that are done.
        done: Vec<EraseStep>,
    },
    /// The owner erased the lease at the console before it ended.
    Forsaken {
        /// The lease.
        epoch: Epoch,
        /// The volume that had been prepared.
        volume: Option<Evidence>,
        /// The steps that are done.
        done: Vec<EraseStep>,
        /// Whether that is all of them.
        finished: bool,
    },
    /// Erased; the server has not confirmed the receipt.
    Erased {
        /// The receipt.
        receipt: Kept,
    },
    /// Erasing failed; a human must look.
    Quarantined {
        /// The lease.
        epoch: Epoch,
    },
}

/// A receipt and the epoch it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The lease.
    pub epoch: Epoch,
    /// The signed statement.
    pub receipt: SignedReceipt,
}

/// The durable record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`VERSION`].
    pub v: u32,
    /// The server that this device is leased by.
    pub server: String,
    /// Its root key; none before the first contact.
    pub root: Option<PublicKey>,
    /// The configuration of the last registration.
    pub config_hash: Option<Digest>,
    /// The device's id; none before the first word.
    pub device: Option<DeviceId>,
    /// Counts owners.
    pub owner_gen: u32,
    /// The highest era heard.
    pub era: u32,
    /// The highest sequence number heard in it.
    pub seq: u64,
    /// The time is at least this.
    pub floor: Time,
    /// What kind of workload the last lease was given; empty before the first.
    #[serde(default)]
    pub workload: String,
    /// The renter of the last lease heard of lets it resume without the server.
    #[serde(default)]
    pub offline_resume: bool,
    /// What is held.
    pub held: Held,
}

impl Record {
    /// A device that has never spoken with `server`.
    #[must_use]
    pub fn fresh(server: &str, root: Option<PublicKey>) -> Self {
        Self {
            v: VERSION,
            server: server.to_owned(),
            root,
            config_hash: None,
            device: None,
            owner_gen: 0,
            era: 0,
            seq: 0,
            floor: Time::from_unix(0),
            workload: String::new(),
            offline_resume: false,
            held: Held::Blank,
        }
    }

    /// What the decision table sees; `None` when a kept tombstone does not verify.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        Some(match &self.held {
            Held::Blank => State::Blank,
            Held::Idle { floor, receipt } => {
                State::Idle { floor: *floor, receipt: receipt.as_ref().map(|kept| kept.epoch) }
            }
            Held::Preparing { grant } => State::Preparing { epoch: grant.epoch },
            Held::Leased { epoch, until, .. } => State::Leased { epoch: *epoch, until: *until },
            Held::Erasing { tombstone, boots, .. } => {
                let warrant = Warrant::open(tombstone, &self.root?, self.device?).ok()?;
                State::Erasing { warrant, boots: *boots }
            }
            Held::Erased { receipt } => State::Erased { epoch: receipt.epoch },
            Held::Quarantined { epoch } => State::Quarantined { epoch: *epoch },
            Held::Forsaken { epoch, finished, .. } => {
                State::Forsaken { demand: Demand::of(*epoch), finished: *finished }
            }
        })
    }

    /// The highest epoch known.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        match self.state() {
            None | Some(State::Blank | State::Unknown) => 0,
            Some(State::Idle { floor: epoch, .. }) => epoch,
            Some(State::Preparing { epoch } | State::Leased { epoch, .. }) => epoch,
            Some(State::Erased { epoch } | State::Quarantined { epoch }) => epoch,
            Some(State::Erasing { warrant, .. }) => warrant.epoch(),
            Some(State::Forsaken { demand, .. }) => demand.epoch(),
        }
    }

    /// Whether data of a lease may be on the volume, or its end is not confirmed.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        !matches!(self.held, Held::Blank | Held::Idle { .. })
    }

    /// Takes over what a decision made of it; `label` is the volume's, and `seen` what is there to be found again.
    pub fn advance(&mut self, next: &Next, label: Label, seen: impl FnOnce() -> Option<Evidence>) {
        let old = std::mem::replace(&mut self.held, Held::Blank);
        self.held = match (next, old) {
            (Next::Same, old) => old,
            (Next::Idle { floor }, old) => {
                let (known, receipt) = match old {
                    Held::Erased { receipt } => (receipt.epoch, Some(receipt)),
                    Held::Idle { floor, receipt } => (floor, receipt),
                    _ => (0, None),
                };
                Held::Idle { floor: known.max(*floor), receipt }
            }
            (Next::Leased { epoch, until }, old) => {
                let (grant, volume) = match old {
                    Held::Preparing { grant } => (Some(grant), None),
                    Held::Leased { grant, volume, .. } => (grant, volume),
                    _ => (None, None),
                };
                let grant = grant.filter(|grant| grant.epoch == *epoch);
                Held::Leased { epoch: *epoch, until: *until, grant, volume: volume.or_else(seen) }
            }
            (Next::Erasing(warrant), old) => {
                self.device = Some(warrant.device());
                let (epoch, tombstone) = (warrant.epoch(), warrant.envelope().clone());
                let (volume, earlier) = match old {
                    Held::Forsaken { done, finished: true, .. } => (None, erase::after_demand(epoch, done)),
                    Held::Forsaken { volume, done, .. } => (volume, erase::after_demand(epoch, done)),
                    old => (old.volume_of(epoch, label, seen), Vec::new()),
                };
                Held::Erasing { tombstone, volume, boots: 0, earlier, done: Vec::new() }
            }
            (Next::Quarantined { epoch }, _) => Held::Quarantined { epoch: *epoch },
        };
    }

    /// Takes over the owner's demand; what was begun goes on.
    pub fn forsake(&mut self, demand: Demand, label: Label, seen: impl FnOnce() -> Option<Evidence>) {
        let epoch = demand.epoch();
        if !matches!(&self.held, Held::Forsaken { epoch: begun, .. } if *begun == epoch) {
            let old = std::mem::replace(&mut self.held, Held::Blank);
            let volume = old.volume_of(epoch, label, seen);
            self.held = Held::Forsaken { epoch, volume, done: Vec::new(), finished: false };
        }
    }

    /// Keeps what a verified word says about order and time.
    pub fn learn(&mut self, word: &Word) {
        (self.era, self.seq) = (self.era, self.seq).max(word.order());
        self.owner_gen = self.owner_gen.max(word.owner_gen());
        self.floor = self.floor.max(word.server_time());
        self.device = Some(word.device());
        if let Said::Run { offline_resume, .. } = word.said() {
            self.offline_resume = *offline_resume;
        }
    }
}

impl Held {
    /// The volume that an erasure of `epoch` must find: the one that was prepared, or the one whose label says so.
    fn volume_of(
        self,
        epoch: Epoch,
        label: Label,
        seen: impl FnOnce() -> Option<Evidence>,
    ) -> Option<Evidence> {
        match self {
            Self::Leased { volume: Some(volume), .. } => Some(volume),
            _ if label == Label::Epoch(epoch) => seen(),
            _ => None,
        }
    }
}
