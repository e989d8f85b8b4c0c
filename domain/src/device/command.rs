//! What can be asked of a device.

use super::{KeyEnd, LeaseEnd, LeaseGranted};
use crate::{
    id::{AccountId, ContractId, DeviceId, Epoch},
    key::Digest,
    offer::Offer,
    time::Time,
    wire::SignedReceipt,
};

/// What can be asked of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceCommand {
    /// Take it into the books.
    Enrol {
        /// The owner.
        owner: AccountId,
        /// SHA-256 of the enrolment key.
        enrolment_key: Digest,
    },
    /// Let only a new enrolment key in.
    ReplaceEnrolmentKey {
        /// SHA-256 of the new key.
        enrolment_key: Digest,
    },
    /// Put it on the market, or change what is asked.
    PublishOffer {
        /// What is asked.
        offer: Offer,
    },
    /// Take it off the market.
    WithdrawOffer,
    /// Give it a lease. The port in it was leased from the gateway before.
    GrantLease(LeaseGranted),
    /// It was not heard of for too long.
    ReportLost {
        /// The lease it holds.
        epoch: Epoch,
        /// When it was last heard of.
        last_seen: Time,
        /// When it is given up.
        give_up_at: Time,
    },
    /// It was heard of.
    ReportSeen {
        /// When.
        seen_at: Time,
    },
    /// End its lease. The contract's stream holds the end already.
    EndLease {
        /// The lease.
        epoch: Epoch,
        /// The contract.
        contract: ContractId,
        /// Why.
        why: LeaseEnd,
    },
    /// It sent a receipt.
    RecordErasure {
        /// Itself, as the receipt must name it.
        device: DeviceId,
        /// The receipt.
        receipt: SignedReceipt,
    },
    /// The server's half of a lease's volume key is destroyed already.
    RecordKeyDestroyed {
        /// The lease.
        epoch: Epoch,
        /// What the half was.
        commitment: Digest,
        /// Why.
        why: KeyEnd,
    },
    /// Take it out of service for good.
    Retire {
        /// Whether a rental runs on it now.
        is_let: bool,
    },
    /// Give it to another owner.
    Transfer {
        /// The new owner.
        to: AccountId,
    },
}
