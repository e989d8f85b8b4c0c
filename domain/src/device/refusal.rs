//! Why a device says no.

use crate::{id::Epoch, offer::InvalidOffer};

/// Why a device says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceRefusal {
    /// There is none.
    #[error("there is no such device")]
    Unknown,
    /// It is in the books with another owner or key.
    #[error("the device is already enrolled")]
    AlreadyEnrolled,
    /// It is out of service.
    #[error("the device is out of service")]
    Retired,
    /// What is asked breaks a limit.
    #[error(transparent)]
    Offer(#[from] InvalidOffer),
    /// It holds no lease.
    #[error("the device holds no lease")]
    NotLeased,
    /// Another device key or configuration holds the lease.
    #[error("the lease is held by another device key or configuration")]
    LeaseHeld,
    /// The epoch before is not erased.
    #[error("epoch {epoch} is not erased: its receipt must arrive first")]
    NotErased {
        /// The epoch before.
        epoch: Epoch,
    },
    /// Another epoch was named.
    #[error("the device is at epoch {expected}")]
    WrongEpoch {
        /// The one it is at.
        expected: Epoch,
    },
    /// Its lease lives.
    #[error("the device's lease is running")]
    LeaseRunning,
    /// The receipt is not believed.
    #[error("the erasure receipt is not believed: {0}")]
    BadReceipt(String),
    /// Somebody rents it.
    #[error("the device is let")]
    Let,
}
