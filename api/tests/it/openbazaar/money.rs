//! Refunds and payouts by payment method and state of their order.

use fixtures::openbazaar::{Method, Node, Purchase, State};

use super::kit::{Bazaar, HOUR, OWNER, PASSWORD, USER};

/// Buyers may choose the fixture's moderator, who carries out what the connector asks for.
pub fn house(config: &mut api::config::Config, node: &Node) {
    config.openbazaar.moderators = node.peers().1;
    config.openbazaar.moderator.url = node.moderator_url();
    config.openbazaar.moderator.username = USER.into();
    config.openbazaar.moderator.password = api::config::Secret(PASSWORD.into());
    config.openbazaar.moderator.fee_bps = 500;
}

/// The moderator decides by itself.
pub fn strange(config: &mut api::config::Config, node: &Node) {
    config.openbazaar.moderators = node.peers().1;
}

async fn leaves_early(method: Method) -> (Bazaar, String) {
    let mut bazaar = Bazaar::with(house).await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, method);
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    (bazaar, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_who_leaves_early_gets_the_rest_back_from_the_wallet() {
    for method in [Method::AddressRequest, Method::Direct] {
        let (mut bazaar, order) = leaves_early(method).await;
        let back = bazaar.seen(&order).refund_address;
        assert_eq!(bazaar.settlements("refund").await, [("settled".into(), 3 * HOUR, 3 * HOUR)]);
        assert_eq!(bazaar.node.received(&back), 3 * HOUR);
        bazaar.pass(60).await;
        assert_eq!(bazaar.node.received(OWNER), HOUR * 9 / 10);
        bazaar.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_escrow_goes_back_by_a_moderator_in_the_renters_favour() {
    let (mut bazaar, order) = leaves_early(Method::Moderated).await;
    let refunds = bazaar.settlements("refund").await;
    let [(status, due, moved)] = refunds.as_slice() else { panic!("{refunds:?}") };
    assert_eq!((status.as_str(), *due), ("settled", 3 * HOUR));
    assert!((3 * HOUR..3 * HOUR + HOUR / 25).contains(moved), "{moved} for {due}");
    assert_eq!(bazaar.seen(&order).held, 0);
    let ledger = bazaar.node.ledger();
    let split = ledger.iter().rfind(|tx| tx.to.iter().any(|(_, amount)| amount == moved)).unwrap();
    assert!(split.to.len() >= 2, "it came out of the escrow");
    bazaar.pass(60).await;
    assert_eq!(bazaar.node.received(OWNER), HOUR * 9 / 10, "the owner gets what was earned");
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_refused_goes_back_as_its_method_has_it() {
    for (method, state) in [
        (Method::AddressRequest, State::Refunded),
        (Method::Direct, State::Declined),
        (Method::Moderated, State::Refunded),
    ] {
        let mut bazaar = Bazaar::with(house).await;
        let device = bazaar.device().await;
        let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
        bazaar.buy(first, &device, 1, Method::AddressRequest);
        let order = bazaar.buy(second, &device, 1, method);
        bazaar.work().await;
        assert_eq!(bazaar.seen(&order).state, state, "{method:?}");
        assert_eq!(bazaar.settlements("refund").await, [("settled".into(), HOUR, HOUR)], "{method:?}");
        let arrived = bazaar.node.received(&bazaar.seen(&order).refund_address);
        // Out of an escrow the buyer's own node takes it, and pays the miner.
        assert!(arrived == HOUR || method != Method::AddressRequest && arrived > HOUR - 2_000, "{arrived}");
        bazaar.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_placed_while_the_node_was_away_is_confirmed_and_served_or_turned_down() {
    let mut bazaar = Bazaar::with(house).await;
    let device = bazaar.device().await;
    let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
    bazaar.node.down().await;
    let served = bazaar.buy(first, &device, 1, Method::Moderated);
    let refused = bazaar.buy(second, &device, 1, Method::AddressRequest);
    bazaar.node.up().await.unwrap();
    bazaar.work().await;
    assert!(bazaar.items("/v1/orders").await.is_empty(), "the node has not seen the payments");
    bazaar.node.rescan();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&served).state, State::Fulfilled);
    assert_eq!(bazaar.seen(&refused).state, State::Declined);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_cancels_before_it_is_turned_down_is_not_paid_twice() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
    let order =
        bazaar.node.purchase(second, Purchase::of(&Bazaar::slug(&device, 3_600), Method::Direct)).unwrap();
    bazaar.buy(first, &device, 1, Method::AddressRequest);
    bazaar.work().await;
    bazaar.node.pause(second);
    bazaar.node.pay(&order, HOUR).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.settlements("refund").await[0].0, "started");
    // The buyer's node is back, and takes the money out itself.
    bazaar.node.resume(second);
    bazaar.pass(600).await;
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), HOUR, HOUR)]);
    assert!(bazaar.node.received(&bazaar.seen(&order).refund_address) <= HOUR);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderated_refund_waits_for_the_buyers_node_and_is_not_paid_beside_it() {
    let mut bazaar = Bazaar::with(house).await;
    let device = bazaar.device().await;
    let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
    let order =
        bazaar.node.purchase(second, Purchase::of(&Bazaar::slug(&device, 3_600), Method::Moderated)).unwrap();
    bazaar.buy(first, &device, 1, Method::AddressRequest);
    bazaar.work().await;
    bazaar.node.pause(second);
    bazaar.node.pay(&order, HOUR).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Refunded, "the shop signed");
    bazaar.pass(200_000).await;
    let waits = bazaar.settlements("refund").await;
    assert_eq!(waits, [("started".into(), HOUR, 0)], "signed is not paid");
    assert!(bazaar.attention().await.iter().any(|(_, what, _)| what == "payment waits"));
    bazaar.node.resume(second);
    bazaar.pass(3_600).await;
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), HOUR, HOUR)]);
    assert!(!bazaar.attention().await.iter().any(|(_, what, _)| what == "payment waits"));
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_who_gives_less_leaves_the_rest_to_the_wallet() {
    let mut bazaar = Bazaar::with(strange).await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::Moderated);
    bazaar.work().await;
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    assert_eq!(bazaar.seen(&order).state, State::Disputed);
    let asked = bazaar.attention().await;
    assert!(asked.iter().any(|(_, _, detail)| detail.contains("76 percent")), "{asked:?}");
    bazaar.pass(86_400 * 3).await;
    assert_eq!(bazaar.settlements("refund").await, [("started".into(), 3 * HOUR, 0)], "nothing is in doubt");
    bazaar.node.decide(&order, 50, 50).unwrap();
    bazaar.work().await;
    let refunds = bazaar.settlements("refund").await;
    let [(first, _, split), (second, rest, moved)] = refunds.as_slice() else { panic!("{refunds:?}") };
    assert_eq!((first.as_str(), second.as_str(), split + moved), ("settled", "settled", 3 * HOUR));
    assert_eq!((rest, bazaar.node.received(&bazaar.seen(&order).refund_address)), (moved, *moved));
    bazaar.pass(60).await;
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_completes_before_the_moderator_decides_is_paid_from_the_wallet() {
    let mut bazaar = Bazaar::with(strange).await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::Moderated);
    bazaar.work().await;
    bazaar.node.complete(&order).unwrap();
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), 3 * HOUR, 3 * HOUR)]);
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), 3 * HOUR);
    bazaar.pass(60).await;
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_paid_only_once_the_escrow_is_in_the_wallet_for_good() {
    for released in ["by the buyer", "by time"] {
        let mut bazaar = Bazaar::with(strange).await;
        let device = bazaar.device().await;
        let buyer = bazaar.node.buyer();
        let order = bazaar.buy(buyer, &device, 1, Method::Moderated);
        bazaar.work().await;
        bazaar.pass(3_600).await;
        assert_eq!(bazaar.settlements("payout").await, [("due".into(), HOUR * 9 / 10, 0)]);
        assert_eq!(bazaar.node.received(OWNER), 0);
        assert!(
            bazaar
                .attention()
                .await
                .iter()
                .any(|(_, what, detail)| what == "payment waits" && detail.contains("escrow"))
        );
        if released == "by time" {
            bazaar.node.mine(1_080 * 6 + 1);
        } else {
            bazaar.node.complete(&order).unwrap();
        }
        for _ in 0..3 {
            bazaar.pass(3_600).await;
        }
        assert_eq!(bazaar.node.received(OWNER), HOUR * 9 / 10, "{released}");
        bazaar.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_of_the_buyers_holds_the_money_and_is_decided_as_the_moderator_does() {
    let mut bazaar = Bazaar::with(strange).await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::Moderated);
    bazaar.work().await;
    bazaar.node.dispute(&order, "it is slow").unwrap();
    bazaar.work().await;
    bazaar.pass(4 * 3_600).await;
    assert!(bazaar.settlements("payout").await.is_empty(), "the money waits for a decision");
    bazaar.node.decide(&order, 25, 75).unwrap();
    bazaar.work().await;
    bazaar.pass(3_600).await;
    let arrived = |kind: &'static str| {
        let bazaar = &bazaar;
        async move { bazaar.settlements(kind).await }
    };
    let (refund, moderation) = (arrived("refund").await, arrived("moderation").await);
    for (status, due, moved) in refund.iter().chain(&moderation) {
        assert_eq!((status.as_str(), due), ("settled", moved), "{refund:?} {moderation:?}");
    }
    assert_eq!((refund.len(), moderation.len()), (1, 1));
    let payouts = bazaar.settlements("payout").await;
    assert!(
        payouts.iter().all(|payout| payout.0 == "settled") && payouts.len() == 1,
        "{payouts:?} {:?}",
        bazaar.attention().await
    );
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_wallet_cannot_pay_is_paid_when_it_can_and_dust_is_left_to_an_operator() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::AddressRequest);
    bazaar.work().await;
    let spend = serde_json::json!({
        "currencyCode": "TBTC", "address": OWNER, "amount": "1", "spendAll": true, "memo": "emptied by hand",
    });
    let request = reqwest::Client::new().post(format!("{}/wallet/spend", bazaar.node.url()));
    request.basic_auth(USER, Some(PASSWORD)).json(&spend).send().await.unwrap();
    let before = bazaar.node.received(OWNER);
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    let failed = bazaar.settlements("refund").await;
    assert_eq!(failed, [("failed".into(), 3 * HOUR, 0)]);
    let calls = bazaar.attention().await;
    assert!(calls.iter().any(|(_, _, detail)| detail.contains("ERROR_INSUFFICIENT_FUNDS")), "{calls:?}");
    bazaar.node.fund("TBTC", 9_000_000);
    for _ in 0..3 {
        bazaar.pass(3_600).await;
    }
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), 3 * HOUR, 3 * HOUR)]);
    assert_eq!(bazaar.node.received(OWNER) - before, HOUR * 9 / 10);

    let wanted = Purchase::of(&Bazaar::slug(&device, 3_600), Method::AddressRequest);
    assert!(bazaar.node.buy(buyer, wanted).is_err(), "it is not listed while it is not erased");
    bazaar.test.erase(&device).await.ok();
    bazaar.test.register(&device).await.ok();
    bazaar.work().await;
    let order = bazaar
        .node
        .purchase(buyer, Purchase::of(&Bazaar::slug(&device, 3_600), Method::AddressRequest))
        .unwrap();
    bazaar.node.pay(&order, HOUR + 100).unwrap();
    bazaar.work().await;
    for _ in 0..3 {
        bazaar.pass(600).await;
    }
    let dust = bazaar.settlements("refund").await;
    assert_eq!(dust.last(), Some(&("failed".into(), 100, 0)));
    let calls = bazaar.attention().await;
    assert!(calls.iter().any(|(_, _, detail)| detail.contains("settle it by hand")), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_dies_after_it_was_sent_is_on_the_operators_list() {
    for leaves_early in [true, false] {
        let mut bazaar = Bazaar::new().await;
        let device = bazaar.device().await;
        let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
        let orders = [first, second].map(|buyer| bazaar.buy(buyer, &device, 4, Method::AddressRequest));
        bazaar.work().await;
        let order = if leaves_early { &orders[0] } else { &orders[1] };
        if leaves_early {
            bazaar.end_all().await;
            bazaar.work().await;
        }
        let to = bazaar.seen(order).refund_address;
        let paid = bazaar.node.ledger().into_iter().find(|tx| tx.got(&to) > 0).unwrap();
        bazaar.node.kill(&paid.txid);
        bazaar.pass(3_600).await;
        let calls = bazaar.attention().await;
        assert!(
            calls.iter().any(|(_, what, detail)| what == "payment died" && detail.contains(&paid.txid)),
            "{calls:?}"
        );
    }
}
