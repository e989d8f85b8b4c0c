//! Why a contract says no.

use super::MAX_SEGMENTS;
use crate::{
    id::{ExtensionId, MarketplaceName},
    money::{Asset, Money},
    order::RejectReason,
    time::{Seconds, Time},
};

/// Why a contract says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractRefusal {
    /// It never started.
    #[error("there is no such rental")]
    Unknown,
    /// Another order started it.
    #[error("the device is already let")]
    AlreadyLet,
    /// The lease ended unrented.
    #[error("the lease has ended")]
    LeaseEnded,
    /// A rental runs.
    #[error("the device is let")]
    Let,
    /// It is over.
    #[error("the rental is over")]
    Over,
    /// Its term goes on.
    #[error("the rental runs until {until}")]
    StillRunning {
        /// The end of the paid time.
        until: Time,
    },
    /// Too short or too long.
    #[error("a term must be between {min_term_s} and {max_term_s} seconds")]
    TermOutOfRange {
        /// Shortest, in seconds.
        min_term_s: Seconds,
        /// Longest, in seconds.
        max_term_s: Seconds,
    },
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
    /// The price is beyond the asset's range.
    #[error("the price is beyond the asset's range; ask for a shorter term")]
    PriceOutOfRange,
    /// It was extended as often as it can be.
    #[error("the rental has {MAX_SEGMENTS} paid segments, which is the most; rent again when it is over")]
    TooManySegments,
    /// A policy number is out of its range.
    #[error("the policy is invalid")]
    PolicyInvalid,
    /// One request at a time.
    #[error("extension {0} is waiting to be paid")]
    ExtensionPending(ExtensionId),
    /// Nobody requested it.
    #[error("there is no such extension request")]
    ExtensionUnknown,
    /// It was not paid in time.
    #[error("the extension request has lapsed")]
    ExtensionLapsed,
    /// Another order paid it.
    #[error("the extension was already paid by another order")]
    ExtensionPaid,
    /// The rental's money is held elsewhere.
    #[error("the rental is paid for at the marketplace {expected}")]
    WrongMarketplace {
        /// Where.
        expected: MarketplaceName,
    },
    /// It can still be paid.
    #[error("the extension can be paid until {until}")]
    NotLapsedYet {
        /// Last moment to pay.
        until: Time,
    },
    /// The owner offers the device no longer.
    #[error("the owner no longer offers the device")]
    NotOffered,
    /// The quote is too old or of another time.
    #[error("the quote no longer stands; look at a fresh one")]
    QuoteExpired,
    /// There is no such segment.
    #[error("the rental has no segment {0}")]
    SegmentUnknown(u32),
    /// Its money was decided.
    #[error("the money of segment {0} is decided")]
    SegmentDecided(u32),
    /// The segment is not served yet.
    #[error("segment {segment} is served at {at}")]
    NotServedYet {
        /// The segment, from 0.
        segment: u32,
        /// When its money may be decided.
        at: Time,
    },
    /// The rental is paid out at its end.
    #[error("the rental is not long enough to be paid out by segments")]
    PaidAtEnd,
    /// Its money waits for a decision.
    #[error("segment {0} is disputed; its money waits for a decision")]
    Disputed(u32),
    /// Nobody disputes it.
    #[error("nobody disputes segment {0}")]
    NotDisputed(u32),
    /// The weights cannot divide anything.
    #[error("the weights must not all be 0, and a moderator's weight needs a moderator's account")]
    WeightsInvalid,
    /// The payout waits.
    #[error("the payout is due at {at}")]
    PayoutNotDue {
        /// When.
        at: Time,
    },
}

impl ContractRefusal {
    /// Why an order that met this refusal goes back.
    #[must_use]
    pub fn reject_reason(&self) -> RejectReason {
        match self {
            Self::Unknown => RejectReason::ContractUnknown,
            Self::AlreadyLet | Self::Let | Self::StillRunning { .. } => RejectReason::AlreadyLet,
            Self::LeaseEnded => RejectReason::LeaseEnded,
            Self::Over
            | Self::QuoteExpired
            | Self::PayoutNotDue { .. }
            | Self::SegmentUnknown(_)
            | Self::SegmentDecided(_)
            | Self::NotServedYet { .. }
            | Self::PaidAtEnd
            | Self::Disputed(_)
            | Self::NotDisputed(_)
            | Self::WeightsInvalid => RejectReason::RentalOver,
            Self::TermOutOfRange { min_term_s, max_term_s } => {
                RejectReason::TermOutOfRange { min_term_s: *min_term_s, max_term_s: *max_term_s }
            }
            Self::WrongAmount { expected } => RejectReason::WrongAmount { expected: *expected },
            Self::WrongAsset { expected } => RejectReason::WrongAsset { expected: *expected },
            Self::PriceOutOfRange | Self::PolicyInvalid | Self::NotOffered | Self::TooManySegments => {
                RejectReason::NotOffered
            }
            Self::ExtensionUnknown | Self::ExtensionPending(_) | Self::NotLapsedYet { .. } => {
                RejectReason::ExtensionUnknown
            }
            Self::ExtensionLapsed => RejectReason::ExtensionLapsed,
            Self::ExtensionPaid => RejectReason::ExtensionPaid,
            Self::WrongMarketplace { expected } => {
                RejectReason::WrongMarketplace { expected: expected.clone() }
            }
        }
    }
}
