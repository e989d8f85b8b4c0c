//! What can be asked of a contract.

use crate::{
    device::Rentable,
    id::{AccountId, DeviceId, Epoch, ExtensionId, OrderKey},
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
    /// Pay the owner.
    IssuePayout,
}
