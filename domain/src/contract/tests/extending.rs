use super::*;

fn lapse(n: u128) -> ContractCommand {
    ContractCommand::Lapse { extension: ext(n) }
}

#[test]
fn an_extension_is_requested_at_the_price_of_the_pinned_offer_and_paid_once() {
    let waiting = rented().when(request(1, 500), at(100)).then([requested(1, 400)]);
    waiting.when(request(1, 500), at(100)).then_already_done();
    let paid = waiting.when(extend(1, 2, 500), at(399)).then([extended(1, 2, 1_000, 1_500)]);
    paid.when(extend(1, 2, 500), at(399)).then_already_done();
    paid.when(extend(1, 2, 500), at(99_999)).then_already_done();
    paid.when(request(1, 500), at(401)).then_already_done();
    paid.when(extend(1, 3, 500), at(399)).then_refused(ContractRefusal::ExtensionPaid);
}

#[test]
fn a_segment_follows_on_the_end_before_however_early_it_was_paid() {
    twice_paid(Policy::default())
        .when(request(2, 500), at(1_499))
        .then([requested(2, 1_500)])
        .when(extend(2, 3, 500), at(1_499))
        .then([extended(2, 3, 1_500, 2_000)]);
}

#[test]
fn a_request_lapses_exactly_at_its_time() {
    let waiting = given::<Contract>([started(), requested(1, 400)]);
    waiting.when(lapse(1), at(399)).then_refused(ContractRefusal::NotLapsedYet { until: at(400) });
    waiting.when(extend(1, 2, 500), at(400)).then_refused(ContractRefusal::ExtensionLapsed);
    let gone = waiting.when(lapse(1), at(400)).then([lapsed(1, 400)]);
    gone.when(lapse(1), at(400)).then_already_done();
    gone.when(request(1, 500), at(401)).then_already_done();
    gone.when(extend(1, 2, 500), at(401)).then_refused(ContractRefusal::ExtensionLapsed);
}

#[test]
fn a_request_never_outlives_the_paid_time() {
    rented().when(request(1, 500), at(900)).then([requested(1, 1_000)]);
    rented().when(request(1, 500), at(999)).then([requested(1, 1_000)]);
}

#[test]
fn one_request_waits_at_a_time_and_a_late_one_makes_room_for_the_next() {
    let waiting = given::<Contract>([started(), requested(1, 400)]);
    waiting.when(request(2, 500), at(399)).then_refused(ContractRefusal::ExtensionPending(ext(1)));
    waiting.when(request(2, 500), at(400)).then([lapsed(1, 400), requested(2, 700)]);
}

#[test]
fn an_extension_that_nobody_requested_cannot_be_paid() {
    rented().when(extend(1, 2, 500), at(1)).then_refused(ContractRefusal::ExtensionUnknown);
    given::<Contract>([started(), requested(1, 400)])
        .when(extend(2, 2, 500), at(1))
        .then_refused(ContractRefusal::ExtensionUnknown);
    rented().when(lapse(1), at(1)).then_already_done();
}

#[test]
fn an_extension_is_paid_at_the_marketplace_that_holds_the_rentals_money() {
    let waiting = given::<Contract>([started(), requested(1, 400)]);
    let elsewhere = "other-2".parse().unwrap();
    waiting
        .when(ContractCommand::Extend { extension: ext(1), order: elsewhere, paid: cents(500) }, at(1))
        .then_refused(ContractRefusal::WrongMarketplace { expected: "ob".parse().unwrap() });
    waiting.when(extend(1, 2, 500), at(2)).then([extended(1, 2, 1_000, 1_500)]);
}

#[test]
fn an_extension_is_paid_with_exactly_its_price() {
    let waiting = given::<Contract>([started(), requested(1, 400)]);
    let expected = cents(500);
    waiting.when(extend(1, 2, 499), at(1)).then_refused(ContractRefusal::WrongAmount { expected });
    let paid = Money::parse("5", "BCH".parse().unwrap()).unwrap();
    waiting
        .when(ContractCommand::Extend { extension: ext(1), order: order(2), paid }, at(1))
        .then_refused(ContractRefusal::WrongAsset { expected: expected.asset() });
}

