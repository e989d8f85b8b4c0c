//! How a payment that is due leaves: by payment method and state of its order, and whether all of it goes back.
//!
//! # Correctness
//! Money leaves once. The node pays an order back ([`Plan::Refund`], [`Plan::Reject`]) only while the order is not
//! handed over, and always all of it; a part, or what is due later, is spent from the wallet, which must hold the money
//! by then: an escrow is never paid ahead of, because its buyer can still call the moderator. What left an escrow some
//! other way is found ([`Plan::Found`]) and never paid again.

use super::wire::{Method, Order, Record, State};

/// How to go about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// The node pays the whole order back.
    Refund,
    /// The node turns the order down, and the buyer's node takes the money back.
    Reject,
    /// From the wallet.
    Spend,
    /// By a moderator's decision.
    Dispute,
    /// It has left: so much, by this transaction.
    Found {
        /// The transaction.
        txid: String,
        /// What arrived, in minor units.
        moved: i128,
    },
    /// Not now.
    Wait(&'static str),
}

/// A refund, and what is known of its order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back<'a> {
    pub order: &'a Order,
    /// How much, in minor units.
    pub due: i128,
    /// All that came after the order's own payment, when this is part of that.
    pub late: Option<i128>,
    /// Whether it is all that was ever paid for the order.
    pub whole: bool,
    /// Whether a moderator's decision pays it, and paid nothing else yet.
    pub by_split: bool,
}

/// How a refund leaves.
pub(super) fn refund(back: Back<'_>) -> Plan {
    use {Method as M, State as S};
    let Back { order, due, late, whole, by_split } = back;
    match (order.payment().method, order.state, whole) {
        (M::AddressRequest, S::AwaitingPayment, _) => Plan::Spend,
        (M::Direct | M::Moderated, S::AwaitingPayment, _) => {
            Plan::Wait("the node cannot give back a part-payment to an address of several keys")
        }
        (M::Direct | M::Moderated, S::Pending, true) => Plan::Reject,
        (_, S::Pending, _) => Plan::Wait("the order is not confirmed yet"),
        (_, S::AwaitingFulfillment | S::PartiallyFulfilled, true) => Plan::Refund,
        (M::AddressRequest | M::Direct, S::AwaitingFulfillment | S::PartiallyFulfilled, false) => Plan::Spend,
        (M::Moderated, S::AwaitingFulfillment | S::PartiallyFulfilled, false) => {
            Plan::Wait("the order is not handed over yet")
        }
        (M::AddressRequest | M::Direct, S::Fulfilled | S::Completed, _) => Plan::Spend,
        (M::Moderated, S::Fulfilled | S::Disputed, _) => Plan::Dispute,
        (M::Moderated, S::Decided | S::Resolved, _) => decided(order, by_split),
        (M::Moderated, S::Completed | S::PaymentFinalized, _) => match order.out() {
            Some(_) => Plan::Spend,
            None => Plan::Wait("the escrow has not reached the wallet yet"),
        },
        (_, S::Refunded | S::Declined | S::Canceled, true) => match gone_back(order) {
            Some(record) => Plan::Found { moved: moved(order, &record, due), txid: record.txid },
            None => Plan::Wait("the buyer's node has not taken its money back yet"),
        },
        // What came after the node had paid the order back.
        (M::AddressRequest, S::Refunded, false)
            if gone_back(order)
                .zip(late)
                .is_some_and(|(back, late)| back.big_value.0 + late <= order.received(0)) =>
        {
            Plan::Spend
        }
        (_, S::Refunded | S::Declined | S::Canceled, false) => Plan::Wait(
            "the node paid the order back as a whole: see what left with that before you settle this by hand",
        ),
        (_, S::Disputed | S::Decided | S::Resolved | S::PaymentFinalized, _)
        | (_, S::AwaitingPickup | S::ProcessingError, _) => {
            Plan::Wait("the order is in a state that nobody planned for: see the node")
        }
    }
}

/// A decision is carried out first; what it pays the buyer is this refund's, once.
fn decided(order: &Order, by_split: bool) -> Plan {
    match (order.out(), order.split()) {
        (None, _) => Plan::Dispute,
        (Some(out), Some(split)) if by_split && split.buyer_output.big_amount.0 > 0 => {
            Plan::Found { txid: out.txid, moved: split.buyer_output.big_amount.0 }
        }
        (Some(_), _) => Plan::Spend,
    }
}

