use super::*;
use crate::settlement::{Movement, Resolution};

const PAYOUT: SettlementKind = SettlementKind::Payout;

fn id() -> SettlementId {
    SettlementId::payout(rental())
}

fn start() -> SettlementCommand {
    SettlementCommand::Start { method: "manual".into() }
}

fn movement(moved: i128, network_fee: Option<Money>) -> Movement {
    Movement { reference: "tx".into(), moved: cents(moved), network_fee }
}

fn settle(moved: i128, network_fee: Option<Money>) -> SettlementCommand {
    SettlementCommand::Settle { attempt: 1, movement: movement(moved, network_fee) }
}

fn quarantine() -> SettlementCommand {
    SettlementCommand::Quarantine { attempt: 1, reason: "timeout".into() }
}

fn resolve(resolution: Resolution) -> SettlementCommand {
    SettlementCommand::Resolve { resolution, note: "looked".into() }
}

/// 900 cents are due to the owner of a rental that is over.
fn payable() -> Ledger {
    let mut ledger = Ledger::rented();
    ledger.contract(expire(&[]), 1_000);
    ledger.contract(ContractCommand::IssuePayout, 1_000);
    ledger.due(id(), PAYOUT, OWNER, 900);
    ledger
}

/// As [`payable`], and on its way.
fn in_flight() -> Ledger {
    let mut ledger = payable();
    assert_eq!(
        ledger.settlement(id(), start()),
        [
            "SettlementStarted",
            "  Liabilities:Owner:A-owner:Payable +900",
            "  Liabilities:Owner:A-owner:InFlight -900",
        ]
    );
    ledger
}

fn balance_at(ledger: &Ledger, stage: Stage) -> i128 {
    ledger.balance(&Account::Claim(PAYOUT, OWNER, stage))
}

#[test]
fn what_moved_leaves_escrow_and_the_settlement_is_no_longer_open() {
    let mut ledger = in_flight();
    assert_eq!(
        ledger.settlement(id(), settle(900, None)),
        ["SettlementSettled", "  Liabilities:Owner:A-owner:InFlight +900", "  Assets:Escrow:Cash:Shop -900"]
    );
    assert_eq!(ledger.balance(&Account::EscrowCash(shop())), 100);
    assert_eq!(ledger.books.open().count(), 0);
}

#[test]
fn less_than_was_due_leaves_the_rest_owed() {
    assert_eq!(
        in_flight().settlement(id(), settle(880, None)),
        [
            "SettlementSettled",
            "  Liabilities:Owner:A-owner:InFlight +900",
            "  Assets:Escrow:Cash:Shop -880",
            "  Liabilities:Owner:A-owner:Payable -20",
        ]
    );
}

#[test]
fn more_than_was_due_and_the_networks_fee_are_the_operators_expense() {
    let mut ledger = in_flight();
    assert_eq!(
        ledger.settlement(id(), settle(907, Some(cents(3)))),
        [
            "SettlementSettled",
            "  Liabilities:Owner:A-owner:InFlight +900",
            "  Assets:Escrow:Cash:Shop -900",
            "  Expenses:Overpaid:Shop +7",
            "  Assets:Platform:Cash:Shop -7",
            "  Expenses:Network:Shop +3",
            "  Assets:Platform:Cash:Shop -3",
        ]
    );
    ledger.sweep(90, 90);
    assert_eq!(ledger.balance(&Account::PlatformCash(shop())), 80);
    assert_eq!(ledger.balance(&Account::EscrowCash(shop())), 10);
}

#[test]
fn a_networks_fee_in_another_asset_touches_no_escrow() {
    let satoshi = Money::from_minor(250, "BCH".parse().unwrap()).unwrap();
    let mut ledger = in_flight();
    assert_eq!(
        ledger.settlement(id(), settle(900, Some(satoshi)))[3..],
        ["  Expenses:Network:Shop +250 BCH", "  Assets:Platform:Cash:Shop -250 BCH"]
    );
    assert_eq!(ledger.books.balance(&Account::EscrowCash(shop()), satoshi.asset()), 0);
}

#[test]
fn what_failed_is_due_again() {
    let mut ledger = in_flight();
    assert_eq!(
        ledger.settlement(id(), SettlementCommand::Fail { attempt: 1, reason: "no funds".into() }),
        [
            "SettlementFailed",
            "  Liabilities:Owner:A-owner:InFlight +900",
            "  Liabilities:Owner:A-owner:Payable -900",
        ]
    );
    ledger.settlement(id(), start());
    assert_eq!(balance_at(&ledger, Stage::InFlight), -900);
}

#[test]
fn what_nobody_knows_about_is_kept_apart_until_somebody_found_that_it_had_not_moved() {
    let mut ledger = in_flight();
    assert_eq!(
        ledger.settlement(id(), quarantine()),
        [
            "SettlementQuarantined",
            "  Liabilities:Owner:A-owner:InFlight +900",
            "  Liabilities:Owner:A-owner:Quarantined -900",
        ]
    );
    assert_eq!(
        ledger.settlement(id(), resolve(Resolution::NotMoved {})),
        [
            "SettlementResolved",
            "  Liabilities:Owner:A-owner:Quarantined +900",
            "  Liabilities:Owner:A-owner:Payable -900",
        ]
    );
    ledger.settlement(id(), start());
    assert_eq!(balance_at(&ledger, Stage::InFlight), -900);
}

#[test]
fn what_had_moved_after_all_leaves_escrow_as_it_moved() {
    let mut ledger = in_flight();
    ledger.settlement(id(), quarantine());
    assert_eq!(
        ledger.settlement(id(), resolve(Resolution::Moved { movement: movement(880, Some(cents(3))) })),
        [
            "SettlementResolved",
            "  Liabilities:Owner:A-owner:Quarantined +900",
            "  Assets:Escrow:Cash:Shop -880",
            "  Liabilities:Owner:A-owner:Payable -20",
            "  Expenses:Network:Shop +3",
            "  Assets:Platform:Cash:Shop -3",
        ]
    );
    assert_eq!(ledger.books.open().count(), 0);
}

#[test]
fn the_rest_of_a_settlement_is_settled_like_any_other() {
    let mut ledger = in_flight();
    ledger.settlement(id(), settle(880, None));
    let rest = SettlementId::rest_of(id());
    ledger.due(rest, PAYOUT, OWNER, 20);
    ledger.settlement(rest, start());
    ledger.settlement(rest, settle(20, None));
    assert_eq!(balance_at(&ledger, Stage::Due), 0);
    assert_eq!(ledger.balance(&Account::EscrowCash(shop())), 100);
}

#[test]
fn a_refund_and_a_moderators_share_pass_through_their_own_accounts() {
    let names = [
        (SettlementKind::Refund, RENTER, "Renter:A-renter"),
        (SettlementKind::Moderation, MODERATOR, "Moderator:A-moderator"),
    ];
    for (kind, to, whose) in names {
        let mut ledger = Ledger::rented();
        let share = SettlementId::moderation(rental(), 0);
        ledger.due(share, kind, to, 5);
        let stream = StreamName::new("settlement", &share);
        let started = crate::settlement::SettlementStarted { attempt: 1, method: "manual".into() };
        let (entry, _) = ledger.forge(AnyEvent::Settlement(started.into()), &stream, share.0);
        assert_eq!(entry[1], format!("  Liabilities:{whose}:InFlight -5"));
    }
}
