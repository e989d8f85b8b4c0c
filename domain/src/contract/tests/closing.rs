use super::{
    money::{EARLY, policy_of},
    *,
};

const PAY: ContractCommand = ContractCommand::IssuePayout;

/// A long rental whose first segment was closed as it was served.
fn first_closed(policy: Policy) -> Given<Contract> {
    twice_paid(policy)
        .when(close_segment(0, &[]), at(1_000))
        .then([segment_closed(0, &[]), segment_paid_out(0, 900, 100)])
}

#[test]
fn a_served_segment_of_a_long_rental_is_paid_out_while_the_rental_goes_on() {
    let running = first_closed(by_segments());
    running.when(request(2, 500), at(1_001)).then([requested(2, 1_301)]);
    running.when(PAY, at(1_001)).then_refused(ContractRefusal::StillRunning { until: at(1_500) });
}

#[test]
fn the_outages_of_a_closed_segment_come_back_with_its_payout() {
    let outages = [span(900, 1_200), span(100, 150), span(120, 200), span(-50, 0)];
    let counted = [span(100, 200), span(900, 1_000)];
    twice_paid(by_segments()).when(close_segment(0, &outages), at(1_300)).then([
        segment_closed(0, &counted),
        refund(0, 200),
        segment_paid_out(0, 720, 80),
    ]);
}

#[test]
fn a_segment_that_was_offline_all_the_time_is_closed_with_nothing_for_the_owner() {
    twice_paid(by_segments()).when(close_segment(0, &[span(0, 1_000)]), at(1_000)).then([
        segment_closed(0, &[span(0, 1_000)]),
        refund(0, 1_000),
        segment_paid_out(0, 0, 0),
    ]);
}

#[test]
fn a_segment_is_closed_once_it_was_served_and_the_payout_delay_is_over() {
    let patient = twice_paid(Policy { payout_delay_s: 60, ..by_segments() });
    let early = |segment, due| ContractRefusal::NotServedYet { segment, at: at(due) };
    patient.when(close_segment(0, &[]), at(1_059)).then_refused(early(0, 1_060));
    patient.when(close_segment(1, &[]), at(1_060)).then_refused(early(1, 1_560));
    patient
        .when(close_segment(0, &[]), at(1_060))
        .then([segment_closed(0, &[]), segment_paid_out(0, 900, 100)]);
}

#[test]
fn a_rental_that_is_not_longer_than_its_policy_says_is_paid_at_its_end() {
    let short = given::<Contract>([started_under(by_segments())]);
    short.when(close_segment(0, &[]), at(1_000)).then_refused(ContractRefusal::PaidAtEnd);
    let patient = twice_paid(Policy { segment_payout_after_s: 1_500, ..Policy::default() });
    patient.when(close_segment(0, &[]), at(1_000)).then_refused(ContractRefusal::PaidAtEnd);
}

#[test]
fn an_extension_makes_a_short_rental_long() {
    given::<Contract>([started_under(by_segments()), requested(1, 300)])
        .when(extend(1, 2, 500), at(299))
        .then([extended(1, 2, 1_000, 1_500)])
        .when(close_segment(0, &[]), at(1_000))
        .then([segment_closed(0, &[]), segment_paid_out(0, 900, 100)]);
}

#[test]
fn a_segment_is_closed_once_whoever_asks_again() {
    let closed = first_closed(by_segments());
    closed.when(close_segment(0, &[]), at(1_000)).then_already_done();
    closed.when(close_segment(0, &[span(0, 500)]), at(9_999)).then_already_done();
    let over = closed.when(expire(&[]), at(1_500)).then([expired(1_500, &[])]);
    over.when(close_segment(0, &[]), at(1_500)).then_already_done();
    let paid = over.when(PAY, at(1_500)).then([paid_out(450, 50)]);
    paid.when(close_segment(0, &[]), at(1_500)).then_already_done();
}

#[test]
fn an_ended_rental_closes_no_segment_on_its_own() {
    for end in [expired(1_500, &[]), terminated(EndedBy::Owner, 1_200, &[])] {
        let over = given::<Contract>([started_under(by_segments()), extended(1, 2, 1_000, 1_500), end]);
        over.when(close_segment(0, &[]), at(2_000)).then_refused(ContractRefusal::Over);
    }
}

#[test]
fn a_disputed_segment_waits_for_its_decision_and_is_then_closed_by_it() {
    let rental = [started_under(by_segments()), extended(1, 2, 1_000, 1_500), disputed(0)];
    let waiting = given::<Contract>(rental.clone());
    waiting.when(close_segment(0, &[]), at(1_000)).then_refused(ContractRefusal::Disputed(0));
    let settled = given::<Contract>(rental.into_iter().chain([decided(0, 1_000, weights(0, 1, 0))]));
    settled.when(close_segment(0, &[]), at(1_000)).then_refused(ContractRefusal::SegmentDecided(0));
    settled
        .when(close_segment(1, &[]), at(1_500))
        .then([segment_closed(1, &[]), segment_paid_out(1, 450, 50)]);
}

