//! Who gets what, and how often.

use domain::{
    contract::ContractRefusal,
    device::{Device, DeviceCommand, DeviceEnrolled, LeaseGranted},
    id::{SettlementId, Subdomain},
    key::{Digest, PublicKey},
    offer::Hardware,
    order::{Order, OrderCommand, OrderEvent, OrderItem, OrderRefusal, RejectReason},
    prorate::Terms,
    settlement::{
        Movement, Settlement, SettlementCommand, SettlementFailed, SettlementRefusal, SettlementSettled,
    },
    testing::given,
};

use super::*;

/// The predecessor credited nobody for a term that was served; the entry stayed for ever.
#[test]
fn a_completed_term_pays_the_owner_all_but_the_fee() {
    let mut rental = Rental::of_a_day();
    rental.tell(expire(), DAY);
    assert_eq!(rental.refunds(), []);
    assert_eq!(rental.pay_out(DAY), (1_191, 132));
}

/// With 35 h left of terms of 24 h the predecessor refunded 1929 of one payment of 1323 and booked -606 as owed.
#[test]
fn an_early_renewal_returns_no_more_of_any_payment_than_was_paid() {
    let mut rental = Rental::of_a_day();
    rental.renew(2, HOUR);
    rental.end(13 * HOUR);
    assert_eq!(rental.refunds(), [(order(1), 607), (order(2), DAILY)]);
    assert_eq!(rental.pay_out(13 * HOUR), (645, 71));
    assert_eq!(607 + DAILY + 645 + 71, 2 * DAILY);
}

/// The predecessor looked at the last payment alone and forgot those before it.
#[test]
fn every_payment_that_has_time_left_is_refunded() {
    let mut rental = Rental::of_a_day();
    rental.renew(2, HOUR);
    rental.renew(3, 2 * HOUR);
    rental.end(12 * HOUR);
    assert_eq!(rental.refunds(), [(order(1), 662), (order(2), DAILY), (order(3), DAILY)]);
    let mut second_day = Rental::of_a_day();
    second_day.renew(2, HOUR);
    second_day.end(30 * HOUR);
    assert_eq!(second_day.refunds(), [(order(2), 993)]);
    assert_eq!(second_day.pay_out(30 * HOUR), (1_191 + 297, 132 + 33));
}

/// The predecessor divided every payment by 24 h, whatever it had bought, at one price.
#[test]
fn a_term_of_any_length_is_priced_and_divided_by_its_own_length() {
    for (hours, price) in [(1, 56), (7 * 24, 7 * DAILY), (30 * 24, 30 * DAILY)] {
        let mut rental = Rental::default();
        let wrong = Contract::default().decide(start(1, "Pi", hours * HOUR, DAILY), at(0));
        assert_eq!(wrong, Err(ContractRefusal::WrongAmount { expected: satoshi(price) }));
        rental.tell(start(1, "Pi", hours * HOUR, price), 0);
        rental.end(hours * HOUR / 2);
        assert_eq!(rental.refunds(), [(order(1), price - price / 2)], "{hours} h");
    }
}

/// The predecessor's fee was a constant in the program.
#[test]
fn the_fee_is_that_of_the_policy_which_the_rental_began_under() {
    let ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy } =
        start(1, "Pi", DAY, DAILY)
    else {
        unreachable!()
    };
    let term = Terms { fee_bps: 250, ..Terms::default() };
    let policy = Policy { term, ..policy };
    let mut rental = Rental::default();
    rental.tell(ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy }, 0);
    rental.tell(expire(), DAY);
    assert_eq!(rental.pay_out(DAY), (1_290, 33));
}

