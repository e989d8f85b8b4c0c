use super::*;

fn quoted(quoted_at: i64) -> ContractCommand {
    ContractCommand::Terminate { by: EndedBy::Renter, quoted_at: Some(at(quoted_at)), offline: vec![] }
}

#[test]
fn a_rental_expires_at_its_end_and_not_a_second_before() {
    rented().when(expire(&[]), at(999)).then_refused(ContractRefusal::StillRunning { until: at(1_000) });
    rented()
        .when(expire(&[]), at(1_000))
        .then([expired(1_000, &[])])
        .when(expire(&[]), at(1_000))
        .then_already_done();
}

#[test]
fn a_late_scheduler_changes_neither_the_end_nor_the_money() {
    rented().when(expire(&[]), at(99_999)).then([expired(1_000, &[])]);
}

#[test]
fn an_extended_rental_expires_at_the_end_of_its_last_segment() {
    let long = twice_paid(Policy::default());
    long.when(expire(&[]), at(1_499)).then_refused(ContractRefusal::StillRunning { until: at(1_500) });
    long.when(expire(&[]), at(1_500)).then([expired(1_500, &[])]);
}

#[test]
fn a_rental_ends_early_once_whoever_asks_again() {
    let over = rented()
        .when(terminate(EndedBy::Renter), at(400))
        .then([terminated(EndedBy::Renter, 400, &[]), refund(0, 600)]);
    over.when(terminate(EndedBy::Renter), at(401)).then_already_done();
    over.when(terminate(EndedBy::Owner), at(9_999)).then_already_done();
    over.when(expire(&[]), at(9_999)).then_already_done();
}

#[test]
fn a_rental_that_served_its_term_cannot_be_ended_early() {
    rented().when(terminate(EndedBy::Renter), at(1_000)).then_refused(ContractRefusal::Over);
    given::<Contract>([started(), expired(TERM, &[])])
        .when(terminate(EndedBy::Renter), at(1_001))
        .then_refused(ContractRefusal::Over);
    rented().when(terminate(EndedBy::Term), at(1)).then_refused(ContractRefusal::Over);
}

#[test]
fn ending_at_the_first_second_returns_all_and_at_the_last_one_unit() {
    rented()
        .when(terminate(EndedBy::Renter), at(0))
        .then([terminated(EndedBy::Renter, 0, &[]), refund(0, 1_000)]);
    rented()
        .when(terminate(EndedBy::Renter), at(999))
        .then([terminated(EndedBy::Renter, 999, &[]), refund(0, 1)]);
}

#[test]
fn a_quote_stands_for_its_time_and_not_a_second_longer() {
    let at_quote = [terminated(EndedBy::Renter, 400, &[]), refund(0, 600)];
    rented().when(quoted(400), at(400)).then(at_quote.clone());
    rented().when(quoted(400), at(700)).then(at_quote);
    rented().when(quoted(400), at(701)).then_refused(ContractRefusal::QuoteExpired);
}

#[test]
fn a_quote_of_another_time_is_refused() {
    rented().when(quoted(401), at(400)).then_refused(ContractRefusal::QuoteExpired);
    rented().when(quoted(-1), at(100)).then_refused(ContractRefusal::QuoteExpired);
    rented().when(quoted(0), at(100)).then([terminated(EndedBy::Renter, 0, &[]), refund(0, 1_000)]);
}

#[test]
fn a_quote_does_not_outlive_the_paid_time() {
    rented().when(quoted(900), at(999)).then([terminated(EndedBy::Renter, 900, &[]), refund(0, 100)]);
    rented().when(quoted(900), at(1_000)).then_refused(ContractRefusal::Over);
}

#[test]
fn a_quote_from_before_an_extension_gives_all_of_the_extension_back() {
    twice_paid(Policy::default()).when(quoted(200), at(400)).then([
        terminated(EndedBy::Renter, 200, &[]),
        refund(0, 800),
        refund(1, 500),
    ]);
}

#[test]
fn a_policy_may_let_quotes_stand_no_longer_than_their_own_second() {
    let strict = given::<Contract>([started_under(Policy { quote_valid_s: 0, ..Policy::default() })]);
    strict.when(quoted(400), at(401)).then_refused(ContractRefusal::QuoteExpired);
    strict.when(quoted(400), at(400)).then([terminated(EndedBy::Renter, 400, &[]), refund(0, 600)]);
}

#[test]
fn an_end_counts_from_its_instant_however_late_it_is_written() {
    assert_eq!(Contract::effective_at(&expired(1_000, &[])), Some(at(1_000)));
    assert_eq!(Contract::effective_at(&terminated(EndedBy::Renter, 400, &[])), Some(at(400)));
    assert_eq!(Contract::effective_at(&lapsed(1, 300)), Some(at(300)));
    assert_eq!(Contract::effective_at(&started()), None);
}

#[test]
fn a_payout_waits_for_the_end_and_for_the_delay_of_the_policy() {
    let patient = Policy { payout_delay_s: 60, ..Policy::default() };
    let pay = ContractCommand::IssuePayout;
    let running = given::<Contract>([started_under(patient)]);
    running.when(pay.clone(), at(5_000)).then_refused(ContractRefusal::StillRunning { until: at(1_000) });
    let over = running.when(expire(&[]), at(5_000)).then([expired(1_000, &[])]);
    over.when(pay.clone(), at(1_059)).then_refused(ContractRefusal::PayoutNotDue { at: at(1_060) });
    over.when(pay.clone(), at(1_060)).then([paid_out(900, 100)]).when(pay, at(9_999)).then_already_done();
}
