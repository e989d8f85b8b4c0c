use super::{money::policy_of, *};
use crate::key::Digest;

const MODERATOR: AccountId = AccountId(Uuid::from_u128(3));
const PAY: ContractCommand = ContractCommand::IssuePayout;

fn decide_for(segment: u32, weights: Weights, refund_held: bool) -> ContractCommand {
    ContractCommand::DecideDispute { segment, weights, moderator: Some(MODERATOR), refund_held }
}

fn decide(segment: u32, weights: Weights) -> ContractCommand {
    decide_for(segment, weights, true)
}

fn back(segment: u32, amount: i128) -> ContractEvent {
    let settlement = SettlementId::dispute_refund(contract(), segment as usize);
    let (order, amount) = (order(segment + 1), cents(amount));
    RefundIssued { settlement, segment, order, renter: RENTER, amount }.into()
}

fn moderated(segment: u32, amount: i128) -> ContractEvent {
    let settlement = SettlementId::moderation(contract(), segment as usize);
    let (order, amount) = (order(segment + 1), cents(amount));
    ModerationIssued { settlement, segment, order, moderator: MODERATOR, amount }.into()
}

/// A rental of one segment that paid this and is disputed.
fn disputed_paying(paid: i128) -> Given<Contract> {
    let ContractEvent::RentalStarted(first) = started() else { unreachable!() };
    given([RentalStarted { paid: cents(paid), ..first }.into(), disputed(0)])
}

/// Ended by its renter at 400 s with 600 cents to go back, then disputed.
fn disputed_late() -> Given<Contract> {
    given([started(), terminated(EndedBy::Renter, 400, &[]), refund(0, 600), disputed(0)])
}

#[test]
fn a_segment_is_disputed_once_before_or_after_the_end() {
    let before = rented().when(dispute(0), at(1)).then([disputed(0)]);
    before.when(dispute(0), at(2)).then_already_done();
    let evidence = Some(Digest::of(b"a photo"));
    let shown = DisputeOpened { segment: 0, order: order(1), evidence };
    let after = given::<Contract>([started(), expired(TERM, &[])])
        .when(ContractCommand::OpenDispute { segment: 0, evidence }, at(9_999))
        .then([shown.into()]);
    after.when(dispute(0), at(9_999)).then_already_done();
    let other = ContractCommand::OpenDispute { segment: 0, evidence: Some(Digest::of(b"another photo")) };
    after.when(other.clone(), at(9_999)).then_refused(ContractRefusal::Disputed(0));
    before.when(other, at(9_999)).then_refused(ContractRefusal::Disputed(0));
}

#[test]
fn what_does_not_exist_cannot_be_disputed() {
    given::<Contract>([]).when(dispute(0), at(1)).then_refused(ContractRefusal::Unknown);
    for segment in [1, u32::MAX] {
        rented().when(dispute(segment), at(1)).then_refused(ContractRefusal::SegmentUnknown(segment));
        let command = decide(segment, weights(1, 1, 0));
        rented().when(command, at(1)).then_refused(ContractRefusal::SegmentUnknown(segment));
    }
}

#[test]
fn what_was_paid_out_or_decided_cannot_be_disputed() {
    let gone = ContractRefusal::SegmentDecided(0);
    given::<Contract>([started(), expired(TERM, &[]), paid_out(900, 100)])
        .when(dispute(0), at(2_000))
        .then_refused(gone.clone());
    let closed = [started_under(by_segments()), extended(1, 2, 1_000, 1_500), segment_closed(0, &[])];
    let closed = given::<Contract>(closed);
    closed.when(dispute(0), at(1_100)).then_refused(gone.clone());
    closed.when(dispute(1), at(1_100)).then([disputed(1)]);
    given::<Contract>([started(), disputed(0), decided(0, 1_000, weights(1, 0, 0))])
        .when(dispute(0), at(1))
        .then_refused(gone);
}

#[test]
fn an_end_refunds_what_is_not_disputed_and_the_payout_waits_for_the_decision() {
    let over = given::<Contract>([started(), extended(1, 2, 1_000, 1_500), disputed(0)])
        .when(terminate(EndedBy::Renter), at(400))
        .then([terminated(EndedBy::Renter, 400, &[]), refund(1, 500)]);
    over.when(PAY, at(9_999)).then_refused(ContractRefusal::Disputed(0));
    over.when(decide(0, weights(3, 1, 0)), at(9_999))
        .then([decided(0, 1_000, weights(3, 1, 0)), back(0, 750)])
        .when(PAY, at(9_999))
        .then([paid_out(225, 25)]);
}

