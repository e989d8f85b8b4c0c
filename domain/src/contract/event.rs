//! What happens in a rental.

use serde::{Deserialize, Serialize};

use crate::{
    device::LeaseEnd,
    events,
    id::{AccountId, ContractId, DeviceId, Epoch, ExtensionId, OrderKey, SettlementId},
    key::Digest,
    money::Money,
    offer::Offer,
    policy::{EndedBy, Policy},
    time::{Interval, Seconds, Time},
};

/// How a decision divides disputed money: in proportion to these weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Goes back to the renter.
    pub renter: u32,
    /// Was earned: the owner's, less the operator's share.
    pub owner: u32,
    /// Is kept by whoever decided.
    #[serde(default)]
    pub moderator: u32,
}

events! {
    /// The events of a contract.
    ContractEvent {
        /// A renter has the device; what was offered and the policy are pinned for the contract's whole life.
        RentalStarted = 2 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// Who is paid.
            owner: AccountId,
            /// Who rents.
            renter: AccountId,
            /// The order that paid.
            order: OrderKey,
            /// The time it bought.
            segment: Interval,
            /// What was received for it.
            paid: Money,
            /// What was offered; extensions cost the same.
            offer: Offer,
            /// The rules in force.
            policy: Policy,
        }
        /// The renter wants more time and has until `lapses_at` to pay for it.
        ExtensionRequested = 1 {
            /// The request.
            extension: ExtensionId,
            /// Seconds wanted.
            term_s: Seconds,
            /// What they cost.
            price: Money,
            /// Last moment to pay.
            lapses_at: Time,
        }
        /// The request was not paid in time.
        ExtensionLapsed = 1 {
            /// The request.
            extension: ExtensionId,
            /// When it could last be paid.
            lapses_at: Time,
        }
        /// The request was paid: the rental goes on.
        RentalExtended = 1 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// The request.
            extension: ExtensionId,
            /// The order that paid.
            order: OrderKey,
            /// The time it bought, following on the end before.
            segment: Interval,
            /// What was received for it.
            paid: Money,
        }
        /// The rental ended before its term.
        RentalTerminated = 1 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// Who ended it.
            by: EndedBy,
            /// The instant money is split at.
            ended_at: Time,
            /// When the device was offline, as it counted for the money.
            offline: Vec<Interval>,
        }
        /// The rental served its term.
        RentalExpired = 1 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// The end of the last paid segment.
            ended_at: Time,
            /// When the device was offline, as it counted for the money.
            offline: Vec<Interval>,
        }
        /// The lease ended unrented: nobody can rent on it any more.
        OfferClosed = 1 {
            /// The contract that will never start.
            contract: ContractId,
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// Always [`LeaseEnd::Unrented`].
            why: LeaseEnd,
        }
        /// One segment's unused money goes back.
        RefundIssued = 1 {
            /// The settlement that moves it.
            settlement: SettlementId,
            /// The segment, from 0.
            segment: u32,
            /// The order that paid it.
            order: OrderKey,
            /// Who gets it.
            renter: AccountId,
            /// How much.
            amount: Money,
        }
        /// A segment of a long rental was served: its money is decided before the rental ends, for good.
        SegmentClosed = 1 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// The segment, from 0.
            segment: u32,
            /// When the device was offline, as it counted for the money.
            offline: Vec<Interval>,
        }
        /// What the owner earned in a closed segment is to be paid.
        SegmentPayoutIssued = 1 {
            /// The settlement that moves it.
            settlement: SettlementId,
            /// The segment, from 0.
            segment: u32,
            /// The order that paid it.
            order: OrderKey,
            /// Who gets it.
            owner: AccountId,
            /// How much.
            amount: Money,
            /// The operator's share.
            fee: Money,
        }
        /// Somebody disputes a segment: its money waits for a decision.
        DisputeOpened = 1 {
            /// The segment, from 0.
            segment: u32,
            /// The order that paid it.
            order: OrderKey,
            /// SHA-256 of the evidence, which is kept elsewhere.
            evidence: Option<Digest>,
        }
        /// A dispute was decided: what was disputed is divided.
        DisputeDecided = 1 {
            /// The segment, from 0.
            segment: u32,
            /// The order that paid it.
            order: OrderKey,
            /// All that was still disputed: what was received, less a refund that had left or could no longer be held.
            amount: Money,
            /// How it is divided.
            weights: Weights,
        }
        /// What whoever decided a dispute gets for it.
        ModerationIssued = 1 {
            /// The settlement that moves it.
            settlement: SettlementId,
            /// The segment, from 0.
            segment: u32,
            /// The order that paid it.
            order: OrderKey,
            /// Who gets it.
            moderator: AccountId,
            /// How much.
            amount: Money,
        }
        /// The renter chose whether the device may keep the server's half of the volume key, to resume without the server.
        OfflineResumeChosen = 1 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
            /// Whether it may.
            allowed: bool,
        }
        /// The renter wants the data gone at once and will not appeal against the rental's end.
        ErasureAsked = 1 {
            /// The device.
            device: DeviceId,
            /// Its lease.
            epoch: Epoch,
        }
        /// What the owner earned is to be paid; the contract is closed.
        PayoutIssued = 1 {
            /// The settlement that moves it.
            settlement: SettlementId,
            /// The order whose marketplace holds the money.
            order: OrderKey,
            /// Who gets it.
            owner: AccountId,
            /// How much.
            amount: Money,
            /// The operator's share.
            fee: Money,
        }
    }
}
