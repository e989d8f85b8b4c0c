//! What happens to a device.

use serde::{Deserialize, Serialize};

use crate::{
    events,
    id::{AccountId, ContractId, Epoch, GatewayName, Subdomain},
    key::{Digest, PublicKey},
    offer::{Hardware, Offer},
    time::Time,
    wire::SignedReceipt,
};

/// Why a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The rental served its term.
    Expired,
    /// The rental ended early.
    Terminated,
    /// The lease ended without a rental.
    Unrented,
}

/// Why the server destroyed its half of a lease's volume key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyEnd {
    /// The device's erasure receipt arrived.
    Erased,
    /// The time in which the lease's end could be appealed is over.
    AppealOver,
    /// The renter asked for it.
    Asked,
}

events! {
    /// The events of a device.
    DeviceEvent {
        /// An owner enrolled a machine; only the digest of its enrolment key is kept.
        DeviceEnrolled = 1 {
            /// The owner.
            owner: AccountId,
            /// SHA-256 of the enrolment key.
            enrolment_key: Digest,
        }
        /// The owner replaced the enrolment key; the old one is refused from now on.
        EnrolmentKeyReplaced = 1 {
            /// SHA-256 of the new key.
            enrolment_key: Digest,
        }
        /// The owner put the device on the market or changed what is asked.
        OfferPublished = 1 {
            /// What is asked.
            offer: Offer,
        }
        /// The owner took the device off the market; a running rental goes on but cannot be extended.
        OfferWithdrawn = 1 {}
        /// The device registered and holds a port and a subdomain.
        LeaseGranted = 1 {
            /// Numbers the lease.
            epoch: Epoch,
            /// Where the port is.
            gateway: GatewayName,
            /// The port.
            port: u16,
            /// The subdomain.
            subdomain: Subdomain,
            /// The device's own key, with which it signs.
            device_key: PublicKey,
            /// SHA-256 of the device's configuration.
            config_hash: Digest,
            /// What the device says it is.
            hardware: Hardware,
        }
        /// The device has not been heard of for too long.
        DeviceLost = 1 {
            /// The lease it holds.
            epoch: Epoch,
            /// When it was last heard of.
            last_seen: Time,
            /// When its rental or lease ends unless it comes back.
            give_up_at: Time,
        }
        /// A lost device was heard of again; between the two times it was offline.
        DeviceRecovered = 1 {
            /// The lease it holds.
            epoch: Epoch,
            /// When it was last heard of before.
            last_seen: Time,
            /// When it was heard of again.
            seen_at: Time,
        }
        /// The lease is over; the device must erase before it can hold another.
        LeaseEnded = 1 {
            /// The lease.
            epoch: Epoch,
            /// The contract stream that holds the end.
            contract: ContractId,
            /// Why.
            why: LeaseEnd,
            /// Where its port was.
            gateway: GatewayName,
            /// Its port, to be released.
            port: u16,
            /// Its subdomain.
            subdomain: Subdomain,
        }
        /// The device proved how it erased the lease's data.
        EpochErased = 1 {
            /// The lease.
            epoch: Epoch,
            /// The device's signed statement.
            receipt: SignedReceipt,
        }
        /// The server destroyed its half of the lease's volume key: what is left of the data is noise.
        LeaseKeyDestroyed = 1 {
            /// The lease.
            epoch: Epoch,
            /// What the half was, as [`crate::wire::KeyHalf::commitment`] has it.
            commitment: Digest,
            /// Why.
            why: KeyEnd,
        }
        /// The owner took the device out of service for good.
        DeviceRetired = 1 {}
        /// The device has a new owner.
        DeviceTransferred = 1 {
            /// The new owner.
            to: AccountId,
            /// Counts owners, from 1 for the first transfer.
            owner_gen: u32,
        }
    }
}