#[test]
fn one_payout_holds_the_decided_segments_and_those_that_nobody_disputed() {
    twice_paid(Policy::default())
        .when(dispute(1), at(1))
        .then([disputed(1)])
        .when(decide(1, weights(1, 1, 0)), at(2))
        .then([decided(1, 500, weights(1, 1, 0)), back(1, 250)])
        .when(expire(&[]), at(1_500))
        .then([expired(1_500, &[])])
        .when(PAY, at(1_500))
        .then([paid_out(900 + 225, 100 + 25)]);
}

#[test]
fn the_odd_units_of_a_decision_go_to_the_largest_remainders() {
    let thirds = weights(1, 1, 1);
    disputed_paying(100).when(decide(0, thirds), at(1)).then([
        decided(0, 100, thirds),
        back(0, 34),
        moderated(0, 33),
    ]);
    let published = weights(6_667, 3_333, 0);
    disputed_paying(134_698)
        .when(decide(0, published), at(1))
        .then([decided(0, 134_698, published), back(0, 89_803)])
        .when(expire(&[]), at(1_000))
        .then([expired(1_000, &[])])
        .when(PAY, at(1_000))
        .then([paid_out(40_406, 4_489)]);
}

#[test]
fn the_fee_is_floored_out_of_the_owners_part_alone() {
    let by = weights(81, 19, 0);
    disputed_paying(100)
        .when(decide(0, by), at(1))
        .then([decided(0, 100, by), back(0, 81)])
        .when(expire(&[]), at(1_000))
        .then([expired(1_000, &[])])
        .when(PAY, at(1_000))
        .then([paid_out(18, 1)]);
}

#[test]
fn a_decision_after_the_end_takes_the_fee_of_that_end_and_one_before_it_that_of_a_served_term() {
    let all = weights(0, 1, 0);
    let free = terminated(EndedBy::Operator, 400, &[]);
    given::<Contract>([started(), disputed(0), free.clone()])
        .when(decide(0, all), at(401))
        .then([decided(0, 1_000, all)])
        .when(PAY, at(401))
        .then([paid_out(1_000, 0)]);
    given::<Contract>([started(), disputed(0), decided(0, 1_000, all), free])
        .when(PAY, at(401))
        .then([paid_out(900, 100)]);
}

#[test]
fn weights_must_divide_something_and_a_moderator_needs_an_account() {
    let waiting = disputed_paying(100);
    waiting.when(decide(0, weights(0, 0, 0)), at(1)).then_refused(ContractRefusal::WeightsInvalid);
    let nobody = |weights| {
        let refund_held = true;
        ContractCommand::DecideDispute { segment: 0, weights, moderator: None, refund_held }
    };
    waiting.when(nobody(weights(1, 1, 1)), at(1)).then_refused(ContractRefusal::WeightsInvalid);
    waiting.when(nobody(weights(1, 1, 0)), at(1)).then([decided(0, 100, weights(1, 1, 0)), back(0, 50)]);
}

#[test]
fn nothing_is_issued_to_whom_a_decision_gives_nothing() {
    disputed_paying(100).when(decide(0, weights(0, 5, 0)), at(1)).then([decided(0, 100, weights(0, 5, 0))]);
    let rounded_away = weights(1_000, 1_000, 1);
    disputed_paying(100)
        .when(decide(0, rounded_away), at(1))
        .then([decided(0, 100, rounded_away), back(0, 50)]);
    disputed_paying(100)
        .when(decide(0, weights(0, 0, 1)), at(1))
        .then([decided(0, 100, weights(0, 0, 1)), moderated(0, 100)]);
}

#[test]
fn the_largest_weights_there_are_still_divide_exactly() {
    let most = weights(u32::MAX, u32::MAX, u32::MAX);
    let (paid, third) = (crate::money::MAX_MINOR, crate::money::MAX_MINOR / 3);
    disputed_paying(paid).when(decide(0, most), at(1)).then([
        decided(0, paid, most),
        back(0, third + 1),
        moderated(0, third),
    ]);
}

#[test]
fn a_refund_that_is_held_is_divided_and_one_that_left_is_not() {
    let half = weights(1, 1, 0);
    disputed_late()
        .when(decide_for(0, half, true), at(500))
        .then([decided(0, 1_000, half), back(0, 500)])
        .when(PAY, at(500))
        .then([paid_out(450, 50)]);
    disputed_late()
        .when(decide_for(0, half, false), at(500))
        .then([decided(0, 400, half), back(0, 200)])
        .when(PAY, at(500))
        .then([paid_out(180, 20)]);
}

