use super::*;
use crate::contract::Weights;

fn dispute(ledger: &mut Ledger, segment: u32, now: i64) -> Vec<String> {
    ledger.contract(ContractCommand::OpenDispute { segment, evidence: None }, now)
}

fn decide(ledger: &mut Ledger, segment: u32, refund_held: bool, now: i64) -> Vec<String> {
    let (weights, moderator) = (Weights { renter: 5, owner: 4, moderator: 1 }, Some(MODERATOR));
    ledger.contract(ContractCommand::DecideDispute { segment, weights, moderator, refund_held }, now)
}

const REFUND: SettlementKind = SettlementKind::Refund;

fn refund() -> SettlementId {
    SettlementId::refund(rental(), 0)
}

/// Ended by its renter at 400 s, with 600 cents due to go back.
fn ended() -> Ledger {
    let mut ledger = Ledger::rented();
    ledger.contract(terminate(EndedBy::Renter), 400);
    ledger.due(refund(), REFUND, RENTER, 600);
    ledger
}

#[test]
fn a_dispute_takes_in_what_was_not_served_and_what_was_accrued() {
    let mut ledger = Ledger::rented();
    ledger.extend(2, 500, 300);
    assert_eq!(
        dispute(&mut ledger, 0, 350),
        [
            "DisputeOpened",
            "  Liabilities:Escrow:C-rental:S0 +700",
            "  Liabilities:Owner:A-owner:Accrued:C-rental +270",
            "  Liabilities:Fees:Accrued:C-rental +30",
            "  Liabilities:Disputed:C-rental -1000",
        ]
    );
}

#[test]
fn time_served_in_a_disputed_segment_is_nobodys_yet() {
    let mut ledger = Ledger::rented();
    dispute(&mut ledger, 0, 100);
    assert_eq!(
        ledger.extend(2, 500, 300),
        ["RentalExtended", "  Liabilities:Escrow:Orders:Shop +500", "  Liabilities:Escrow:C-rental:S1 -500"]
    );
    assert_eq!(
        ledger.contract(terminate(EndedBy::Renter), 400)[1..],
        [
            "RefundIssued",
            "  Liabilities:Escrow:C-rental:S1 +500",
            "  Liabilities:Renter:A-renter:RefundDue -500",
        ]
    );
}

#[test]
fn a_decision_divides_what_is_disputed_and_the_payout_holds_the_owners_part() {
    let mut ledger = Ledger::rented();
    dispute(&mut ledger, 0, 100);
    assert_eq!(
        decide(&mut ledger, 0, true, 200),
        [
            "DisputeDecided",
            "  Liabilities:Disputed:C-rental +400",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -360",
            "  Liabilities:Fees:Accrued:C-rental -40",
            "RefundIssued",
            "  Liabilities:Disputed:C-rental +500",
            "  Liabilities:Renter:A-renter:RefundDue -500",
            "ModerationIssued",
            "  Liabilities:Disputed:C-rental +100",
            "  Liabilities:Moderator:A-moderator:Payable -100",
        ]
    );
    assert_eq!(ledger.contract(terminate(EndedBy::Renter), 400), ["RentalTerminated"]);
    assert_eq!(
        ledger.contract(ContractCommand::IssuePayout, 400)[3..],
        ["  Liabilities:Owner:A-owner:Payable -360", "  Income:Fees:Shop -40"]
    );
}

#[test]
fn a_refund_that_is_held_back_is_disputed_with_the_rest() {
    let mut ledger = ended();
    assert_eq!(
        dispute(&mut ledger, 0, 500),
        [
            "DisputeOpened",
            "  Liabilities:Owner:A-owner:Accrued:C-rental +360",
            "  Liabilities:Fees:Accrued:C-rental +40",
            "  Liabilities:Disputed:C-rental -400",
        ]
    );
    assert_eq!(
        ledger.settlement(refund(), SettlementCommand::Withdraw),
        [
            "SettlementWithdrawn",
            "  Liabilities:Renter:A-renter:RefundDue +600",
            "  Liabilities:Disputed:C-rental -600",
        ]
    );
    decide(&mut ledger, 0, true, 600);
    assert_eq!(ledger.balance(&Account::Disputed(rental())), 0);
    assert_eq!(ledger.balance(&Account::Claim(REFUND, RENTER, Stage::Due)), -500);
    ledger.contract(ContractCommand::IssuePayout, 600);
}

#[test]
fn a_refund_that_is_on_its_way_is_not_disputed() {
    let mut ledger = ended();
    ledger.settlement(refund(), SettlementCommand::Start { method: "manual".into() });
    dispute(&mut ledger, 0, 500);
    decide(&mut ledger, 0, false, 600);
    assert_eq!(ledger.balance(&Account::Disputed(rental())), 0);
    assert_eq!(ledger.balance(&Account::Claim(REFUND, RENTER, Stage::InFlight)), -600);
    assert_eq!(ledger.balance(&Account::Claim(REFUND, RENTER, Stage::Due)), -200);
    ledger.contract(ContractCommand::IssuePayout, 600);
}

#[test]
fn a_decision_about_nothing_posts_nothing() {
    let mut ledger = Ledger::rented();
    ledger.contract(terminate(EndedBy::Renter), 0);
    assert_eq!(dispute(&mut ledger, 0, 500), ["DisputeOpened"]);
    assert_eq!(decide(&mut ledger, 0, false, 600), ["DisputeDecided"]);
    assert_eq!(ledger.contract(ContractCommand::IssuePayout, 600), ["PayoutIssued"]);
    assert_eq!(ledger.books.open().count(), 0);
}

#[test]
fn the_fee_of_a_decision_is_that_of_the_end_that_came_before_it() {
    let mut ledger = Ledger::rented();
    ledger.contract(terminate(EndedBy::Operator), 0);
    ledger.due(refund(), REFUND, RENTER, 1_000);
    dispute(&mut ledger, 0, 500);
    ledger.settlement(refund(), SettlementCommand::Withdraw);
    assert_eq!(
        decide(&mut ledger, 0, true, 600)[..3],
        [
            "DisputeDecided",
            "  Liabilities:Disputed:C-rental +400",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -400",
        ]
    );
    ledger.contract(ContractCommand::IssuePayout, 600);
}
