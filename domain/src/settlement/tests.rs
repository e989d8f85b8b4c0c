use uuid::Uuid;

use super::*;
use crate::{
    id::AccountId,
    money::Money,
    testing::{Given, given},
};

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
    let resolution = Resolution::NotMoved {};
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

fn failed() -> SettlementEvent {
    SettlementFailed { attempt: 1, reason: "no funds".into() }.into()
}

fn quarantined() -> SettlementEvent {
    SettlementQuarantined { attempt: 1, reason: "timeout".into() }.into()
}

fn withdrawn() -> SettlementEvent {
    SettlementWithdrawn { amount: due().amount }.into()
}

/// What is due, and then this.
fn after(events: impl IntoIterator<Item = SettlementEvent>) -> Given<Settlement> {
    given(std::iter::once(due().into()).chain(events))
}

#[test]
fn what_is_not_under_way_can_be_held_back_once() {
    let not_moved =
        SettlementResolved { attempt: 1, resolution: Resolution::NotMoved {}, note: "seen".into() };
    let still = [vec![], vec![started(1), failed()], vec![started(1), quarantined(), not_moved.into()]];
    for events in still {
        let held = after(events).when(SettlementCommand::Withdraw, NOW).then([withdrawn()]);
        held.when(SettlementCommand::Withdraw, NOW).then_already_done();
    }
}

#[test]
fn what_may_have_moved_cannot_be_held_back() {
    for (events, name) in [
        (vec![started(1)], "started"),
        (vec![started(1), settled(1)], "settled"),
        (vec![started(1), quarantined()], "quarantined"),
        (vec![started(1), failed(), started(2)], "started"),
    ] {
        after(events).when(SettlementCommand::Withdraw, NOW).then_refused(SettlementRefusal::NotNow(name));
    }
    given::<Settlement>([]).when(SettlementCommand::Withdraw, NOW).then_refused(SettlementRefusal::Unknown);
}

#[test]
fn what_is_held_back_never_moves_and_never_becomes_due_again() {
    let held = after([started(1), failed(), withdrawn()]);
    let never = || SettlementRefusal::NotNow("withdrawn");
    held.when(start(), NOW).then_refused(never());
    held.when(settle(1), NOW).then_refused(never());
    held.when(settle(2), NOW).then_refused(never());
    let reason = String::from("late");
    let late = [
        SettlementCommand::Fail { attempt: 1, reason: reason.clone() },
        SettlementCommand::Quarantine { attempt: 1, reason: reason.clone() },
        SettlementCommand::Resolve { resolution: Resolution::NotMoved {}, note: reason },
    ];
    for command in late {
        held.when(command, NOW).then_refused(never());
    }
    held.when(SettlementCommand::Due(due()), NOW).then_already_done();
    let more = SettlementDue { to: AccountId(Uuid::from_u128(9)), ..due() };
    held.when(SettlementCommand::Due(more), NOW).then_refused(SettlementRefusal::Different);
}
