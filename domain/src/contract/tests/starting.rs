use super::*;

#[test]
fn a_device_is_let_from_the_moment_its_order_is_honoured() {
    given::<Contract>([]).when(start(1), at(0)).then([started_under(Policy::default().for_term(TERM))]);
}

#[test]
fn a_device_is_let_once_and_a_second_order_is_told_so() {
    rented().when(start(1), at(5)).then_already_done();
    rented().when(start(2), at(5)).then_refused(ContractRefusal::AlreadyLet);
    rented().when(start(2), at(9_999)).then_refused(ContractRefusal::AlreadyLet);
}

#[test]
fn a_lease_is_let_or_closed_but_never_both() {
    let gone = given::<Contract>([]).when(close(), at(0)).then([closed()]);
    gone.when(close(), at(1)).then_already_done();
    gone.when(start(1), at(1)).then_refused(ContractRefusal::LeaseEnded);
    rented().when(close(), at(1)).then_refused(ContractRefusal::Let);
    given::<Contract>([started(), expired(TERM, &[])])
        .when(close(), at(2_000))
        .then_refused(ContractRefusal::Let);
}

#[test]
fn exactly_the_price_must_be_paid_in_the_asset_of_the_offer() {
    let pay = |paid| start_with(1, paid, TERM, Policy::default());
    let new = given::<Contract>([]);
    let expected = cents(1_000);
    new.when(pay(cents(999)), at(0)).then_refused(ContractRefusal::WrongAmount { expected });
    new.when(pay(cents(1_001)), at(0)).then_refused(ContractRefusal::WrongAmount { expected });
    let euros = Money::parse("10", "EUR".parse().unwrap()).unwrap();
    new.when(pay(euros), at(0)).then_refused(ContractRefusal::WrongAsset { expected: expected.asset() });
}

#[test]
fn a_term_outside_the_offer_is_refused() {
    let new = given::<Contract>([]);
    for term_s in [i64::MIN, -1, 0, 59, 10_001, i64::MAX] {
        let too = ContractRefusal::TermOutOfRange { min_term_s: 60, max_term_s: 10_000 };
        new.when(start_with(1, cents(1_000), term_s, Policy::default()), at(0)).then_refused(too);
    }
}

#[test]
fn a_term_that_would_pass_the_end_of_time_is_refused() {
    let too = ContractRefusal::TermOutOfRange { min_term_s: 60, max_term_s: 999 };
    given::<Contract>([]).when(start(1), Time::MAX.plus(-999)).then_refused(too);
}

#[test]
fn a_price_beyond_what_the_asset_can_hold_is_refused() {
    let max = cents(crate::money::MAX_MINOR);
    let rates = vec![Rate { per: Unit::Hour, price: max }];
    let rentable = Rentable { owner: OWNER, epoch: 1, offer: Offer { rates, ..offer() } };
    let command = ContractCommand::Start {
        device: DEVICE,
        rentable,
        order: order(1),
        renter: RENTER,
        paid: max,
        term_s: 3_601,
        policy: Policy::default(),
    };
    given::<Contract>([]).when(command, at(0)).then_refused(ContractRefusal::PriceOutOfRange);
}

#[test]
fn nothing_starts_under_an_invalid_policy_or_offer() {
    let policy = Policy { quote_valid_s: -1, ..Policy::default() };
    given::<Contract>([])
        .when(start_with(1, cents(1_000), TERM, policy), at(0))
        .then_refused(ContractRefusal::PolicyInvalid);
    let rentable = Rentable { owner: OWNER, epoch: 1, offer: Offer { rates: vec![], ..offer() } };
    let ContractCommand::Start { device, order, renter, paid, term_s, policy, .. } = start(1) else {
        unreachable!()
    };
    let command = ContractCommand::Start { device, rentable, order, renter, paid, term_s, policy };
    given::<Contract>([]).when(command, at(0)).then_refused(ContractRefusal::NotOffered);
}

#[test]
fn nothing_can_be_asked_of_a_rental_that_never_started() {
    for nothing in [given::<Contract>([]), given([closed()])] {
        for command in [
            request(1, 500),
            extend(1, 2, 500),
            ContractCommand::Lapse { extension: ext(1) },
            terminate(EndedBy::Renter),
            expire(&[]),
            ContractCommand::IssuePayout,
        ] {
            nothing.when(command, at(0)).then_refused(ContractRefusal::Unknown);
        }
    }
}

#[test]
fn a_lease_may_end_only_after_the_contract_holds_an_end() {
    let end = |events: &[ContractEvent]| crate::aggregate::replay::<Contract>(events).lease_end();
    assert_eq!(end(&[]), None);
    assert_eq!(end(&[started()]), None);
    assert_eq!(end(&[closed()]), Some(LeaseEnd::Unrented));
    assert_eq!(end(&[started(), expired(TERM, &[])]), Some(LeaseEnd::Expired));
    assert_eq!(end(&[started(), terminated(EndedBy::Owner, 5, &[])]), Some(LeaseEnd::Terminated));
}

#[test]
fn every_refusal_of_an_order_has_a_reason_to_send_its_money_back() {
    use crate::order::RejectReason;
    for (refusal, reason) in [
        (ContractRefusal::AlreadyLet, RejectReason::AlreadyLet),
        (ContractRefusal::LeaseEnded, RejectReason::LeaseEnded),
        (ContractRefusal::Over, RejectReason::RentalOver),
        (ContractRefusal::Unknown, RejectReason::ContractUnknown),
        (ContractRefusal::ExtensionUnknown, RejectReason::ExtensionUnknown),
        (ContractRefusal::ExtensionLapsed, RejectReason::ExtensionLapsed),
        (ContractRefusal::ExtensionPaid, RejectReason::ExtensionPaid),
        (
            ContractRefusal::WrongAmount { expected: cents(5) },
            RejectReason::WrongAmount { expected: cents(5) },
        ),
    ] {
        assert_eq!(refusal.reject_reason(), reason);
    }
}
