//! What went wrong in the predecessor cannot go wrong here: one test for each of its defects.
//!
//! The numbers are those of its own runs where they are known. A day costs 1323 satoshi.

mod money;
mod state;

use domain::{
    aggregate::{Aggregate, Decision, replay},
    contract::{Contract, ContractCommand, ContractEvent, RentalStarted},
    device::Rentable,
    id::{AccountId, ContractId, DeviceId, ExtensionId, OrderKey},
    money::Money,
    offer::{Offer, Rate, Unit},
    policy::{EndedBy, Policy},
    settlement::{SettlementDue, SettlementEvent, SettlementKind, SettlementStarted},
    time::{Interval, Seconds, Time},
};
use uuid::Uuid;

const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0xd));
const OWNER: AccountId = AccountId(Uuid::from_u128(0xa));
const RENTER: AccountId = AccountId(Uuid::from_u128(0xb));
const HOUR: Seconds = 3_600;
const DAY: Seconds = 24 * HOUR;
/// What a day costs, in satoshi.
const DAILY: i128 = 1_323;

/// `seconds` after the rental started.
fn at(seconds: Seconds) -> Time {
    Time::from_unix(1_500_000_000 + seconds)
}

fn satoshi(minor: i128) -> Money {
    Money::from_minor(minor, "BCH".parse().unwrap()).unwrap()
}

fn order(n: u32) -> OrderKey {
    format!("ob-{n}").parse().unwrap()
}

fn contract() -> ContractId {
    ContractId::of(DEVICE, 1)
}

fn offer(title: &str) -> Offer {
    let rates = vec![Rate { per: Unit::Day, price: satoshi(DAILY) }];
    Offer { title: title.into(), place: None, rates, min_term_s: HOUR, max_term_s: 60 * DAY }
}

fn start(n: u32, title: &str, term_s: Seconds, paid: i128) -> ContractCommand {
    let rentable = Rentable { owner: OWNER, epoch: 1, offer: offer(title) };
    let (order, renter, paid, policy) = (order(n), RENTER, satoshi(paid), Policy::default());
    ContractCommand::Start { device: DEVICE, rentable, order, renter, paid, term_s, policy }
}

/// What is decided, which is not refused.
fn decided<A: Aggregate>(state: &A, command: A::Command, now: Time) -> Vec<A::Event> {
    match state.decide(command, now) {
        Ok(Decision::Events(events)) => events,
        other => panic!("it must happen, not {other:?}"),
    }
}

/// A contract and what is decided about it.
#[derive(Default)]
struct Rental {
    state: Contract,
    events: Vec<ContractEvent>,
}

impl Rental {
    /// One day from order 1.
    fn of_a_day() -> Self {
        let mut rental = Self::default();
        rental.tell(start(1, "Pi", DAY, DAILY), 0);
        rental
    }

    /// Asks for what must happen; what happened.
    fn tell(&mut self, command: ContractCommand, seconds: Seconds) -> Vec<ContractEvent> {
        let events = decided(&self.state, command, at(seconds));
        self.events.extend(events.clone());
        self.state = replay(&self.events);
        events
    }

    /// Order `n` pays for a day more.
    fn renew(&mut self, n: u32, seconds: Seconds) {
        let extension = ExtensionId(Uuid::from_u128(n.into()));
        let request =
            ContractCommand::RequestExtension { extension, term_s: DAY, valid_s: HOUR, offered: true };
        self.tell(request, seconds);
        self.tell(ContractCommand::Extend { extension, order: order(n), paid: satoshi(DAILY) }, seconds);
    }

    fn end(&mut self, seconds: Seconds) -> Vec<ContractEvent> {
        self.tell(terminate(EndedBy::Renter, vec![]), seconds)
    }

    fn pay_out(&mut self, seconds: Seconds) -> (i128, i128) {
        match self.tell(ContractCommand::IssuePayout, seconds).as_slice() {
            [ContractEvent::PayoutIssued(e)] => (e.amount.minor(), e.fee.minor()),
            other => panic!("a payout, not {other:?}"),
        }
    }

    /// Order and amount of every refund so far.
    fn refunds(&self) -> Vec<(OrderKey, i128)> {
        let refund = |e: &ContractEvent| match e {
            ContractEvent::RefundIssued(e) => Some((e.order.clone(), e.amount.minor())),
            _ => None,
        };
        self.events.iter().filter_map(refund).collect()
    }
}

fn terminate(by: EndedBy, offline: Vec<Interval>) -> ContractCommand {
    ContractCommand::Terminate { by, quoted_at: None, offline }
}

fn expire() -> ContractCommand {
    ContractCommand::Expire { offline: vec![] }
}

fn due() -> SettlementDue {
    let (kind, contract) = (SettlementKind::Refund, Some(contract()));
    SettlementDue { kind, order: order(1), contract, to: RENTER, amount: satoshi(607) }
}

fn started(attempt: u32) -> SettlementEvent {
    SettlementStarted { attempt, method: "wallet".into() }.into()
}

fn opening(events: &[ContractEvent]) -> &RentalStarted {
    match events {
        [ContractEvent::RentalStarted(e)] => e,
        other => panic!("a start, not {other:?}"),
    }
}
