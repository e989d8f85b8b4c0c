//! What can be asked of a contract.

use super::Weights;
use crate::{
    device::Rentable,
    id::{AccountId, DeviceId, Epoch, ExtensionId, OrderKey},
    key::Digest,
    money::Money,
    policy::{EndedBy, Policy},
    time::{Interval, Seconds, Time},
};

/// What can be asked of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractCommand {
    /// Let the device.
    Start {
        /// The device.
        device: DeviceId,
        /// What it offers now.
        rentable: Rentable,
        /// The order that pays.
        order: OrderKey,
        /// Who rents.
        renter: AccountId,
        /// What was received.
        paid: Money,
        /// Seconds bought.
        term_s: Seconds,
        /// The rules in force.
        policy: Policy,
    },
    /// Ask for more time.
    RequestExtension {
        /// The request.
        extension: ExtensionId,
        /// Seconds wanted.
        term_s: Seconds,
        /// Seconds it can be paid.
        valid_s: Seconds,
        /// Whether the owner still offers the device.
        offered: bool,
    },
    /// Pay for requested time.
    Extend {
        /// The request.
        extension: ExtensionId,
        /// The order that pays.
        order: OrderKey,
        /// What was received.
        paid: Money,
    },
    /// Forget a request that was not paid in time.
    Lapse {
        /// The request.
        extension: ExtensionId,
    },
    /// End it before its term.
    Terminate {
        /// Who ends it.
        by: EndedBy,
        /// The instant of a quote that still stands; now when none.
        quoted_at: Option<Time>,
        /// When the device was offline.
        offline: Vec<Interval>,
    },
    /// End it at its term.
    Expire {
        /// When the device was offline.
        offline: Vec<Interval>,
    },
    /// The lease ends unrented.
    CloseOffer {
        /// The device.
        device: DeviceId,
        /// Its lease.
        epoch: Epoch,
    },
    /// Decide the money of a segment that was served, and pay the owner for it, before the rental ends.
    CloseSegment {
        /// The segment, from 0.
        segment: u32,
        /// When the device was offline.
        offline: Vec<Interval>,
    },
    /// Let a segment's money wait for a decision.
    OpenDispute {
        /// The segment, from 0.
        segment: u32,
        /// SHA-256 of the evidence.
        evidence: Option<Digest>,
    },
    /// Divide a disputed segment's money.
    DecideDispute {
        /// The segment, from 0.
        segment: u32,
        /// How.
        weights: Weights,
        /// Who gets the moderator's part.
        moderator: Option<AccountId>,
        /// Whether the segment's refund, if one was issued, is held: else it has left, or may have.
        refund_held: bool,
    },
    /// Let the device keep the server's half of the volume key, or not.
    ChooseOfflineResume {
        /// Whether it may.
        allowed: bool,
    },
    /// Give up any appeal: the data is to be gone at once.
    AskErasure,
    /// Pay the owner.
    IssuePayout,
}