/// The predecessor had no guard for a term that was over and sent an amount of -3970.
#[test]
fn after_its_end_a_rental_gives_nothing_back_and_no_amount_is_negative() {
    let late = 4 * DAY;
    let mut rental = Rental::of_a_day();
    let refused = rental.state.decide(terminate(EndedBy::DeviceLost, vec![]), at(late));
    assert_eq!(refused, Err(ContractRefusal::Over));
    rental.tell(expire(), late);
    assert_eq!(rental.refunds(), []);
    assert_eq!(rental.pay_out(late), (1_191, 132));
    assert!(Money::from_minor(-3_970, satoshi(0).asset()).is_err());
    assert!(serde_json::from_str::<Money>(r#"{"amount":"-0.00003970","asset":"BCH"}"#).is_err());
}

/// The predecessor removed the payment before it sent the refund: when the wallet failed, the refund was lost.
#[test]
fn a_refund_whose_payment_failed_is_tried_again() {
    let failed = SettlementFailed { attempt: 1, reason: "wallet offline".into() };
    given::<Settlement>([due().into(), started(1), failed.into()])
        .when(SettlementCommand::Start { method: "wallet".into() }, at(0))
        .then([started(2)]);
}

/// Two parts of the predecessor settled the same list and could both pay.
#[test]
fn two_settlers_of_one_refund_cannot_both_pay() {
    let mut rental = Rental::of_a_day();
    let events = rental.end(13 * HOUR);
    let Some(ContractEvent::RefundIssued(refund)) = events.last() else { panic!("a refund") };
    assert_eq!(refund.settlement, SettlementId::refund(contract(), 0));
    let first = given::<Settlement>([due().into()])
        .when(SettlementCommand::Start { method: "wallet".into() }, at(0))
        .then([started(1)]);
    first.when(SettlementCommand::Due(due()), at(0)).then_already_done();
    first
        .when(SettlementCommand::Start { method: "manual".into() }, at(0))
        .then_refused(SettlementRefusal::UnderWay(1));
}

/// The predecessor took two payments off its list for one end, and the earlier was gone.
#[test]
fn a_rental_that_is_ended_twice_refunds_each_payment_once() {
    let mut rental = Rental::of_a_day();
    rental.renew(2, HOUR);
    rental.end(13 * HOUR);
    for by in [EndedBy::Renter, EndedBy::DeviceLost, EndedBy::Operator] {
        let again = rental.state.decide(terminate(by, vec![]), at(14 * HOUR));
        assert_eq!(again, Ok(Decision::AlreadyDone));
    }
    assert_eq!(rental.state.decide(expire(), at(9 * DAY)), Ok(Decision::AlreadyDone));
}

/// The predecessor kept ten percent of every payment, of unused time too.
#[test]
fn no_fee_is_kept_from_unused_time() {
    let mut rental = Rental::of_a_day();
    rental.end(0);
    assert_eq!(rental.refunds(), [(order(1), DAILY)]);
    assert_eq!(rental.pay_out(0), (0, 0));
}

/// The predecessor billed the 10 to 15 minutes until it noticed that a device was gone.
#[test]
fn the_time_until_a_lost_device_is_noticed_is_not_billed() {
    let lease = LeaseGranted {
        epoch: 1,
        gateway: "main".parse().unwrap(),
        port: 6_000,
        subdomain: Subdomain::of(DEVICE, 1),
        device_key: PublicKey([1; 32]),
        config_hash: Digest::of(b"config"),
        hardware: Hardware::default(),
    };
    let enrolled = DeviceEnrolled { owner: OWNER, enrolment_key: Digest::of(b"key") };
    let mut device: Device = replay(&[enrolled.into(), lease.into()]);
    let (last_seen, noticed, give_up_at) = (at(8 * HOUR), at(8 * HOUR + 900), at(9 * HOUR));
    let lost = DeviceCommand::ReportLost { epoch: 1, last_seen, give_up_at };
    for event in decided(&device, lost, noticed) {
        device.apply(&event);
    }
    let mut rental = Rental::of_a_day();
    rental.tell(terminate(EndedBy::DeviceLost, device.outages(1, give_up_at)), 9 * HOUR);
    assert_eq!(rental.refunds(), [(order(1), DAILY - DAILY / 3)]);
    assert_eq!(rental.pay_out(9 * HOUR), (397, 44));
}

/// When marking an order as read failed, the predecessor fulfilled it again at every poll.
#[test]
fn an_order_is_received_once_whatever_is_repeated() {
    let receive = |paid| {
        let item = OrderItem::Rental { device: DEVICE, term_s: DAY };
        OrderCommand::Receive { order: order(1), item, renter: RENTER, paid: satoshi(paid) }
    };
    let mut state = Order::default();
    for event in decided(&state, receive(DAILY), at(0)) {
        state.apply(&event);
    }
    assert_eq!(state.decide(receive(DAILY), at(1)), Ok(Decision::AlreadyDone));
    assert_eq!(state.decide(receive(DAILY + 1), at(1)), Err(OrderRefusal::Different));
    let rental = Rental::of_a_day();
    let again = rental.state.decide(start(1, "Pi", DAY, DAILY), at(120));
    assert_eq!(again, Ok(Decision::AlreadyDone));
}

/// The predecessor's entries named neither order nor transaction, so nothing could be told apart.
#[test]
fn whatever_moves_names_its_order_and_its_transaction() {
    let mut rental = Rental::of_a_day();
    rental.renew(2, HOUR);
    rental.end(13 * HOUR);
    rental.pay_out(13 * HOUR);
    let named = |e: &ContractEvent| match e {
        ContractEvent::RefundIssued(e) => Some((e.settlement, e.order.clone())),
        ContractEvent::PayoutIssued(e) => Some((e.settlement, e.order.clone())),
        _ => None,
    };
    let expected = [
        (SettlementId::refund(contract(), 0), order(1)),
        (SettlementId::refund(contract(), 1), order(2)),
        (SettlementId::payout(contract()), order(1)),
    ];
    assert_eq!(rental.events.iter().filter_map(named).collect::<Vec<_>>(), expected);

    let item = OrderItem::Rental { device: DEVICE, term_s: DAY };
    let receive = OrderCommand::Receive { order: order(3), item, renter: RENTER, paid: satoshi(5) };
    let order_state: Order = replay(&decided(&Order::default(), receive, at(0)));
    let reject = OrderCommand::Reject { reason: RejectReason::AlreadyLet };
    let rejected = decided(&order_state, reject, at(0));
    let [OrderEvent::OrderRejected(back)] = rejected.as_slice() else { panic!("a rejection") };
    assert_eq!((&back.order, back.settlement), (&order(3), SettlementId::rejected_order(&order(3))));

    let movement =
        |reference: &str| Movement { reference: reference.into(), moved: satoshi(607), network_fee: None };
    let settle = |reference| SettlementCommand::Settle { attempt: 1, movement: movement(reference) };
    let under_way = given::<Settlement>([due().into(), started(1)]);
    under_way.when(settle(" "), at(0)).then_refused(SettlementRefusal::Text("reference"));
    let settled = SettlementSettled { attempt: 1, movement: movement("tx-1") };
    under_way.when(settle("tx-1"), at(0)).then([settled.into()]);
}

/// The predecessor took a rented device off its list before it divided the money, and did not come back when that failed.
#[test]
fn an_end_and_its_refunds_are_decided_together() {
    let mut rental = Rental::of_a_day();
    let together = rental.end(13 * HOUR);
    assert!(
        matches!(together[..], [ContractEvent::RentalTerminated(_), ContractEvent::RefundIssued(_)]),
        "{together:?}"
    );
}