/// What moved when the node says that an order went back. Out of an escrow the buyer's node takes it, and pays the miner.
pub(super) fn gone_back(order: &Order) -> Option<Record> {
    let paid = &order.contract.refund.refund_transaction;
    let by_wallet = (!paid.txid.is_empty() && paid.big_value.0 > 0).then(|| paid.clone());
    match order.payment().method {
        Method::AddressRequest => by_wallet,
        // Once it was confirmed it is in the wallet, and leaves from there.
        Method::Direct if order.state == State::Refunded => by_wallet,
        Method::Direct | Method::Moderated => order.out(),
    }
}

/// How much of what went back was due: what came beyond it to an address of several keys was never the shop's.
pub(super) fn moved(order: &Order, record: &Record, due: i128) -> i128 {
    let all = record.big_value.0.abs();
    let by_wallet = record.txid == order.contract.refund.refund_transaction.txid;
    if by_wallet { all } else { all.min(due) }
}

/// Whether an order's money is in the wallet for good: nobody can take it back any more.
pub(super) fn is_collected(order: &Order) -> Result<(), &'static str> {
    use {Method as M, State as S};
    match (order.payment().method, order.state) {
        (M::AddressRequest | M::Direct, S::Pending | S::AwaitingPayment) => {
            Err("an order is not confirmed yet")
        }
        (_, S::Refunded | S::Declined | S::Canceled) => Err("an order was paid back by somebody"),
        (M::AddressRequest, _) => Ok(()),
        (M::Direct, _) if order.out().is_some() => Ok(()),
        (M::Direct, _) => Err("an order's money was not swept into the wallet"),
        (M::Moderated, S::Completed | S::Resolved | S::PaymentFinalized | S::Decided)
            if order.out().is_some() =>
        {
            Ok(())
        }
        (M::Moderated, _) => {
            Err("an order's money is still in escrow: the buyer, a moderator or time must release it")
        }
    }
}

