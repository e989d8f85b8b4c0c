//! Entries as they read: event, account, minor units; ids by whose they are, dollars without their name.
//!
//! The device costs one cent a second, and every event but a forged one is decided by its aggregate.

mod accrual;
mod disputes;
mod entries;
mod faults;
mod settlements;

use std::collections::BTreeMap;

use super::*;
use crate::{
    aggregate::{Aggregate, Decision},
    contract::{Contract, ContractCommand},
    device::Rentable,
    event::Events,
    id::{AccountId, ExtensionId, MarketplaceName, OrderKey, SettlementId},
    offer::{Offer, Rate, Unit},
    order::{Order, OrderCommand, OrderItem, RejectReason},
    policy::{EndedBy, Policy},
    settlement::{Settlement, SettlementCommand, SettlementDue},
    time::{Interval, Seconds},
    treasury::{Treasury, TreasuryCommand},
};

const DEVICE: DeviceId = DeviceId(Uuid::from_u128(7));
const OWNER: AccountId = AccountId(Uuid::from_u128(1));
const RENTER: AccountId = AccountId(Uuid::from_u128(2));
const MODERATOR: AccountId = AccountId(Uuid::from_u128(3));
const TERM: Seconds = 1_000;

/// `seconds` after the rental started.
fn at(seconds: i64) -> Time {
    Time::from_unix(1_000_000 + seconds)
}

fn span(start: i64, end: i64) -> Interval {
    Interval::new(at(start), at(end))
}

fn usd() -> Asset {
    "USD".parse().unwrap()
}

fn cents(minor: i128) -> Money {
    Money::from_minor(minor, usd()).unwrap()
}

fn rental() -> ContractId {
    ContractId::of(DEVICE, 1)
}

fn order(n: u32) -> OrderKey {
    format!("shop-{n}").parse().unwrap()
}

fn shop() -> MarketplaceName {
    order(1).marketplace
}

fn ext(n: u32) -> ExtensionId {
    ExtensionId(Uuid::from_u128(n.into()))
}

fn offer(per: Unit, price: i128) -> Offer {
    let rates = vec![Rate { per, price: cents(price) }];
    Offer { title: "Pi 4".into(), place: None, rates, min_term_s: 60, max_term_s: 2_592_000 }
}

fn terminate(by: EndedBy) -> ContractCommand {
    ContractCommand::Terminate { by, quoted_at: None, offline: vec![] }
}

fn expire(offline: &[Interval]) -> ContractCommand {
    ContractCommand::Expire { offline: offline.to_vec() }
}

fn lines(entry: &[Posting]) -> Vec<String> {
    let names = [
        (rental().to_string(), "rental"),
        (OWNER.to_string(), "owner"),
        (RENTER.to_string(), "renter"),
        (MODERATOR.to_string(), "moderator"),
    ];
    let line = |posting: &Posting| {
        let Posting { account, minor, asset } = posting;
        let of = if *asset == usd() { String::new() } else { format!(" {asset}") };
        let account = names.iter().fold(account.to_string(), |text, (id, name)| text.replace(id, name));
        format!("  {account} {minor:+}{of}")
    };
    entry.iter().map(line).collect()
}

/// The streams of one rental, and its books.
#[derive(Default)]
struct Ledger {
    books: Books,
    contract: Contract,
    orders: BTreeMap<u32, Order>,
    settlements: BTreeMap<SettlementId, Settlement>,
    treasury: Treasury,
}

/// Asks an aggregate, which must not refuse, and books what happens without a fault.
fn ask<A: Aggregate>(
    books: &mut Books,
    (state, stream, id): (&mut A, &StreamName, Option<Uuid>),
    wrap: fn(A::Event) -> AnyEvent,
    command: A::Command,
    now: Time,
) -> Vec<String> {
    let decided = state.decide(command, now);
    let Ok(Decision::Events(events)) = decided else { panic!("it must happen, not {decided:?}") };
    let mut read = Vec::new();
    for event in events {
        let counts_from = A::effective_at(&event).unwrap_or(now);
        state.apply(&event);
        read.push(event.kind().to_string());
        let event = wrap(event);
        let (entry, faults) = books.post(&Happened { stream, id, event: &event, at: counts_from });
        assert_eq!(faults, []);
        for asset in Asset::ALL {
            assert_eq!(books.escrow_gap(*asset), 0, "after {event:?}");
        }
        read.extend(lines(&entry));
    }
    read
}