#[test]
fn what_does_not_exist_cannot_be_closed() {
    given::<Contract>([]).when(close_segment(0, &[]), at(1)).then_refused(ContractRefusal::Unknown);
    for segment in [2, u32::MAX] {
        let unknown = ContractRefusal::SegmentUnknown(segment);
        twice_paid(by_segments()).when(close_segment(segment, &[]), at(9_999)).then_refused(unknown);
    }
}

#[test]
fn a_later_end_of_any_kind_leaves_a_closed_segment_as_it_was() {
    for by in EARLY {
        for (terms, rest, payout) in [
            (Terms { fee_bps: 1_000, ..Terms::default() }, 300, (180, 20)),
            (Terms { void: true, ..Terms::default() }, 500, (0, 0)),
            (Terms { fee_bps: 10_000, ..Terms::default() }, 300, (0, 200)),
        ] {
            let policy = Policy { segment_payout_after_s: TERM, quote_valid_s: 0, ..policy_of(by, terms) };
            first_closed(policy)
                .when(terminate(by), at(1_200))
                .then([terminated(by, 1_200, &[]), refund(1, rest)])
                .when(PAY, at(1_200))
                .then([paid_out(payout.0, payout.1)]);
        }
    }
}

#[test]
fn no_quote_from_before_its_end_stands_any_more_when_a_segment_is_closed() {
    let quoted =
        ContractCommand::Terminate { by: EndedBy::Renter, quoted_at: Some(at(999)), offline: vec![] };
    let rental = twice_paid(Policy { quote_valid_s: 60, ..by_segments() });
    let early = ContractRefusal::NotServedYet { segment: 0, at: at(1_060) };
    rental.when(close_segment(0, &[]), at(1_059)).then_refused(early);
    rental.when(quoted.clone(), at(1_059)).then([
        terminated(EndedBy::Renter, 999, &[]),
        refund(0, 1),
        refund(1, 500),
    ]);
    rental
        .when(close_segment(0, &[]), at(1_060))
        .then([segment_closed(0, &[]), segment_paid_out(0, 900, 100)])
        .when(quoted, at(1_060))
        .then_refused(ContractRefusal::QuoteExpired);
}

#[test]
fn outages_that_are_known_only_later_do_not_reopen_a_closed_segment() {
    let late = [span(500, 1_100)];
    first_closed(by_segments())
        .when(expire(&late), at(1_500))
        .then([expired(1_500, &late), refund(1, 100)])
        .when(PAY, at(1_500))
        .then([paid_out(360, 40)]);
}

#[test]
fn the_last_payout_holds_only_what_was_not_paid_by_segments() {
    let both = first_closed(by_segments())
        .when(close_segment(1, &[]), at(1_500))
        .then([segment_closed(1, &[]), segment_paid_out(1, 450, 50)]);
    both.when(expire(&[]), at(1_500))
        .then([expired(1_500, &[])])
        .when(PAY, at(1_500))
        .then([paid_out(0, 0)])
        .when(PAY, at(1_500))
        .then_already_done();
}

#[test]
fn segments_are_closed_in_any_order() {
    let last = twice_paid(by_segments())
        .when(close_segment(1, &[]), at(1_500))
        .then([segment_closed(1, &[]), segment_paid_out(1, 450, 50)]);
    last.when(close_segment(0, &[]), at(1_500)).then([segment_closed(0, &[]), segment_paid_out(0, 900, 100)]);
    last.when(expire(&[]), at(1_500))
        .then([expired(1_500, &[])])
        .when(PAY, at(1_500))
        .then([paid_out(900, 100)]);
}

#[test]
fn what_segments_come_to_shows_a_closed_one_as_it_was_paid() {
    let void = policy_of(EndedBy::Owner, Terms { void: true, ..Terms::default() });
    let events = [started_under(void), extended(1, 2, 1_000, 1_500), segment_closed(0, &[span(0, 100)])];
    let rental = crate::aggregate::replay::<Contract>(&events).rental().cloned().unwrap();
    let ended = Ended { by: EndedBy::Owner, at: at(1_200), offline: vec![] };
    let paid = Split { refund: 100, owner: 810, fee: 90 };
    assert_eq!(rental.splits(&ended), [paid, Split { refund: 500, owner: 0, fee: 0 }]);
}
