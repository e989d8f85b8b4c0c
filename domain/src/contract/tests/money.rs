use super::*;

/// What comes back for each segment and is paid out when `given` is ended by `command` at `now`.
#[track_caller]
fn ends(
    given: &Given<Contract>,
    command: ContractCommand,
    now: i64,
    end: ContractEvent,
    refunds: &[i128],
    payout: (i128, i128),
) {
    let refunds = refunds.iter().zip(0..).filter(|(amount, _)| **amount > 0);
    let events = std::iter::once(end).chain(refunds.map(|(amount, i)| refund(i, *amount)));
    given
        .when(command, at(now))
        .then(events)
        .when(ContractCommand::IssuePayout, at(99_999))
        .then([paid_out(payout.0, payout.1)]);
}

pub(super) fn policy_of(by: EndedBy, terms: Terms) -> Policy {
    let mut policy = Policy::default();
    *match by {
        EndedBy::Term => &mut policy.term,
        EndedBy::Renter => &mut policy.renter,
        EndedBy::Owner => &mut policy.owner,
        EndedBy::Operator => &mut policy.operator,
        EndedBy::DeviceLost => &mut policy.device_lost,
    } = terms;
    policy
}

/// As `by` ends a rental of 1000 s and 500 s at 400 s under `terms`.
#[track_caller]
fn ended_by(by: EndedBy, terms: Terms, refunds: &[i128], payout: (i128, i128)) {
    let end = terminated(by, 400, &[]);
    ends(&twice_paid(policy_of(by, terms)), terminate(by), 400, end, refunds, payout);
}

pub(super) const EARLY: [EndedBy; 4] =
    [EndedBy::Renter, EndedBy::Owner, EndedBy::Operator, EndedBy::DeviceLost];

#[test]
fn unused_time_comes_back_for_each_segment_on_its_own() {
    for by in EARLY {
        ended_by(by, Terms { fee_bps: 1_000, ..Terms::default() }, &[600, 500], (360, 40));
    }
}

#[test]
fn a_rental_ended_in_its_extension_returns_only_the_rest_of_the_extension() {
    let end = terminated(EndedBy::Renter, 1_100, &[]);
    ends(&twice_paid(Policy::default()), terminate(EndedBy::Renter), 1_100, end, &[0, 400], (990, 110));
}

#[test]
fn the_operator_takes_no_fee_when_it_ends_the_rental_itself() {
    ended_by(EndedBy::Operator, Policy::default().operator, &[600, 500], (400, 0));
}

#[test]
fn a_void_policy_returns_everything() {
    for by in EARLY {
        ended_by(by, Terms { void: true, ..Terms::default() }, &[1_000, 500], (0, 0));
    }
}

#[test]
fn notice_is_paid_but_not_beyond_the_segment() {
    ended_by(EndedBy::Renter, Terms { notice_s: 100, ..Terms::default() }, &[500, 500], (500, 0));
    ended_by(EndedBy::Renter, Terms { notice_s: i64::MAX, ..Terms::default() }, &[0, 500], (1_000, 0));
}

#[test]
fn the_owner_keeps_a_share_of_the_unused_rest_when_the_policy_says_so() {
    ended_by(
        EndedBy::Renter,
        Terms { keep_bps: 1_000, fee_bps: 1_000, ..Terms::default() },
        &[540, 450],
        (459, 51),
    );
    ended_by(EndedBy::Renter, Terms { keep_bps: 10_000, ..Terms::default() }, &[0, 0], (1_500, 0));
}

#[test]
fn a_fee_is_taken_from_what_was_earned_and_never_from_a_refund() {
    ended_by(EndedBy::Renter, Terms { fee_bps: 10_000, ..Terms::default() }, &[600, 500], (0, 400));
}

#[test]
fn a_served_term_pays_the_owner_all_but_the_fee() {
    ends(&twice_paid(Policy::default()), expire(&[]), 1_500, expired(1_500, &[]), &[0, 0], (1_350, 150));
}

