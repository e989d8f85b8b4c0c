use uuid::Uuid;

use super::*;
use crate::{id::DeviceId, testing::given};

const NOW: Time = Time::from_unix(0);

fn paid(text: &str) -> Money {
    Money::parse(text, "BCH".parse().unwrap()).unwrap()
}

fn received(amount: &str) -> OrderReceived {
    OrderReceived {
        order: "ob-Qm1".parse().unwrap(),
        item: OrderItem::Rental { device: DeviceId(Uuid::from_u128(1)), term_s: 3600 },
        renter: AccountId(Uuid::from_u128(2)),
        paid: paid(amount),
    }
}

fn receive(amount: &str) -> OrderCommand {
    let OrderReceived { order, item, renter, paid } = received(amount);
    OrderCommand::Receive { order, item, renter, paid }
}

fn accept(contract: u128) -> OrderCommand {
    OrderCommand::Accept {
        contract: ContractId(Uuid::from_u128(contract)),
        segment: Interval::new(NOW, NOW.plus(3600)),
    }
}

#[test]
fn an_order_is_received_once_and_never_with_other_contents() {
    let once = given::<Order>([]).when(receive("0.5"), NOW).then([received("0.5").into()]);
    once.when(receive("0.5"), NOW).then_already_done();
    once.when(receive("0.6"), NOW).then_refused(OrderRefusal::Different);
}

#[test]
fn an_order_that_paid_nothing_is_refused() {
    given::<Order>([]).when(receive("0"), NOW).then_refused(OrderRefusal::NothingPaid);
}

#[test]
fn a_rejected_order_gives_all_of_it_back_and_cannot_be_accepted_later() {
    let order: OrderKey = "ob-Qm1".parse().unwrap();
    let rejected = OrderRejected {
        settlement: SettlementId::rejected_order(&order),
        order,
        reason: RejectReason::AlreadyLet,
        renter: received("0.5").renter,
        refund: paid("0.5"),
    };
    let after = given::<Order>([received("0.5").into()])
        .when(OrderCommand::Reject { reason: RejectReason::AlreadyLet }, NOW)
        .then([rejected.into()]);
    after.when(OrderCommand::Reject { reason: RejectReason::DeviceLost }, NOW).then_already_done();
    after.when(accept(1), NOW).then_refused(OrderRefusal::Decided);
}

#[test]
fn an_accepted_order_is_accepted_once_for_one_contract() {
    let accepted = OrderAccepted {
        order: "ob-Qm1".parse().unwrap(),
        contract: ContractId(Uuid::from_u128(1)),
        segment: Interval::new(NOW, NOW.plus(3600)),
    };
    let after = given::<Order>([received("0.5").into()]).when(accept(1), NOW).then([accepted.into()]);
    after.when(accept(1), NOW).then_already_done();
    after.when(accept(2), NOW).then_refused(OrderRefusal::Decided);
    after
        .when(OrderCommand::Reject { reason: RejectReason::AlreadyLet }, NOW)
        .then_refused(OrderRefusal::Decided);
}

#[test]
fn an_order_nobody_received_cannot_be_decided() {
    given::<Order>([]).when(accept(1), NOW).then_refused(OrderRefusal::Unknown);
}

#[test]
fn a_payment_for_nothing_names_its_listing_and_why() {
    let why = Unsellable::ListingUnknown;
    let receive = |listing: &str| {
        let OrderReceived { order, renter, paid, .. } = received("0.5");
        let item = OrderItem::Unsellable { listing: listing.into(), why };
        OrderCommand::Receive { order, item, renter, paid }
    };
    let long = "x".repeat(MAX_LISTING + 1);
    for listing in ["", "a\nb", &long] {
        given::<Order>([]).when(receive(listing), NOW).then_refused(OrderRefusal::Listing);
    }
    let item = OrderItem::Unsellable { listing: "shirt".into(), why };
    given::<Order>([]).when(receive("shirt"), NOW).then([OrderReceived { item, ..received("0.5") }.into()]);
    assert_eq!(why.reason(), RejectReason::ListingUnknown);
}

#[test]
fn what_collecting_a_payment_cost_is_recorded_once_for_each_transaction() {
    let collect =
        |reference: &str, cost: &str| OrderCommand::Collect { reference: reference.into(), cost: paid(cost) };
    let order: OrderKey = "ob-Qm1".parse().unwrap();
    let collected = OrderCollected { order, reference: "tx".into(), cost: paid("0.1") };
    given::<Order>([]).when(collect("tx", "0.1"), NOW).then_refused(OrderRefusal::Unknown);
    let once =
        given::<Order>([received("0.5").into()]).when(collect("tx", "0.1"), NOW).then([collected.into()]);
    once.when(collect("tx", "0.1"), NOW).then_already_done();
    once.when(collect("tx", "0.2"), NOW).then_refused(OrderRefusal::Reference);
    once.when(collect(" ", "0.2"), NOW).then_refused(OrderRefusal::Reference);
    once.when(collect("other", "0.6"), NOW).then_refused(OrderRefusal::Cost);
    once.when(collect("other", "0"), NOW).then_refused(OrderRefusal::Cost);
}
