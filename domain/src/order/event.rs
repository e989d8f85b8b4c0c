//! What happens to an order.

use serde::{Deserialize, Serialize};

use crate::{
    events,
    id::{AccountId, ContractId, DeviceId, ExtensionId, MarketplaceName, OrderKey, SettlementId},
    money::{Asset, Money},
    time::{Interval, Seconds},
};

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderItem {
    /// Time on a device.
    Rental {
        /// The device.
        device: DeviceId,
        /// Seconds bought.
        term_s: Seconds,
    },
    /// An extension that was requested before.
    Extension {
        /// The contract.
        contract: ContractId,
        /// The request.
        extension: ExtensionId,
    },
    /// Nothing that can be had for this payment: it is recorded to be given back.
    Unsellable {
        /// What the marketplace lists it under, or the order it came with; 1 to [`super::MAX_LISTING`] bytes.
        listing: String,
        /// Why it cannot be had.
        why: Unsellable,
    },
}

/// Why nothing can be had for a payment, as only the marketplace knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsellable {
    /// Nothing is sold under this listing.
    ListingUnknown,
    /// The buyer chose a moderator whom the offer does not name.
    ModeratorRefused,
    /// Only the renter extends a rental.
    NotTheRenter,
    /// The order was paid already, or costs less.
    Surplus,
    /// It was disputed before it could be served.
    Disputed,
    /// It was not paid in full.
    Underpaid,
}

impl Unsellable {
    /// What its rejection says.
    #[must_use]
    pub const fn reason(self) -> RejectReason {
        match self {
            Self::ListingUnknown => RejectReason::ListingUnknown,
            Self::ModeratorRefused => RejectReason::ModeratorRefused,
            Self::NotTheRenter => RejectReason::NotTheRenter,
            Self::Surplus => RejectReason::Surplus,
            Self::Disputed => RejectReason::Disputed,
            Self::Underpaid => RejectReason::Underpaid,
        }
    }
}

/// Why an order cannot be honoured; its money goes back in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum RejectReason {
    /// No such device.
    #[error("there is no such device")]
    DeviceUnknown,
    /// The owner took it out of service.
    #[error("the device is out of service")]
    DeviceRetired,
    /// It holds no running lease.
    #[error("the device is not connected to a gateway")]
    DeviceNotLeased,
    /// It has not been heard of for too long.
    #[error("the device is lost")]
    DeviceLost,
    /// It is not on the market.
    #[error("the device is not offered")]
    NotOffered,
    /// Somebody else has it.
    #[error("the device is already let")]
    AlreadyLet,
    /// The lease ended before the order came.
    #[error("the device's lease has ended")]
    LeaseEnded,
    /// The paid amount is not the price.
    #[error("the price is {expected}")]
    WrongAmount {
        /// The price.
        expected: Money,
    },
    /// The paid asset is not the offer's.
    #[error("the price is in {expected}")]
    WrongAsset {
        /// The offer's asset.
        expected: Asset,
    },
    /// Too short or too long.
    #[error("a term must be between {min_term_s} and {max_term_s} seconds")]
    TermOutOfRange {
        /// Shortest, in seconds.
        min_term_s: Seconds,
        /// Longest, in seconds.
        max_term_s: Seconds,
    },
    /// No such contract.
    #[error("there is no such contract")]
    ContractUnknown,
    /// The rental is over.
    #[error("the rental is over")]
    RentalOver,
    /// Nobody requested this extension.
    #[error("there is no such extension request")]
    ExtensionUnknown,
    /// It was not paid in time.
    #[error("the extension request has lapsed")]
    ExtensionLapsed,
    /// Another order paid it.
    #[error("the extension was already paid by another order")]
    ExtensionPaid,
    /// The rental's money is held at another marketplace.
    #[error("the rental is paid for at the marketplace {expected}")]
    WrongMarketplace {
        /// Where.
        expected: MarketplaceName,
    },
    /// Nothing is sold under this listing.
    #[error("nothing is sold under this listing")]
    ListingUnknown,
    /// The buyer chose a moderator whom the offer does not name.
    #[error("the buyer chose a moderator whom the offer does not name")]
    ModeratorRefused,
    /// Only the renter extends a rental.
    #[error("only the renter can extend the rental")]
    NotTheRenter,
    /// More was paid than the order costs.
    #[error("more was paid than the order costs")]
    Surplus,
    /// It was disputed before it could be served.
    #[error("the order was disputed before it could be served")]
    Disputed,
    /// It was not paid in full.
    #[error("the order was not paid in full")]
    Underpaid,
}

impl RejectReason {
    /// Its stable name, such as `already_let`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::DeviceUnknown => "device_unknown",
            Self::DeviceRetired => "device_retired",
            Self::DeviceNotLeased => "device_not_leased",
            Self::DeviceLost => "device_lost",
            Self::NotOffered => "not_offered",
            Self::AlreadyLet => "already_let",
            Self::LeaseEnded => "lease_ended",
            Self::WrongAmount { .. } => "wrong_amount",
            Self::WrongAsset { .. } => "wrong_asset",
            Self::TermOutOfRange { .. } => "term_out_of_range",
            Self::ContractUnknown => "contract_unknown",
            Self::RentalOver => "rental_over",
            Self::ExtensionUnknown => "extension_unknown",
            Self::ExtensionLapsed => "extension_lapsed",
            Self::ExtensionPaid => "extension_paid",
            Self::WrongMarketplace { .. } => "wrong_marketplace",
            Self::ListingUnknown => "listing_unknown",
            Self::ModeratorRefused => "moderator_refused",
            Self::NotTheRenter => "not_the_renter",
            Self::Surplus => "surplus",
            Self::Disputed => "disputed",
            Self::Underpaid => "underpaid",
        }
    }
}

events! {
    /// The events of an order.
    OrderEvent {
        /// A marketplace received a payment.
        OrderReceived = 1 {
            /// The marketplace's id of it.
            order: OrderKey,
            /// What was bought.
            item: OrderItem,
            /// Who bought.
            renter: AccountId,
            /// What was received.
            paid: Money,
        }
        /// The order became a segment of a contract.
        OrderAccepted = 1 {
            /// The order.
            order: OrderKey,
            /// The contract.
            contract: ContractId,
            /// The time it bought.
            segment: Interval,
        }
        /// The order cannot be honoured; all of it goes back.
        OrderRejected = 2 {
            /// The order.
            order: OrderKey,
            /// Why.
            reason: RejectReason,
            /// The refund that follows.
            settlement: SettlementId,
            /// Who gets it.
            renter: AccountId,
            /// All that was received.
            refund: Money,
        }
        /// What was paid reached the marketplace's wallet for less than that: the network or a moderator took the rest.
        OrderCollected = 1 {
            /// The order.
            order: OrderKey,
            /// The transaction that brought it.
            reference: String,
            /// What was taken on the way; the operator's expense.
            cost: Money,
        }
    }
}
