use super::*;
use crate::{
    contract::{PayoutIssued, RefundIssued},
    settlement::SettlementStarted,
    treasury::FeesSwept,
};

fn forge(ledger: &mut Ledger, event: impl Into<ContractEvent>) -> Vec<Fault> {
    let stream = Contract::stream(&rental());
    ledger.forge(AnyEvent::Contract(event.into()), &stream, rental().0).1
}

fn refund(amount: i128) -> RefundIssued {
    let (settlement, order, renter) = (SettlementId::refund(rental(), 0), order(1), RENTER);
    RefundIssued { settlement, segment: 0, order, renter, amount: cents(amount) }
}

fn payout(amount: i128, fee: i128) -> PayoutIssued {
    let (settlement, order, owner) = (SettlementId::payout(rental()), order(1), OWNER);
    PayoutIssued { settlement, order, owner, amount: cents(amount), fee: cents(fee) }
}

fn overdrawn(account: Account, minor: i128) -> Fault {
    Fault::Overdrawn { account, asset: usd(), minor }
}

fn not_empty(account: Account, minor: i128) -> Fault {
    Fault::NotEmpty { account, asset: usd(), minor }
}

fn accrued() -> Account {
    Account::Accrued(OWNER, rental())
}

fn served() -> Ledger {
    let mut ledger = Ledger::rented();
    ledger.contract(expire(&[]), 1_000);
    ledger
}

#[test]
fn a_refund_of_more_than_is_left_of_its_segment_is_found() {
    assert_eq!(forge(&mut Ledger::rented(), refund(1_000)), []);
    let found = overdrawn(Account::Segment(rental(), 0), 1);
    assert_eq!(forge(&mut Ledger::rented(), refund(1_001)), [found]);
    assert_eq!(forge(&mut served(), refund(1)), [overdrawn(Account::Segment(rental(), 0), 1)]);
}

#[test]
fn a_payout_of_less_than_was_earned_is_found() {
    assert_eq!(forge(&mut served(), payout(900, 100)), []);
    assert_eq!(forge(&mut served(), payout(899, 100)), [not_empty(accrued(), -1)]);
    assert_eq!(forge(&mut served(), payout(900, 98)), [not_empty(Account::FeesAccrued(rental()), -2)]);
}

#[test]
fn a_payout_of_more_than_was_earned_is_found() {
    let found = [overdrawn(accrued(), 1), not_empty(accrued(), 1)];
    assert_eq!(forge(&mut served(), payout(901, 100)), found);
}

#[test]
fn a_contract_that_closes_while_a_segment_holds_money_is_found() {
    let mut running = Ledger::rented();
    assert_eq!(forge(&mut running, payout(0, 0)), [not_empty(Account::Segment(rental(), 0), -1_000)]);
}

#[test]
fn a_sweep_of_more_than_is_in_escrow_is_found() {
    let sweep =
        |amount| AnyEvent::Treasury(FeesSwept { amount: cents(amount), reference: "tx".into() }.into());
    let stream = Treasury::stream(&shop());
    assert_eq!(Ledger::rented().forge(sweep(1_000), &stream, Uuid::nil()).1, []);
    let found = Ledger::rented().forge(sweep(1_001), &stream, Uuid::nil()).1;
    assert_eq!(found, [overdrawn(Account::EscrowCash(shop()), -1)]);
}

#[test]
fn money_that_is_started_twice_is_found() {
    let mut ledger = Ledger::rented();
    ledger.contract(terminate(EndedBy::Renter), 400);
    let (id, due) = (SettlementId::refund(rental(), 0), Stage::Due);
    ledger.due(id, SettlementKind::Refund, RENTER, 600);
    let started = SettlementStarted { attempt: 1, method: "manual".into() };
    let event = AnyEvent::Settlement(started.into());
    let stream = Settlement::stream(&id);
    assert_eq!(ledger.forge(event.clone(), &stream, id.0).1, []);
    let found = overdrawn(Account::Claim(SettlementKind::Refund, RENTER, due), 600);
    assert_eq!(ledger.forge(event, &stream, id.0).1, [found]);
}

#[test]
fn a_fault_is_told_in_words() {
    let told = overdrawn(Account::EscrowCash(shop()), -1).to_string();
    assert_eq!(told, "it leaves -1 minor units of USD in Assets:Escrow:Cash:Shop, which is overdrawn");
}

#[test]
fn what_is_not_open_posts_nothing() {
    let mut closed = served();
    closed.contract(ContractCommand::IssuePayout, 1_000);
    assert_eq!(forge(&mut closed, refund(5)), []);
    assert_eq!(closed.balance(&Account::Claim(SettlementKind::Refund, RENTER, Stage::Due)), 0);
    let started = SettlementStarted { attempt: 1, method: "manual".into() };
    let id = SettlementId::refund(rental(), 0);
    let event = AnyEvent::Settlement(started.into());
    assert_eq!(closed.forge(event, &Settlement::stream(&id), id.0), (vec![], vec![]));
}

#[test]
fn books_name_every_account_with_something_in_it_and_no_other() {
    let mut ledger = served();
    ledger.contract(ContractCommand::IssuePayout, 1_000);
    let all: Vec<_> = ledger.books.balances().map(|(a, _, minor)| (a.clone(), minor)).collect();
    let payable = Account::Claim(SettlementKind::Payout, OWNER, Stage::Due);
    let expected =
        [(Account::EscrowCash(shop()), 1_000), (payable, -900), (Account::FeeIncome(shop()), -100)];
    assert_eq!(all, expected);
}
