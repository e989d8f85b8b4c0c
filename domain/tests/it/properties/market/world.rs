//! A market in memory: the streams, and what a server does with them.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    aggregate::Aggregate,
    any::AnyEvent,
    contract::{Contract, ContractCommand, ContractEvent, Verdict, Weights},
    device::{Device, DeviceCommand, LeaseGranted},
    event::Events,
    id::{ContractId, Epoch, ExtensionId, SettlementId, Subdomain},
    journal::{Account, Books, Happened},
    key::{Digest, PublicKey},
    money::Money,
    offer::{Hardware, Offer, Rate, Unit},
    order::{Fate, Order, OrderCommand, OrderItem, RejectReason},
    policy::{EndedBy, Policy},
    settlement::{
        Movement, Resolution, Settlement, SettlementCommand, SettlementDue, SettlementEvent, SettlementKind,
        Status,
    },
    time::{Interval, Time},
    wire::{EraseStep, Receipt, SignedReceipt, StepResult, VERSION, sign},
};
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::super::{Stream, values::*};

pub struct World {
    pub now: Time,
    pub device: Stream<Device>,
    pub contracts: BTreeMap<Epoch, Stream<Contract>>,
    orders: BTreeMap<u8, Stream<Order>>,
    settlements: BTreeMap<SettlementId, Stream<Settlement>>,
    books: Books,
    /// Events of each stream that are in the books.
    booked: BTreeMap<String, usize>,
}

fn cents(minor: i128) -> Money {
    Money::from_minor(minor, "USD".parse().unwrap()).unwrap()
}

