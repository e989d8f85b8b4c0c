use uuid::Uuid;

use super::*;
use crate::{event::Events, id::ContractId, testing::given};

const NOW: Time = Time::from_unix(0);
const OWNER: AccountId = AccountId(Uuid::from_u128(1));

fn usd(minor: i128) -> Money {
    Money::from_minor(minor, "USD".parse().unwrap()).unwrap()
}

fn payout(n: u128, minor: i128) -> PayoutHeld {
    let (payout, contract) = (SettlementId(Uuid::from_u128(n)), ContractId(Uuid::from_u128(n)));
    PayoutHeld { payout, contract, order: "ob-1".parse().unwrap(), amount: usd(minor) }
}

fn hold(n: u128, minor: i128) -> PurseCommand {
    PurseCommand::Hold { owner: OWNER, payout: payout(n, minor), minimum: usd(500) }
}

fn released(parts: &[u128], minor: i128) -> PurseEvent {
    let payouts: Vec<_> = parts.iter().map(|n| SettlementId(Uuid::from_u128(*n))).collect();
    let (settlement, order) = (SettlementId::release(payouts[0]), "ob-1".parse().unwrap());
    PayoutsReleased { settlement, order, owner: OWNER, amount: usd(minor), payouts }.into()
}

#[test]
fn small_payouts_wait_until_together_they_reach_the_minimum() {
    given::<Purse>([])
        .when(hold(1, 300), NOW)
        .then([payout(1, 300).into()])
        .when(hold(2, 200), NOW)
        .then([payout(2, 200).into(), released(&[1, 2], 500)])
        .when(hold(3, 499), NOW)
        .then([payout(3, 499).into()]);
}

#[test]
fn a_payout_is_taken_once_even_after_it_was_released() {
    let full = given::<Purse>([payout(1, 600).into(), released(&[1], 600)]);
    full.when(hold(1, 600), NOW).then_already_done();
    full.when(PurseCommand::Release { owner: OWNER }, NOW).then_already_done();
}

#[test]
fn whoever_asks_gets_what_waits_however_little() {
    given::<Purse>([payout(1, 1).into(), payout(2, 2).into()])
        .when(PurseCommand::Release { owner: OWNER }, NOW)
        .then([released(&[1, 2], 3)]);
}

#[test]
fn a_full_purse_is_released_and_the_event_fits_into_the_log() {
    let mut purse = Purse::default();
    for n in 1..MAX_HELD as u128 {
        purse.apply(&payout(n, 0).into());
    }
    let Ok(Decision::Events(events)) = purse.decide(hold(9_999, 1), NOW) else { panic!("it takes one more") };
    assert_eq!(events.len(), 2);
    assert!(events[1].payload().len() < crate::event::MAX_PAYLOAD);
}

#[test]
fn a_purse_is_found_again_by_its_name_and_takes_one_asset_only() {
    let id = PurseId { owner: OWNER, marketplace: "ob".parse().unwrap(), asset: "USD".parse().unwrap() };
    assert_eq!(id.to_string().parse(), Ok(id));
    assert!("x-ob-USD".parse::<PurseId>().is_err());
    let euro = Money::from_minor(1, "EUR".parse().unwrap()).unwrap();
    let mixed = PurseCommand::Hold {
        owner: OWNER,
        payout: PayoutHeld { amount: euro, ..payout(1, 0) },
        minimum: usd(5),
    };
    given::<Purse>([]).when(mixed, NOW).then_refused(PurseRefusal::Amount);
}