/// Which whole percentage a moderator must give a buyer of what is in escrow, so that at least `due` arrives: the
/// moderator's fee comes off first, and the buyer bears a share of the miner's. At most 100.
pub(super) fn percent(due: i128, held: i128, moderator_bps: u32, miner: i128) -> u8 {
    let rest = held - held * i128::from(moderator_bps) / 10_000;
    if due <= 0 || rest <= 0 {
        return 0;
    }
    if held <= miner {
        return 100;
    }
    // Of a part, a share of the miner's fee in proportion is taken off, rounded up.
    let part = due.saturating_mul(held) / (held - miner) + 2;
    let percent = (part * 100 + rest - 1) / rest;
    u8::try_from(percent.clamp(1, 100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(method: &str, state: &str, out: bool, split: Option<i128>) -> Order {
        let mut records = vec![json!({ "txid": "in", "bigValue": "1000000" })];
        if out {
            records.push(json!({ "txid": "out", "bigValue": "-1000000" }));
        }
        let output = |amount: i128| json!({ "bigAmount": amount.to_string() });
        let payout = split.map(|buyer| json!({ "payout": { "buyerOutput": output(buyer) } }));
        let refund = (method != "MODERATED" && state == "REFUNDED")
            .then(|| json!({ "refundTransaction": { "txid": "back", "bigValue": "1000000" } }));
        let mut contract = json!({ "buyerOrder": { "payment": { "method": method } } });
        for (name, part) in [("disputeResolution", payout), ("refund", refund)] {
            if let Some(part) = part {
                contract[name] = part;
            }
        }
        serde_json::from_value(
            json!({ "state": state, "contract": contract, "paymentAddressTransactions": records }),
        )
        .unwrap()
    }

    fn planned(method: &str, state: &str, whole: bool, out: bool, split: Option<i128>) -> Plan {
        let due = if whole { 1_000_000 } else { 300_000 };
        refund(Back {
            order: &order(method, state, out, split),
            due,
            late: None,
            whole,
            by_split: split.is_some(),
        })
    }

    fn found(txid: &str, moved: i128) -> Plan {
        Plan::Found { txid: txid.into(), moved }
    }

    #[test]
    fn every_method_and_state_has_its_way_for_all_and_for_a_part() {
        let table = [
            ("ADDRESS_REQUEST", "AWAITING_PAYMENT", Plan::Spend, Plan::Spend),
            ("ADDRESS_REQUEST", "AWAITING_FULFILLMENT", Plan::Refund, Plan::Spend),
            ("ADDRESS_REQUEST", "FULFILLED", Plan::Spend, Plan::Spend),
            ("ADDRESS_REQUEST", "COMPLETED", Plan::Spend, Plan::Spend),
            ("DIRECT", "AWAITING_FULFILLMENT", Plan::Refund, Plan::Spend),
            ("DIRECT", "FULFILLED", Plan::Spend, Plan::Spend),
            ("DIRECT", "COMPLETED", Plan::Spend, Plan::Spend),
            ("MODERATED", "FULFILLED", Plan::Dispute, Plan::Dispute),
            ("MODERATED", "DISPUTED", Plan::Dispute, Plan::Dispute),
            ("MODERATED", "DECIDED", Plan::Dispute, Plan::Dispute),
        ];
        for (method, state, all, part) in table {
            assert_eq!(planned(method, state, true, false, None), all, "{method} {state}");
            assert_eq!(planned(method, state, false, false, None), part, "{method} {state}");
        }
        for method in ["DIRECT", "MODERATED"] {
            assert_eq!(planned(method, "PENDING", true, false, None), Plan::Reject);
            assert!(matches!(planned(method, "PENDING", false, false, None), Plan::Wait(_)));
            assert!(matches!(planned(method, "AWAITING_PAYMENT", true, false, None), Plan::Wait(_)));
        }
        assert_eq!(planned("MODERATED", "AWAITING_FULFILLMENT", true, false, None), Plan::Refund);
        assert!(matches!(planned("MODERATED", "AWAITING_FULFILLMENT", false, false, None), Plan::Wait(_)));
    }

    #[test]
    fn an_escrow_is_never_paid_ahead_of() {
        for state in ["COMPLETED", "PAYMENT_FINALIZED"] {
            assert!(matches!(planned("MODERATED", state, true, false, None), Plan::Wait(_)), "{state}");
            assert_eq!(planned("MODERATED", state, true, true, None), Plan::Spend);
        }
        for state in ["DECIDED", "RESOLVED"] {
            assert_eq!(planned("MODERATED", state, false, false, Some(300_000)), Plan::Dispute);
            assert_eq!(planned("MODERATED", state, false, true, Some(300_000)), found("out", 300_000));
            assert_eq!(planned("MODERATED", state, false, true, None), Plan::Spend);
        }
    }

    #[test]
    fn what_went_back_already_is_found_and_not_paid_again() {
        assert_eq!(planned("ADDRESS_REQUEST", "REFUNDED", true, false, None), found("back", 1_000_000));
        assert_eq!(planned("DIRECT", "REFUNDED", true, true, None), found("back", 1_000_000));
        for (method, state) in [("DIRECT", "CANCELED"), ("DIRECT", "DECLINED"), ("MODERATED", "REFUNDED")] {
            assert_eq!(planned(method, state, true, true, None), found("out", 1_000_000), "{state}");
            assert!(matches!(planned(method, state, true, false, None), Plan::Wait(_)), "{state}");
            assert!(matches!(planned(method, state, false, true, None), Plan::Wait(_)), "{state}");
        }
    }

    #[test]
    fn what_is_paid_after_the_order_went_back_is_spent() {
        let mut order = order("ADDRESS_REQUEST", "REFUNDED", false, None);
        let late = Some(5_000);
        let back = |order: &Order| refund(Back { order, due: 5_000, late, whole: false, by_split: false });
        assert!(matches!(back(&order), Plan::Wait(_)), "the refund paid all that came");
        let big_value = super::super::wire::Units(5_000);
        let late = Record { txid: "late".into(), big_value, ..Record::default() };
        order.payment_address_transactions.push(late);
        assert_eq!(back(&order), Plan::Spend);
    }

    #[test]
    fn every_state_has_some_plan() {
        for (state, ..) in State::ALL {
            for method in ["ADDRESS_REQUEST", "DIRECT", "MODERATED"] {
                let _ = planned(method, state.name(), true, false, None);
                let _ = planned(method, state.name(), false, true, None);
            }
        }
    }

    #[test]
    fn the_buyer_gets_at_least_what_is_due_in_the_fewest_whole_percent() {
        let arrives = |percent: u8, held: i128, bps: u32, miner: i128| {
            let rest = held - held * i128::from(bps) / 10_000;
            let part = rest * i128::from(percent) / 100;
            part - (part * miner + held - 1) / held
        };
        for held in [1_000_000, 77_777, 123_456_789] {
            for due in [1, held / 7, held / 3, held / 2, held * 9 / 10] {
                for (bps, miner) in [(0, 0), (500, 2_630), (100, 700)] {
                    let given = percent(due, held, bps, miner);
                    let enough = arrives(given, held, bps, miner) >= due;
                    assert!(enough || given == 100, "{due} of {held}: {given}%");
                    assert!(given == 1 || arrives(given - 1, held, bps, miner) < due + 4, "{given}%");
                }
            }
        }
        assert_eq!((percent(0, 100, 0, 0), percent(100, 100, 500, 10)), (0, 100));
    }
}