impl Ledger {
    /// 1000 s for 1000 cents.
    fn rented() -> Self {
        Self::rented_under(Policy::default())
    }

    fn rented_under(policy: Policy) -> Self {
        let mut ledger = Self::default();
        ledger.receive(1, 1_000);
        ledger.start(offer(Unit::Hour, 3_600), TERM, 1_000, policy);
        ledger
    }

    fn receive(&mut self, n: u32, paid: i128) -> Vec<String> {
        let item = OrderItem::Rental { device: DEVICE, term_s: TERM };
        self.order(n, OrderCommand::Receive { order: order(n), item, renter: RENTER, paid: cents(paid) })
    }

    fn order(&mut self, n: u32, command: OrderCommand) -> Vec<String> {
        let (state, stream) = (self.orders.entry(n).or_default(), Order::stream(&order(n)));
        ask(&mut self.books, (state, &stream, None), AnyEvent::Order, command, at(0))
    }

    fn start(&mut self, offer: Offer, term_s: Seconds, paid: i128, policy: Policy) -> Vec<String> {
        let (rentable, paid) = (Rentable { owner: OWNER, epoch: 1, offer }, cents(paid));
        let (device, order, renter) = (DEVICE, order(1), RENTER);
        let start = ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy };
        self.contract(start, 0)
    }

    fn contract(&mut self, command: ContractCommand, now: i64) -> Vec<String> {
        let stream = Contract::stream(&rental());
        let target = (&mut self.contract, &stream, Some(rental().0));
        ask(&mut self.books, target, AnyEvent::Contract, command, at(now))
    }

    /// Order `n` pays for `term_s` more; what the extension itself posts.
    fn extend(&mut self, n: u32, term_s: Seconds, now: i64) -> Vec<String> {
        let (extension, order) = (ext(n), order(n));
        let request = ContractCommand::RequestExtension { extension, term_s, valid_s: 60, offered: true };
        assert_eq!(self.contract(request, now), ["ExtensionRequested"]);
        let paid = self.contract.rental().unwrap().pending.as_ref().unwrap().price;
        self.receive(n, paid.minor());
        self.contract(ContractCommand::Extend { extension, order, paid }, now)
    }

    fn due(&mut self, id: SettlementId, kind: SettlementKind, to: AccountId, amount: i128) {
        let (contract, amount) = (Some(rental()), cents(amount));
        let due = SettlementDue { kind, order: order(1), contract, to, amount };
        assert_eq!(self.settlement(id, SettlementCommand::Due(due)), ["SettlementDue"]);
    }

    fn settlement(&mut self, id: SettlementId, command: SettlementCommand) -> Vec<String> {
        let (state, stream) = (self.settlements.entry(id).or_default(), Settlement::stream(&id));
        ask(&mut self.books, (state, &stream, Some(id.0)), AnyEvent::Settlement, command, at(0))
    }

    fn sweep(&mut self, amount: i128, earned: i128) -> Vec<String> {
        let sweep = TreasuryCommand::Sweep { amount: cents(amount), reference: "tx".into(), earned };
        let target = (&mut self.treasury, &Treasury::stream(&shop()), None);
        ask(&mut self.books, target, AnyEvent::Treasury, sweep, at(0))
    }

    /// Books an event that no aggregate decided.
    fn forge(&mut self, event: AnyEvent, stream: &StreamName, id: Uuid) -> (Vec<String>, Vec<Fault>) {
        let happened = Happened { stream, id: Some(id), event: &event, at: at(0) };
        let (entry, faults) = self.books.post(&happened);
        (lines(&entry), faults)
    }

    /// A sign of life of the device, or its lack; it posts nothing.
    fn device(&mut self, event: impl Into<DeviceEvent>) {
        let stream = StreamName::new("device", &DEVICE);
        let posted = self.forge(AnyEvent::Device(event.into()), &stream, DEVICE.0);
        assert_eq!(posted, (vec![], vec![]));
    }

    fn balance(&self, account: &Account) -> i128 {
        self.books.balance(account, usd())
    }
}
