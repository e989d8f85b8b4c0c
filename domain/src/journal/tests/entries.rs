use super::*;

#[test]
fn an_order_is_held_for_whoever_it_will_belong_to() {
    assert_eq!(
        Ledger::default().receive(1, 1_000),
        ["OrderReceived", "  Assets:Escrow:Cash:Shop +1000", "  Liabilities:Escrow:Orders:Shop -1000"]
    );
}

#[test]
fn a_rejected_order_is_owed_to_its_renter() {
    let mut ledger = Ledger::default();
    ledger.receive(1, 77);
    assert_eq!(
        ledger.order(1, OrderCommand::Reject { reason: RejectReason::AlreadyLet }),
        [
            "OrderRejected",
            "  Liabilities:Escrow:Orders:Shop +77",
            "  Liabilities:Renter:A-renter:RefundDue -77"
        ]
    );
}

#[test]
fn what_collecting_a_payment_cost_is_the_operators_expense() {
    let mut ledger = Ledger::default();
    ledger.receive(1, 77);
    let collect = OrderCommand::Collect { reference: "tx".into(), cost: cents(7) };
    assert_eq!(
        ledger.order(1, collect),
        ["OrderCollected", "  Expenses:Network:Shop +7", "  Assets:Platform:Cash:Shop -7"]
    );
}

#[test]
fn an_accepted_order_posts_nothing_because_its_rental_did() {
    let mut ledger = Ledger::default();
    ledger.receive(1, 1_000);
    assert_eq!(
        ledger.start(offer(Unit::Hour, 3_600), TERM, 1_000, Policy::default()),
        ["RentalStarted", "  Liabilities:Escrow:Orders:Shop +1000", "  Liabilities:Escrow:C-rental:S0 -1000"]
    );
    let accept = OrderCommand::Accept { contract: rental(), segment: span(0, TERM) };
    assert_eq!(ledger.order(1, accept), ["OrderAccepted"]);
}

#[test]
fn an_extension_posts_the_time_served_and_takes_in_its_own_money() {
    assert_eq!(
        Ledger::rented().extend(2, 500, 300),
        [
            "RentalExtended",
            "  Liabilities:Escrow:C-rental:S0 +300",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -270",
            "  Liabilities:Fees:Accrued:C-rental -30",
            "  Liabilities:Escrow:Orders:Shop +500",
            "  Liabilities:Escrow:C-rental:S1 -500",
        ]
    );
}

#[test]
fn a_request_that_lapses_posts_nothing() {
    let mut ledger = Ledger::rented();
    let (extension, term_s) = (ext(2), 500);
    let request = ContractCommand::RequestExtension { extension, term_s, valid_s: 60, offered: true };
    assert_eq!(ledger.contract(request, 10), ["ExtensionRequested"]);
    assert_eq!(ledger.contract(ContractCommand::Lapse { extension }, 70), ["ExtensionLapsed"]);
}

#[test]
fn an_early_end_posts_what_was_served_and_owes_the_renter_the_rest() {
    let mut ledger = Ledger::rented();
    ledger.extend(2, 500, 300);
    assert_eq!(
        ledger.contract(terminate(EndedBy::Renter), 400),
        [
            "RentalTerminated",
            "  Liabilities:Escrow:C-rental:S0 +100",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -90",
            "  Liabilities:Fees:Accrued:C-rental -10",
            "RefundIssued",
            "  Liabilities:Escrow:C-rental:S0 +600",
            "  Liabilities:Renter:A-renter:RefundDue -600",
            "RefundIssued",
            "  Liabilities:Escrow:C-rental:S1 +500",
            "  Liabilities:Renter:A-renter:RefundDue -500",
        ]
    );
    assert_eq!(
        ledger.contract(ContractCommand::IssuePayout, 400),
        [
            "PayoutIssued",
            "  Liabilities:Owner:A-owner:Accrued:C-rental +360",
            "  Liabilities:Fees:Accrued:C-rental +40",
            "  Liabilities:Owner:A-owner:Payable -360",
            "  Income:Fees:Shop -40",
        ]
    );
    assert_eq!(ledger.books.open().count(), 0);
}

#[test]
fn a_served_term_is_the_owners_and_the_operators() {
    assert_eq!(
        Ledger::rented().contract(expire(&[]), 5_000),
        [
            "RentalExpired",
            "  Liabilities:Escrow:C-rental:S0 +1000",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -900",
            "  Liabilities:Fees:Accrued:C-rental -100",
        ]
    );
}

#[test]
fn a_closed_segment_posts_its_own_time_alone_and_an_end_leaves_it_alone() {
    let mut ledger = Ledger::rented_under(Policy { segment_payout_after_s: TERM, ..Policy::default() });
    ledger.extend(2, 500, 300);
    let offline = vec![span(0, 200)];
    assert_eq!(
        ledger.contract(ContractCommand::CloseSegment { segment: 0, offline }, 1_100),
        [
            "SegmentClosed",
            "  Liabilities:Escrow:C-rental:S0 +500",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -450",
            "  Liabilities:Fees:Accrued:C-rental -50",
            "RefundIssued",
            "  Liabilities:Escrow:C-rental:S0 +200",
            "  Liabilities:Renter:A-renter:RefundDue -200",
            "SegmentPayoutIssued",
            "  Liabilities:Owner:A-owner:Accrued:C-rental +720",
            "  Liabilities:Fees:Accrued:C-rental +80",
            "  Liabilities:Owner:A-owner:Payable -720",
            "  Income:Fees:Shop -80",
        ]
    );
    assert_eq!(
        ledger.contract(expire(&[span(0, 1_000)]), 1_500),
        [
            "RentalExpired",
            "  Liabilities:Escrow:C-rental:S1 +500",
            "  Liabilities:Owner:A-owner:Accrued:C-rental -450",
            "  Liabilities:Fees:Accrued:C-rental -50",
        ]
    );
}

#[test]
fn a_late_close_leaves_what_the_next_segments_accrued() {
    let mut ledger = Ledger::rented_under(Policy { segment_payout_after_s: TERM, ..Policy::default() });
    ledger.extend(2, 500, 300);
    assert_eq!(ledger.extend(3, 500, 1_200)[2], "  Liabilities:Escrow:C-rental:S1 +200");
    let close = ContractCommand::CloseSegment { segment: 0, offline: vec![] };
    assert_eq!(ledger.contract(close, 1_300)[..2], ["SegmentClosed", "SegmentPayoutIssued"]);
}

#[test]
fn an_offer_that_nobody_took_posts_nothing() {
    let close = ContractCommand::CloseOffer { device: DEVICE, epoch: 1 };
    assert_eq!(Ledger::default().contract(close, 0), ["OfferClosed"]);
}

#[test]
fn a_sweep_takes_fees_out_of_escrow() {
    let mut ledger = Ledger::rented();
    ledger.contract(expire(&[]), 1_000);
    ledger.contract(ContractCommand::IssuePayout, 1_000);
    assert_eq!(
        ledger.sweep(60, 100),
        ["FeesSwept", "  Assets:Platform:Cash:Shop +60", "  Assets:Escrow:Cash:Shop -60"]
    );
    assert_eq!(ledger.balance(&Account::EscrowCash(shop())), 940);
}
