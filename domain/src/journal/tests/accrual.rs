use proptest::prelude::*;

use super::*;
use crate::{
    device::{DeviceLost, DeviceRecovered},
    prorate::Terms,
};

fn accrued() -> Account {
    Account::Accrued(OWNER, rental())
}

fn lost(last_seen: i64) -> DeviceLost {
    DeviceLost { epoch: 1, last_seen: at(last_seen), give_up_at: at(last_seen + 9_999) }
}

fn recovered(last_seen: i64, seen_at: i64) -> DeviceRecovered {
    DeviceRecovered { epoch: 1, last_seen: at(last_seen), seen_at: at(seen_at) }
}

/// Thirty days of 1000, each floored on its own, would be 990.
#[test]
fn thirty_days_accrued_day_by_day_add_up_to_all_that_was_paid() {
    let (day, month) = (Unit::Day.seconds(), Unit::Month.seconds());
    let mut ledger = Ledger::default();
    ledger.receive(1, 1_000);
    ledger.start(offer(Unit::Month, 1_000), month, 1_000, Policy::default());
    for n in 1..30 {
        let elapsed = i64::from(n);
        ledger.extend(n + 1, 60, elapsed * day);
        let earned = 1_000 * i128::from(elapsed) / 30;
        assert_eq!(ledger.balance(&Account::Segment(rental(), 0)), earned - 1_000, "day {n}");
        assert_eq!(ledger.balance(&Account::FeesAccrued(rental())), -(earned / 10), "day {n}");
    }
    ledger.contract(expire(&[]), month + 29 * 60);
    // Each of the 29 extensions was one cent, of which the fee is floored to nothing.
    assert_eq!(ledger.balance(&accrued()), -(900 + 29));
    assert_eq!(ledger.balance(&Account::FeesAccrued(rental())), -100);
}

#[test]
fn time_without_a_sign_of_life_is_not_accrued() {
    let mut ledger = Ledger::rented();
    ledger.device(lost(200));
    assert_eq!(ledger.extend(2, 500, 500)[1], "  Liabilities:Escrow:C-rental:S0 +200");
    ledger.device(recovered(200, 600));
    assert_eq!(ledger.extend(3, 500, 700)[1], "  Liabilities:Escrow:C-rental:S0 +100");
}

#[test]
fn an_outage_that_is_known_late_takes_back_what_was_accrued() {
    let mut ledger = Ledger::rented();
    ledger.extend(2, 500, 600);
    ledger.device(lost(100));
    ledger.device(recovered(100, 650));
    assert_eq!(
        ledger.extend(3, 500, 700),
        [
            "RentalExtended",
            "  Liabilities:Escrow:C-rental:S0 -450",
            "  Liabilities:Owner:A-owner:Accrued:C-rental +405",
            "  Liabilities:Fees:Accrued:C-rental +45",
            "  Liabilities:Escrow:Orders:Shop +500",
            "  Liabilities:Escrow:C-rental:S2 -500",
        ]
    );
}

#[test]
fn an_end_that_returns_everything_takes_back_all_that_was_accrued() {
    let owner = Terms { void: true, ..Terms::default() };
    let mut ledger = Ledger::rented_under(Policy { owner, ..Policy::default() });
    ledger.extend(2, 500, 600);
    assert_eq!(
        ledger.contract(terminate(EndedBy::Owner), 700)[..4],
        [
            "RentalTerminated",
            "  Liabilities:Escrow:C-rental:S0 -600",
            "  Liabilities:Owner:A-owner:Accrued:C-rental +540",
            "  Liabilities:Fees:Accrued:C-rental +60",
        ]
    );
}

#[test]
fn notice_is_posted_with_the_end_and_not_while_the_rental_runs() {
    let notice = Terms { notice_s: 100, ..Terms::default() };
    let mut ledger = Ledger::rented_under(Policy { term: notice, renter: notice, ..Policy::default() });
    assert_eq!(ledger.extend(2, 500, 300)[1], "  Liabilities:Escrow:C-rental:S0 +300");
    assert_eq!(ledger.contract(terminate(EndedBy::Renter), 400)[1], "  Liabilities:Escrow:C-rental:S0 +200");
}

#[test]
fn what_is_earned_by_now_can_be_seen_without_posting_it() {
    let mut ledger = Ledger::rented();
    let seen = |ledger: &Ledger, now| match ledger.books.open().next() {
        Some(Open::Contract(contract)) => (contract.runs(), lines(&contract.accrued_by(at(now)))),
        other => panic!("the rental is open, not {other:?}"),
    };
    let by_250 = [
        "  Liabilities:Escrow:C-rental:S0 +250",
        "  Liabilities:Owner:A-owner:Accrued:C-rental -225",
        "  Liabilities:Fees:Accrued:C-rental -25",
    ];
    assert_eq!(seen(&ledger, 250), (true, by_250.map(String::from).to_vec()));
    assert_eq!(seen(&ledger, 250), (true, by_250.map(String::from).to_vec()));
    assert_eq!(ledger.balance(&accrued()), 0);
    ledger.contract(expire(&[]), 1_000);
    assert_eq!(seen(&ledger, 1_000), (false, vec![]));
}

#[test]
fn what_is_open_reads_back_as_it_was_written() {
    let mut ledger = Ledger::rented();
    ledger.extend(2, 500, 600);
    ledger.device(lost(700));
    ledger.due(SettlementId::refund(rental(), 0), SettlementKind::Refund, RENTER, 1);
    let open: Vec<_> = ledger.books.open().cloned().collect();
    assert_eq!(open.len(), 2);
    let written = serde_json::to_string(&open).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Open>>(&written).unwrap(), open);
}

proptest! {
    #[test]
    fn any_schedule_of_accruals_adds_up_to_what_the_end_alone_gives(
        steps in prop::collection::vec((1i64..150, 0u8..4), 0..25),
        by in prop::sample::select(vec![EndedBy::Renter, EndedBy::Operator, EndedBy::DeviceLost]),
    ) {
        let mut ledger = Ledger::rented();
        let (mut now, mut since, mut offline) = (0, None, Vec::new());
        for (n, (wait, step)) in (2..).zip(steps) {
            now += wait;
            match (step, since) {
                (0, None) => {
                    since = Some(now - wait);
                    ledger.device(lost(now - wait));
                }
                (1, Some(last_seen)) => {
                    since = None;
                    offline.push(span(last_seen, now));
                    ledger.device(recovered(last_seen, now));
                }
                _ if ledger.contract.rental().unwrap().runs(at(now)) => {
                    ledger.extend(n, 300, now);
                }
                _ => {}
            }
        }
        now += 1;
        offline.extend(since.map(|last_seen| span(last_seen, now)));
        let runs = ledger.contract.rental().unwrap().runs(at(now));
        let early = ContractCommand::Terminate { by, quoted_at: None, offline: offline.clone() };
        ledger.contract(if runs { early } else { ContractCommand::Expire { offline } }, now);
        let rental = ledger.contract.rental().unwrap();
        let splits = rental.splits(rental.ended.as_ref().unwrap());
        prop_assert_eq!(-ledger.balance(&accrued()), splits.iter().map(|s| s.owner).sum::<i128>());
        let fees = -ledger.balance(&Account::FeesAccrued(super::rental()));
        prop_assert_eq!(fees, splits.iter().map(|s| s.fee).sum::<i128>());
        ledger.contract(ContractCommand::IssuePayout, now);
    }
}
