//! Orders and what becomes of them.

use utoipa::ToSchema;
use uuid::Uuid;

use super::{Asset, Money};

/// What was bought.
#[derive(ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OrderItem {
    /// Time on a device.
    Rental {
        /// The device.
        device: Uuid,
        /// Seconds bought.
        term_s: i64,
    },
    /// An extension that was requested before.
    Extension {
        /// The contract.
        contract: Uuid,
        /// The request.
        extension: Uuid,
    },
    /// Nothing that can be had for this payment: it is recorded to be given back.
    Unsellable {
        /// What you list it under, or the order it came with.
        #[schema(min_length = 1, max_length = 200)]
        listing: String,
        /// Why it cannot be had.
        why: Unsellable,
    },
}

/// Why nothing can be had for a payment, as only the marketplace knows.
#[derive(ToSchema)]
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

/// Why an order cannot be honoured; its money goes back in full.
#[derive(ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum RejectReason {
    /// No such device.
    DeviceUnknown,
    /// The owner took it out of service.
    DeviceRetired,
    /// It holds no running lease.
    DeviceNotLeased,
    /// It has not been heard of for too long.
    DeviceLost,
    /// It is not on the market.
    NotOffered,
    /// Somebody else has it.
    AlreadyLet,
    /// The lease ended before the order came.
    LeaseEnded,
    /// The paid amount is not the price.
    WrongAmount {
        /// The price.
        expected: Money,
    },
    /// The paid asset is not the offer's.
    WrongAsset {
        /// The offer's asset.
        expected: Asset,
    },
    /// Too short or too long.
    TermOutOfRange {
        /// Shortest, in seconds.
        min_term_s: i64,
        /// Longest, in seconds.
        max_term_s: i64,
    },
    /// No such contract.
    ContractUnknown,
    /// The rental is over.
    RentalOver,
    /// Nobody requested this extension.
    ExtensionUnknown,
    /// It was not paid in time.
    ExtensionLapsed,
    /// Another order paid it.
    ExtensionPaid,
    /// The rental's money is held at another marketplace.
    WrongMarketplace {
        /// Where.
        expected: String,
    },
    /// Nothing is sold under this listing.
    ListingUnknown,
    /// The buyer chose a moderator whom the offer does not name.
    ModeratorRefused,
    /// Only the renter extends a rental.
    NotTheRenter,
    /// More was paid than the order costs.
    Surplus,
    /// It was disputed before it could be served.
    Disputed,
    /// It was not paid in full.
    Underpaid,
}

/// How far an order is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Nobody has decided on it.
    Received,
    /// It became a segment of a contract.
    Accepted,
    /// It goes back in full.
    Rejected,
}

/// How far a rental is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ContractStatus {
    /// It has not ended.
    Running,
    /// It served its term.
    Expired,
    /// It ended early.
    Terminated,
}

/// How a segment's money is decided.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum SegmentVerdict {
    /// By the rental's end.
    Pending,
    /// It was served, and paid out before the rental's end.
    Closed,
    /// It is disputed and waits for a decision.
    Disputed,
    /// A dispute was decided.
    Decided,
}
