//! The device costs one cent a second, so every amount reads as seconds.

mod closing;
mod disputing;
mod ending;
mod extending;
mod keeping;
mod money;
mod starting;

use uuid::Uuid;

use super::*;
use crate::{
    device::Rentable,
    id::{AccountId, DeviceId, Epoch, ExtensionId, OrderKey, SettlementId},
    money::Money,
    offer::{MAX_TERM_S, Offer, Rate, Unit},
    policy::Policy,
    prorate::{Split, Terms},
    testing::{Given, given},
    time::{Interval, Seconds},
};

const DEVICE: DeviceId = DeviceId(Uuid::from_u128(7));
const OWNER: AccountId = AccountId(Uuid::from_u128(1));
const RENTER: AccountId = AccountId(Uuid::from_u128(2));
const T0: i64 = 1_000_000;
/// The initial term.
const TERM: Seconds = 1_000;

/// `seconds` after the rental started.
fn at(seconds: i64) -> Time {
    Time::from_unix(T0 + seconds)
}

fn span(start: i64, end: i64) -> Interval {
    Interval::new(at(start), at(end))
}

fn cents(minor: i128) -> Money {
    Money::from_minor(minor, "USD".parse().unwrap()).unwrap()
}

fn order(n: u32) -> OrderKey {
    format!("ob-{n}").parse().unwrap()
}

fn ext(n: u128) -> ExtensionId {
    ExtensionId(Uuid::from_u128(n))
}

fn contract() -> ContractId {
    ContractId::of(DEVICE, 1)
}

fn offer() -> Offer {
    let rates = vec![Rate { per: Unit::Hour, price: cents(3_600) }];
    Offer { title: "Pi 4".into(), place: None, rates, min_term_s: 60, max_term_s: 10_000 }
}

fn start_with(n: u32, paid: Money, term_s: Seconds, policy: Policy) -> ContractCommand {
    let rentable = Rentable { owner: OWNER, epoch: 1, offer: offer() };
    ContractCommand::Start { device: DEVICE, rentable, order: order(n), renter: RENTER, paid, term_s, policy }
}

fn start(n: u32) -> ContractCommand {
    start_with(n, cents(1_000), TERM, Policy::default())
}

fn started_under(policy: Policy) -> ContractEvent {
    RentalStarted {
        device: DEVICE,
        epoch: 1,
        owner: OWNER,
        renter: RENTER,
        order: order(1),
        segment: span(0, TERM),
        paid: cents(1_000),
        offer: offer(),
        policy,
    }
    .into()
}

fn started() -> ContractEvent {
    started_under(Policy::default())
}

fn rented() -> Given<Contract> {
    given([started()])
}

fn request(n: u128, term_s: Seconds) -> ContractCommand {
    ContractCommand::RequestExtension { extension: ext(n), term_s, valid_s: 300, offered: true }
}

/// A request for 500 more seconds.
fn requested(n: u128, lapses_at: i64) -> ContractEvent {
    let lapses_at = at(lapses_at);
    ExtensionRequested { extension: ext(n), term_s: 500, price: cents(500), lapses_at }.into()
}

fn extend(n: u128, by: u32, paid: i128) -> ContractCommand {
    ContractCommand::Extend { extension: ext(n), order: order(by), paid: cents(paid) }
}

fn extended(n: u128, by: u32, start: i64, end: i64) -> ContractEvent {
    let paid = cents((end - start).into());
    let (extension, order, segment) = (ext(n), order(by), span(start, end));
    RentalExtended { device: DEVICE, epoch: 1, extension, order, segment, paid }.into()
}

fn lapsed(n: u128, lapses_at: i64) -> ContractEvent {
    ExtensionLapsed { extension: ext(n), lapses_at: at(lapses_at) }.into()
}

/// 1000 s from order 1, then 500 s from order 2.
fn twice_paid(policy: Policy) -> Given<Contract> {
    given([started_under(policy), requested(1, 300), extended(1, 2, 1_000, 1_500)])
}

fn terminate(by: EndedBy) -> ContractCommand {
    ContractCommand::Terminate { by, quoted_at: None, offline: vec![] }
}

fn terminated(by: EndedBy, ended_at: i64, offline: &[Interval]) -> ContractEvent {
    let (ended_at, offline) = (at(ended_at), offline.to_vec());
    RentalTerminated { device: DEVICE, epoch: 1, by, ended_at, offline }.into()
}

fn expire(offline: &[Interval]) -> ContractCommand {
    ContractCommand::Expire { offline: offline.to_vec() }
}

fn expired(ended_at: i64, offline: &[Interval]) -> ContractEvent {
    RentalExpired { device: DEVICE, epoch: 1, ended_at: at(ended_at), offline: offline.to_vec() }.into()
}

fn refund(segment: u32, amount: i128) -> ContractEvent {
    let settlement = SettlementId::refund(contract(), segment as usize);
    let (order, amount) = (order(segment + 1), cents(amount));
    RefundIssued { settlement, segment, order, renter: RENTER, amount }.into()
}

fn paid_out(amount: i128, fee: i128) -> ContractEvent {
    let settlement = SettlementId::payout(contract());
    let (amount, fee) = (cents(amount), cents(fee));
    PayoutIssued { settlement, order: order(1), owner: OWNER, amount, fee }.into()
}

/// Rentals of more than [`TERM`] are paid out by segments.
fn by_segments() -> Policy {
    Policy { segment_payout_after_s: TERM, quote_valid_s: 0, ..Policy::default() }
}

fn close_segment(segment: u32, offline: &[Interval]) -> ContractCommand {
    ContractCommand::CloseSegment { segment, offline: offline.to_vec() }
}

fn segment_closed(segment: u32, offline: &[Interval]) -> ContractEvent {
    SegmentClosed { device: DEVICE, epoch: 1, segment, offline: offline.to_vec() }.into()
}

fn segment_paid_out(segment: u32, amount: i128, fee: i128) -> ContractEvent {
    let settlement = SettlementId::segment_payout(contract(), segment as usize);
    let (order, amount, fee) = (order(segment + 1), cents(amount), cents(fee));
    SegmentPayoutIssued { settlement, segment, order, owner: OWNER, amount, fee }.into()
}

fn dispute(segment: u32) -> ContractCommand {
    ContractCommand::OpenDispute { segment, evidence: None }
}

fn disputed(segment: u32) -> ContractEvent {
    DisputeOpened { segment, order: order(segment + 1), evidence: None }.into()
}

/// To renter, owner and moderator.
const fn weights(renter: u32, owner: u32, moderator: u32) -> Weights {
    Weights { renter, owner, moderator }
}

fn decided(segment: u32, amount: i128, weights: Weights) -> ContractEvent {
    DisputeDecided { segment, order: order(segment + 1), amount: cents(amount), weights }.into()
}

fn close() -> ContractCommand {
    ContractCommand::CloseOffer { device: DEVICE, epoch: 1 }
}

fn closed() -> ContractEvent {
    let (contract, why) = (contract(), LeaseEnd::Unrented);
    OfferClosed { contract, device: DEVICE, epoch: 1 as Epoch, why }.into()
}
