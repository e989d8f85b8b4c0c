//! The forms of the domain's values in JSON, as the API documents them. The values themselves are the domain's.

pub mod device;
pub mod money;
pub mod order;

pub use self::{
    device::{
        AnyPoll, Hardware, KeyEnd, LeaseEnd, Offer, PollRequest, Rate, Reported, ReportedState, ServerSigned,
        Signed, Unit,
    },
    money::{
        Asset, EndedBy, Interval, Money, Movement, Resolution, Role, SettlementKind, SettlementStatus,
        Weights,
    },
    order::{ContractStatus, OrderItem, OrderStatus, RejectReason, SegmentVerdict},
};