#[test]
fn a_rental_whose_paid_time_is_over_cannot_be_extended_even_when_the_scheduler_is_late() {
    let waiting = given::<Contract>([started(), requested(1, 1_000)]);
    waiting.when(extend(1, 2, 500), at(1_000)).then_refused(ContractRefusal::Over);
    rented().when(request(1, 500), at(1_000)).then_refused(ContractRefusal::Over);
    rented().when(request(1, 500), at(999)).then([requested(1, 1_000)]);
}

#[test]
fn an_ended_rental_cannot_be_extended() {
    for end in [expired(TERM, &[]), terminated(EndedBy::Renter, 100, &[])] {
        let over = given::<Contract>([started(), requested(1, 400), end]);
        over.when(extend(1, 2, 500), at(101)).then_refused(ContractRefusal::Over);
        over.when(request(2, 500), at(101)).then_refused(ContractRefusal::Over);
    }
}

#[test]
fn a_request_lapses_with_its_rental() {
    let over = given::<Contract>([started(), requested(1, 400), terminated(EndedBy::Renter, 100, &[])]);
    over.when(lapse(1), at(101)).then([lapsed(1, 100)]).when(lapse(1), at(401)).then_already_done();
}

#[test]
fn a_device_that_is_no_longer_offered_cannot_be_extended_but_a_request_made_before_stands() {
    let command =
        ContractCommand::RequestExtension { extension: ext(1), term_s: 500, valid_s: 300, offered: false };
    rented().when(command.clone(), at(1)).then_refused(ContractRefusal::NotOffered);
    let waiting = given::<Contract>([started(), requested(1, 400)]);
    waiting.when(command, at(1)).then_already_done();
    waiting.when(extend(1, 2, 500), at(1)).then([extended(1, 2, 1_000, 1_500)]);
}

#[test]
fn an_extension_keeps_to_the_terms_of_the_offer() {
    for term_s in [i64::MIN, 0, 59, 10_001, i64::MAX] {
        let too = ContractRefusal::TermOutOfRange { min_term_s: 60, max_term_s: 10_000 };
        rented().when(request(1, term_s), at(1)).then_refused(too);
    }
}

/// A rental of `segments` segments that pay `paid` each for `length` seconds.
fn long(segments: u32, length: i64, paid: i128) -> Given<Contract> {
    let ContractEvent::RentalStarted(first) = started() else { unreachable!() };
    let first = RentalStarted { segment: span(0, length), paid: cents(paid), ..first };
    let more = (1..segments).map(|i| {
        let segment = span(i64::from(i) * length, i64::from(i + 1) * length);
        let (extension, order) = (ext(i.into()), order(i + 1));
        RentalExtended { device: DEVICE, epoch: 1, extension, order, segment, paid: cents(paid) }.into()
    });
    given(std::iter::once(first.into()).chain(more))
}

#[test]
fn all_segments_together_are_no_longer_than_the_longest_term() {
    let nearly = long(1, MAX_TERM_S - 100, 1_000);
    let too = ContractRefusal::TermOutOfRange { min_term_s: 60, max_term_s: 100 };
    nearly.when(request(1, 101), at(1)).then_refused(too);
    let lapses_at = at(301);
    let event = ExtensionRequested { extension: ext(1), term_s: 100, price: cents(100), lapses_at };
    nearly.when(request(1, 100), at(1)).then([event.into()]);
}

#[test]
fn a_rental_has_a_limited_number_of_segments() {
    let full = u32::try_from(MAX_SEGMENTS).unwrap();
    long(full, 60, 60).when(request(9_999, 500), at(1)).then_refused(ContractRefusal::TooManySegments);
    long(full - 1, 60, 60).when(request(9_999, 500), at(1)).then([requested(9_999, 301)]);
}

#[test]
fn what_was_paid_in_all_stays_within_what_the_asset_can_hold() {
    let max = crate::money::MAX_MINOR;
    long(1, TERM, max - 499).when(request(1, 500), at(1)).then_refused(ContractRefusal::PriceOutOfRange);
    long(1, TERM, max - 500).when(request(1, 500), at(1)).then([requested(1, 301)]);
}