/// `price` cents a second.
pub fn offer(price: i128) -> Offer {
    let rates = vec![Rate { per: Unit::Hour, price: cents(price * 3_600) }];
    Offer { title: "Pi".into(), place: None, rates, min_term_s: 60, max_term_s: 900 }
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub fn lease(epoch: Epoch, by: u8) -> LeaseGranted {
    LeaseGranted {
        epoch,
        gateway: "main".parse().unwrap(),
        port: 6_000,
        subdomain: Subdomain::of(DEVICE, epoch),
        device_key: PublicKey(key(by).verifying_key().to_bytes()),
        config_hash: Digest::of(b"config"),
        hardware: Hardware::default(),
    }
}

fn extension(n: u8) -> ExtensionId {
    ExtensionId(Uuid::from_u128(n.into()))
}

impl World {
    /// With one enrolled device.
    pub fn new() -> Self {
        let mut world = Self {
            now: Time::from_unix(T0),
            device: Stream::default(),
            contracts: BTreeMap::new(),
            orders: BTreeMap::new(),
            settlements: BTreeMap::new(),
            books: Books::default(),
            booked: BTreeMap::new(),
        };
        world.tell_device(DeviceCommand::Enrol { owner: OWNER, enrolment_key: Digest::of(b"key") });
        world
    }

    pub fn tell_device(&mut self, command: DeviceCommand) {
        let _ = self.device.ask(command, self.now);
    }

    fn contract(&mut self, epoch: Epoch) -> &mut Stream<Contract> {
        self.contracts.entry(epoch).or_default()
    }

    pub fn register(&mut self, by: u8) {
        let lease = lease(1, by);
        if let Ok(epoch) = self.device.state.next_epoch(lease.device_key, lease.config_hash) {
            self.tell_device(DeviceCommand::GrantLease(LeaseGranted {
                epoch,
                subdomain: Subdomain::of(DEVICE, epoch),
                ..lease
            }));
        }
    }

    pub fn order_rental(&mut self, n: u8, term_s: i64, exact: bool) {
        let offered = self.device.state.offer().and_then(|offer| offer.price(term_s));
        self.receive(n, OrderItem::Rental { device: DEVICE, term_s }, offered, exact);
    }

    pub fn order_extension(&mut self, n: u8, epoch: Epoch, ext: u8, exact: bool) {
        let rental = self.contracts.get(&epoch).and_then(|c| c.state.rental());
        let price = rental.and_then(|r| r.pending.as_ref()).map(|p| p.price);
        let (contract, extension) = (ContractId::of(DEVICE, epoch), extension(ext));
        self.receive(n, OrderItem::Extension { contract, extension }, price, exact);
    }

    fn receive(&mut self, n: u8, item: OrderItem, price: Option<Money>, exact: bool) {
        let paid = price.filter(|_| exact).unwrap_or(cents(77));
        let command = OrderCommand::Receive { order: order(n), item, renter: RENTER, paid };
        let _ = self.orders.entry(n).or_default().ask(command, self.now);
    }

    /// Lets a contract take the order, or sends its money back. A crash comes between the two streams.
    pub fn honour(&mut self, n: u8, crash: bool) {
        let Some(stream) = self.orders.get(&n).filter(|s| s.state.fate().is_none()) else { return };
        let Some(received) = stream.state.received().cloned() else { return };
        let taken = self.offer_to_contract(&received.item, n, received.paid);
        if crash {
            return;
        }
        let command = match taken {
            Ok((epoch, segment)) => OrderCommand::Accept { contract: ContractId::of(DEVICE, epoch), segment },
            Err(reason) => OrderCommand::Reject { reason },
        };
        let added = self.orders.get_mut(&n).unwrap().ask(command, self.now);
        assert_eq!(added, Ok(1));
    }

    fn offer_to_contract(
        &mut self,
        item: &OrderItem,
        n: u8,
        paid: Money,
    ) -> Result<(Epoch, Interval), RejectReason> {
        // A rental that this very order started before a crash is found by the order, not by what is offered now.
        let by_order = |c: &Stream<Contract>| {
            let segments = c.state.rental().map(|r| r.segments.clone()).unwrap_or_default();
            segments.into_iter().find(|s| s.order == order(n)).map(|s| s.term)
        };
        if let Some(found) = self.contracts.iter().find_map(|(e, c)| by_order(c).map(|term| (*e, term))) {
            return Ok(found);
        }
        let now = self.now;
        let (epoch, command) = match *item {
            OrderItem::Rental { device, term_s } => {
                let rentable = self.device.state.rentable()?;
                let policy = Policy { payout_delay_s: 60, segment_payout_after_s: 900, ..Policy::default() };
                let (epoch, order) = (rentable.epoch, order(n));
                let renter = RENTER;
                (epoch, ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy })
            }
            OrderItem::Unsellable { why, .. } => return Err(why.reason()),
            OrderItem::Extension { contract, extension } => {
                let mut epochs = self.contracts.keys().copied();
                let epoch = epochs.find(|e| ContractId::of(DEVICE, *e) == contract);
                let order = order(n);
                (
                    epoch.ok_or(RejectReason::ContractUnknown)?,
                    ContractCommand::Extend { extension, order, paid },
                )
            }
        };
        let contract = self.contract(epoch);
        contract.ask(command, now).map_err(|refusal| refusal.reject_reason())?;
        Ok((epoch, by_order(contract).expect("a contract that took an order has its segment")))
    }

    pub fn request(&mut self, ext: u8, term_s: i64) {
        let Some(epoch) = self.device.state.live_lease().map(|l| l.epoch) else { return };
        let (extension, offered, now) = (extension(ext), self.device.state.offer().is_some(), self.now);
        let command = ContractCommand::RequestExtension { extension, term_s, valid_s: 120, offered };
        let _ = self.contract(epoch).ask(command, now);
    }

    pub fn lose(&mut self, ago: i64) {
        let Some(epoch) = self.device.state.live_lease().map(|l| l.epoch) else { return };
        let last_seen = self.now.plus(-ago);
        self.tell_device(DeviceCommand::ReportLost { epoch, last_seen, give_up_at: self.now.plus(500) });
    }

    pub fn end(&mut self, by: EndedBy, epoch: Epoch) {
        let (offline, now) = (self.device.state.outages(epoch, self.now), self.now);
        let command = match by {
            EndedBy::Term => ContractCommand::Expire { offline },
            _ => ContractCommand::Terminate { by, quoted_at: None, offline },
        };
        let _ = self.contract(epoch).ask(command, now);
    }

    pub fn close(&mut self, epoch: Epoch) {
        if self.device.state.live_lease().is_some_and(|l| l.epoch == epoch) {
            let now = self.now;
            let _ = self.contract(epoch).ask(ContractCommand::CloseOffer { device: DEVICE, epoch }, now);
        }
    }

    /// Only with the contract's end in hand, as the rules want it.
    pub fn end_lease(&mut self, epoch: Epoch) {
        let end = self.contracts.get(&epoch).and_then(|c| c.state.lease_end());
        if let Some(why) = end {
            let contract = ContractId::of(DEVICE, epoch);
            self.tell_device(DeviceCommand::EndLease { epoch, contract, why });
        }
    }

    pub fn erase(&mut self, epoch: Epoch, by: u8) {
        let step = EraseStep { step: "remove".into(), result: StepResult::Done, detail: String::new() };
        let receipt = Receipt {
            v: VERSION,
            device: DEVICE,
            epoch,
            tombstone: Digest::of(b"tombstone"),
            volume: "directory".into(),
            steps: vec![step],
            not_before: Time::from_unix(T0),
        };
        let receipt = SignedReceipt(sign(&receipt, &key(by)));
        self.tell_device(DeviceCommand::RecordErasure { device: DEVICE, receipt });
    }

    /// Issues payouts, and makes due what contracts and rejected orders decided.
    pub fn pay(&mut self) {
        let now = self.now;
        for contract in self.contracts.values_mut() {
            let _ = contract.ask(ContractCommand::IssuePayout, now);
        }
        for (id, due) in self.decided() {
            self.settlements.entry(id).or_default().ask(SettlementCommand::Due(due), now).unwrap();
        }
    }

    fn decided(&self) -> Vec<(SettlementId, SettlementDue)> {
        let mut all = Vec::new();
        for (epoch, contract) in &self.contracts {
            let id = ContractId::of(DEVICE, *epoch);
            all.extend(contract.events.iter().filter_map(|event| event.settlement(id)));
        }
        for order in self.orders.values() {
            if let Some(Fate::Rejected(e)) = order.state.fate().cloned() {
                let (kind, order, to, amount) = (SettlementKind::Refund, e.order, e.renter, e.refund);
                all.push((e.settlement, SettlementDue { kind, order, contract: None, to, amount }));
            }
        }
        all
    }

    pub fn close_segment(&mut self, epoch: Epoch, segment: u32) {
        let (offline, now) = (self.device.state.outages(epoch, self.now), self.now);
        let _ = self.contract(epoch).ask(ContractCommand::CloseSegment { segment, offline }, now);
    }

    /// Opens a dispute and holds the segment's refund back, if it was issued and has not left.
    pub fn dispute(&mut self, epoch: Epoch, segment: u32) {
        let now = self.now;
        if self.contract(epoch).ask(ContractCommand::OpenDispute { segment, evidence: None }, now).is_ok() {
            self.hold(epoch, segment);
        }
    }

    /// Whether the segment's refund is held back now.
    fn hold(&mut self, epoch: Epoch, segment: u32) -> bool {
        // What was decided must be due before it can be withdrawn.
        self.pay();
        let id = SettlementId::refund(ContractId::of(DEVICE, epoch), segment as usize);
        let Some(refund) = self.settlements.get_mut(&id) else { return false };
        let _ = refund.ask(SettlementCommand::Withdraw, self.now);
        let held = *refund.state.status() == Status::Withdrawn;
        // The next event of this step may build on it.
        self.book();
        held
    }

    pub fn decide(&mut self, epoch: Epoch, segment: u32, weights: (u32, u32, u32)) {
        let disputed = |s: &domain::contract::Segment| matches!(s.verdict, Verdict::Disputed { .. });
        let known = self.contracts.get(&epoch).and_then(|c| c.state.rental());
        if !known.and_then(|r| r.segments.get(segment as usize)).is_some_and(disputed) {
            return;
        }
        let (refund_held, now) = (self.hold(epoch, segment), self.now);
        let weights = Weights { renter: weights.0, owner: weights.1, moderator: weights.2 };
        let (moderator, contract) = (Some(OWNER), self.contract(epoch));
        let _ =
            contract.ask(ContractCommand::DecideDispute { segment, weights, moderator, refund_held }, now);
    }

    /// Books what has happened since the last time; nothing may ever be wrong with the books.
    pub fn book(&mut self) {
        fn news<A: Aggregate>(
            booked: &mut BTreeMap<String, usize>,
            id: &A::Id,
            key: Option<Uuid>,
            stream: &Stream<A>,
            wrap: fn(A::Event) -> AnyEvent,
            now: Time,
            post: &mut impl FnMut(Happened<'_>),
        ) {
            let name = A::stream(id);
            let done = booked.entry(name.to_string()).or_default();
            for event in &stream.events[*done..] {
                let at = A::effective_at(event).unwrap_or(now);
                post(Happened { stream: &name, id: key, event: &wrap(event.clone()), at });
            }
            *done = stream.events.len();
        }
        let (books, booked, now) = (&mut self.books, &mut self.booked, self.now);
        let mut post = |happened: Happened<'_>| {
            let (_, faults) = books.post(&happened);
            assert!(faults.is_empty(), "{:?}: {faults:?}", happened.event);
            assert_eq!(books.escrow_gap("USD".parse().unwrap()), 0, "{:?}", happened.event);
        };
        for (n, stream) in &self.orders {
            news::<Order>(booked, &order(*n), None, stream, AnyEvent::Order, now, &mut post);
        }
        news::<Device>(booked, &DEVICE, Some(DEVICE.0), &self.device, AnyEvent::Device, now, &mut post);
        for (epoch, stream) in &self.contracts {
            let id = ContractId::of(DEVICE, *epoch);
            news::<Contract>(booked, &id, Some(id.0), stream, AnyEvent::Contract, now, &mut post);
        }
        for (id, stream) in &self.settlements {
            news::<Settlement>(booked, id, Some(id.0), stream, AnyEvent::Settlement, now, &mut post);
        }
    }

    /// In the end only the operator's fees are left, and cash for them.
    pub fn check_books_are_closed(&self) {
        assert_eq!(self.books.open().count(), 0);
        for (account, _, _) in self.books.balances() {
            assert!(
                matches!(account, Account::FeeIncome(_) | Account::EscrowCash(_)),
                "{account} is not empty"
            );
        }
    }

    pub fn settle(&mut self, which: usize, how: u8) {
        let now = self.now;
        let count = self.settlements.len().max(1);
        let Some(settlement) = self.settlements.values_mut().nth(which % count) else { return };
        let (attempt, reason) = (settlement.state.attempt(), "as it goes".to_string());
        let moved = settlement.state.due().unwrap().amount;
        let movement = Movement { reference: "tx".into(), moved, network_fee: None };
        let command = match how {
            0 => SettlementCommand::Start { method: "manual".into() },
            1 => SettlementCommand::Settle { attempt, movement },
            2 => SettlementCommand::Fail { attempt, reason },
            3 => SettlementCommand::Quarantine { attempt, reason },
            _ => SettlementCommand::Resolve { resolution: Resolution::NotMoved {}, note: reason },
        };
        let _ = settlement.ask(command, now);
    }

    /// Lets everything come to its end.
    pub fn finish(&mut self) {
        for n in 0..8 {
            self.honour(n, false);
        }
        self.now = self.now.plus(1_000_000);
        for epoch in 1..5 {
            self.end(EndedBy::Term, epoch);
            for segment in 0..8 {
                self.decide(epoch, segment, (1, 1, 1));
            }
        }
        self.now = self.now.plus(61);
        self.pay();
        for which in 0..self.settlements.len() {
            for how in [3, 4, 0, 1] {
                self.settle(which, how);
            }
        }
    }

    /// Every order is decided; an accepted one is exactly one segment, a rejected one none and all of it goes back.
    pub fn check_orders(&self) {
        let rentals = || self.contracts.values().filter_map(|c| c.state.rental());
        for (n, stream) in &self.orders {
            let paid = stream.state.received().unwrap().paid;
            let by_it: Vec<_> =
                rentals().flat_map(|r| &r.segments).filter(|s| s.order == order(*n)).collect();
            match stream.state.fate().expect("every order is decided") {
                Fate::Accepted(e) => {
                    assert_eq!(by_it.len(), 1);
                    assert_eq!((by_it[0].paid, by_it[0].term), (paid, e.segment));
                }
                Fate::Rejected(e) => {
                    assert_eq!(by_it.len(), 0);
                    assert_eq!(e.refund, paid);
                }
            }
        }
    }

    /// All that was received has left: refunds and payouts moved once, the rest is the operator's fee.
    pub fn check_escrow_is_empty(&self) {
        let received: i128 = self.orders.values().map(|s| s.state.received().unwrap().paid.minor()).sum();
        let fee = |e: &ContractEvent| match e {
            ContractEvent::PayoutIssued(e) => e.fee.minor(),
            ContractEvent::SegmentPayoutIssued(e) => e.fee.minor(),
            _ => 0,
        };
        let fees: i128 = self.contracts.values().flat_map(|c| &c.events).map(fee).sum();
        let mut moved = 0;
        for settlement in self.settlements.values() {
            let movement = match settlement.state.status() {
                Status::Settled(movement) => movement,
                Status::Withdrawn => continue,
                other => panic!("a settlement is left {other:?}"),
            };
            moved += movement.moved.minor();
            let settled = |e: &&SettlementEvent| matches!(e, SettlementEvent::SettlementSettled(_));
            assert_eq!(settlement.events.iter().filter(settled).count(), 1);
        }
        assert_eq!(moved + fees, received);
    }

    /// How many events there are.
    pub fn count(&self) -> usize {
        self.device.events.len()
            + self.contracts.values().map(|s| s.events.len()).sum::<usize>()
            + self.orders.values().map(|s| s.events.len()).sum::<usize>()
            + self.settlements.values().map(|s| s.events.len()).sum::<usize>()
    }

    /// The names of everything that happened.
    pub fn kinds(&self) -> BTreeSet<&'static str> {
        let mut kinds: BTreeSet<_> = self.device.events.iter().map(Events::kind).collect();
        kinds.extend(self.contracts.values().flat_map(|s| &s.events).map(Events::kind));
        kinds.extend(self.orders.values().flat_map(|s| &s.events).map(Events::kind));
        kinds.extend(self.settlements.values().flat_map(|s| &s.events).map(Events::kind));
        kinds
    }
}
