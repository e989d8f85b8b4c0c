use uuid::Uuid;

use super::*;
use crate::{id::AccountId, money::Money, testing::given};

const NOW: Time = Time::from_unix(0);

fn due() -> SettlementDue {
    SettlementDue {
        kind: SettlementKind::Refund,
        order: "ob-1".parse().unwrap(),
        contract: None,
        to: AccountId(Uuid::from_u128(1)),
        amount: Money::parse("5", "USD".parse().unwrap()).unwrap(),
    }
}

fn start() -> SettlementCommand {
    SettlementCommand::Start { method: "manual".into() }
}

fn started(attempt: u32) -> SettlementEvent {
    SettlementStarted { attempt, method: "manual".into() }.into()
}

fn movement(asset: &str) -> Movement {
    let moved = Money::parse("5", asset.parse().unwrap()).unwrap();
    Movement { reference: "tx1".into(), moved, network_fee: None }
}

fn settle(attempt: u32) -> SettlementCommand {
    SettlementCommand::Settle { attempt, movement: movement("USD") }
}

fn settled(attempt: u32) -> SettlementEvent {
    SettlementSettled { attempt, movement: movement("USD") }.into()
}

#[test]
fn a_settlement_under_way_cannot_be_started_again() {
    given::<Settlement>([due().into()])
        .when(start(), NOW)
        .then([started(1)])
        .when(start(), NOW)
        .then_refused(SettlementRefusal::UnderWay(1));
}

#[test]
fn a_settled_settlement_never_moves_money_again() {
    let done = given::<Settlement>([due().into(), started(1)]).when(settle(1), NOW).then([settled(1)]);
    done.when(settle(1), NOW).then_already_done();
    done.when(start(), NOW).then_refused(SettlementRefusal::NotNow("settled"));
    done.when(SettlementCommand::Due(due()), NOW).then_already_done();
}

#[test]
fn a_failed_attempt_may_be_followed_by_another_and_a_late_report_on_the_first_is_refused() {
    let failed = SettlementFailed { attempt: 1, reason: "no funds".into() };
    given::<Settlement>([due().into(), started(1), failed.into()])
        .when(start(), NOW)
        .then([started(2)])
        .when(settle(1), NOW)
        .then_refused(SettlementRefusal::WrongAttempt(2));
}

#[test]
fn only_an_operator_moves_a_quarantined_settlement_on() {
    let unknown = SettlementQuarantined { attempt: 1, reason: "timeout".into() };
    let stuck = given::<Settlement>([due().into(), started(1), unknown.into()]);
    stuck.when(start(), NOW).then_refused(SettlementRefusal::NotNow("quarantined"));
    stuck.when(settle(1), NOW).then_refused(SettlementRefusal::NotNow("quarantined"));
    let resolution = Resolution::NotMoved;
    let note = "not in the wallet's history".to_string();
    stuck
        .when(SettlementCommand::Resolve { resolution: resolution.clone(), note: note.clone() }, NOW)
        .then([SettlementResolved { attempt: 1, resolution, note }.into()])
        .when(start(), NOW)
        .then([started(2)]);
}

#[test]
fn money_in_another_asset_cannot_settle() {
    given::<Settlement>([due().into(), started(1)])
        .when(SettlementCommand::Settle { attempt: 1, movement: movement("EUR") }, NOW)
        .then_refused(SettlementRefusal::WrongAsset);
}

#[test]
fn what_is_due_cannot_change_and_what_is_not_due_cannot_start() {
    let other = SettlementDue { to: AccountId(Uuid::from_u128(9)), ..due() };
    given::<Settlement>([due().into()])
        .when(SettlementCommand::Due(other), NOW)
        .then_refused(SettlementRefusal::Different);
    given::<Settlement>([]).when(start(), NOW).then_refused(SettlementRefusal::Unknown);
}