#[test]
fn a_dispute_opened_before_the_end_is_about_all_that_was_paid() {
    given::<Contract>([started(), disputed(0), terminated(EndedBy::Renter, 400, &[])])
        .when(decide_for(0, weights(1, 0, 0), false), at(500))
        .then([decided(0, 1_000, weights(1, 0, 0)), back(0, 1_000)]);
}

#[test]
fn a_dispute_about_what_went_back_as_a_whole_divides_nothing_and_frees_the_payout() {
    let void = policy_of(EndedBy::Owner, Terms { void: true, ..Terms::default() });
    let returned = [started_under(void), terminated(EndedBy::Owner, 400, &[]), refund(0, 1_000), disputed(0)];
    let returned = given::<Contract>(returned);
    let command = |held| decide_for(0, weights(0, 1, 0), held);
    returned
        .when(command(false), at(500))
        .then([decided(0, 0, weights(0, 1, 0))])
        .when(PAY, at(500))
        .then([paid_out(0, 0)]);
    returned.when(command(true), at(500)).then([decided(0, 1_000, weights(0, 1, 0))]);
}

#[test]
fn a_dispute_is_decided_once_and_another_decision_is_refused() {
    let done = disputed_paying(100)
        .when(decide(0, weights(1, 0, 0)), at(1))
        .then([decided(0, 100, weights(1, 0, 0)), back(0, 100)]);
    done.when(decide(0, weights(1, 0, 0)), at(1)).then_already_done();
    done.when(decide_for(0, weights(1, 0, 0), false), at(9_999)).then_already_done();
    done.when(decide(0, weights(0, 1, 0)), at(9_999)).then_refused(ContractRefusal::SegmentDecided(0));
}

#[test]
fn only_what_is_disputed_can_be_decided() {
    let command = decide(0, weights(1, 1, 0));
    rented().when(command.clone(), at(1)).then_refused(ContractRefusal::NotDisputed(0));
    given::<Contract>([started_under(by_segments()), extended(1, 2, 1_000, 1_500), segment_closed(0, &[])])
        .when(command.clone(), at(1_000))
        .then_refused(ContractRefusal::NotDisputed(0));
    given::<Contract>([]).when(command, at(1)).then_refused(ContractRefusal::Unknown);
}

#[test]
fn no_end_refunds_a_decided_segment_again() {
    let by = weights(1, 4, 0);
    let decided =
        || given::<Contract>([started(), extended(1, 2, 1_000, 1_500), disputed(0), decided(0, 1_000, by)]);
    decided()
        .when(terminate(EndedBy::Renter), at(400))
        .then([terminated(EndedBy::Renter, 400, &[]), refund(1, 500)])
        .when(PAY, at(400))
        .then([paid_out(720, 80)]);
    let offline = [span(0, 1_500)];
    decided()
        .when(expire(&offline), at(1_500))
        .then([expired(1_500, &offline), refund(1, 500)])
        .when(PAY, at(1_500))
        .then([paid_out(720, 80)]);
}

#[test]
fn a_disputed_rental_is_extended_like_any_other_and_its_extension_is_not_disputed() {
    given::<Contract>([started(), disputed(0)])
        .when(request(1, 500), at(1))
        .then([requested(1, 301)])
        .when(extend(1, 2, 500), at(2))
        .then([extended(1, 2, 1_000, 1_500)])
        .when(terminate(EndedBy::Renter), at(1_100))
        .then([terminated(EndedBy::Renter, 1_100, &[]), refund(1, 400)]);
}

#[test]
fn the_payout_names_the_first_segment_that_waits() {
    let both = [started(), extended(1, 2, 1_000, 1_500), disputed(1), disputed(0), expired(1_500, &[])];
    given::<Contract>(both).when(PAY, at(1_500)).then_refused(ContractRefusal::Disputed(0));
}

#[test]
fn what_segments_come_to_counts_a_refund_that_had_left_and_nothing_of_what_is_disputed() {
    let end = [extended(1, 2, 1_000, 1_500), terminated(EndedBy::Renter, 400, &[]), refund(0, 600)];
    let verdicts = [disputed(0), disputed(1), decided(0, 400, weights(1, 1, 0))];
    let events: Vec<_> = [started()].into_iter().chain(end).chain(verdicts).collect();
    let rental = crate::aggregate::replay::<Contract>(&events).rental().cloned().unwrap();
    let ended = rental.ended.clone().unwrap();
    assert_eq!(rental.splits(&ended), [Split { refund: 800, owner: 180, fee: 20 }, Split::default()]);
}