#[test]
fn an_outage_across_two_segments_is_credited_in_both() {
    let outage = [span(900, 1_100)];
    ends(
        &twice_paid(Policy::default()),
        expire(&outage),
        1_500,
        expired(1_500, &outage),
        &[100, 100],
        (1_170, 130),
    );
}

#[test]
fn outages_before_the_end_are_credited_and_unused_time_only_once() {
    let outages = [span(100, 200), span(350, 450)];
    let counted = [span(100, 200), span(350, 400)];
    let command =
        ContractCommand::Terminate { by: EndedBy::Renter, quoted_at: None, offline: outages.to_vec() };
    let end = terminated(EndedBy::Renter, 400, &counted);
    ends(&twice_paid(Policy::default()), command, 400, end, &[750, 500], (225, 25));
}

#[test]
fn outages_are_recorded_as_they_counted_merged_in_order_and_within_the_rental() {
    let outages = [
        span(300, 350),
        span(-50, 10),
        span(320, 400),
        span(400, 410),
        span(700, 600),
        span(990, 5_000),
        span(300, 350),
    ];
    let counted = [span(0, 10), span(300, 410), span(990, 1_000)];
    ends(&rented(), expire(&outages), 1_000, expired(1_000, &counted), &[130], (783, 87));
}

#[test]
fn a_rental_that_was_offline_all_the_time_returns_everything() {
    let all = [span(-10, 9_999)];
    ends(
        &twice_paid(Policy::default()),
        expire(&all),
        1_500,
        expired(1_500, &[span(0, 1_500)]),
        &[1_000, 500],
        (0, 0),
    );
}

#[test]
fn of_more_outages_than_an_event_can_hold_those_closest_together_become_one() {
    let ContractEvent::RentalStarted(first) = started() else { unreachable!() };
    let first = RentalStarted { segment: span(0, 10_000), paid: cents(10_000), ..first };
    let long: Contract = crate::aggregate::replay(&[first.into()]);
    let outages: Vec<_> = (0..10_000).step_by(19).map(|i| span(i, i + 1)).collect();
    let Ok(Decision::Events(events)) = long.decide(expire(&outages), at(10_000)) else {
        panic!("it must expire")
    };
    let [ContractEvent::RentalExpired(end), ContractEvent::RefundIssued(back)] = events.as_slice() else {
        panic!("an end and a refund, not {events:?}")
    };
    assert_eq!(end.offline.len(), crate::device::MAX_OUTAGES);
    assert!(events.iter().all(|e| crate::event::Events::payload(e).len() <= crate::event::MAX_PAYLOAD));
    let gained = 18 * (outages.len() - crate::device::MAX_OUTAGES);
    assert_eq!(back.amount.minor(), (outages.len() + gained) as i128);
}

#[test]
fn the_policy_of_the_day_the_rental_started_decides_and_no_later_one() {
    let generous = policy_of(EndedBy::Renter, Terms { void: true, ..Terms::default() });
    let old = given::<Contract>([started()]);
    old.when(start_with(1, cents(1_000), TERM, generous.clone()), at(50)).then_already_done();
    let end = terminated(EndedBy::Renter, 400, &[]);
    ends(&old, terminate(EndedBy::Renter), 400, end.clone(), &[600], (360, 40));
    ends(&given([started_under(generous)]), terminate(EndedBy::Renter), 400, end, &[1_000], (0, 0));
}

#[test]
fn a_quote_is_what_the_end_then_pays() {
    let rental = crate::aggregate::replay::<Contract>(&[started()]).rental().cloned().unwrap();
    let quote = Ended { by: EndedBy::Renter, at: at(400), offline: vec![span(0, 50)] };
    let refunds: Vec<_> = rental.refunds(contract(), &quote).into_iter().map(ContractEvent::from).collect();
    assert_eq!(refunds, [refund(0, 650)]);
    let command = ContractCommand::Terminate {
        by: EndedBy::Renter,
        quoted_at: Some(at(400)),
        offline: vec![span(0, 50), span(450, 500)],
    };
    let end = terminated(EndedBy::Renter, 400, &[span(0, 50)]);
    rented().when(command, at(500)).then(std::iter::once(end).chain(refunds));
}
