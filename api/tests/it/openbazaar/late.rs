//! Payments that come late, vanish, or lie where the shop cannot reach them: nothing is paid for them.

use fixtures::openbazaar::{Method, Purchase, State};
use serde_json::json;

use super::{
    kit::{Bazaar, HOUR},
    money::{house, strange},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_an_address_of_several_keys_after_the_order_was_taken_is_never_paid_back_from_the_wallet()
 {
    for method in [Method::Direct, Method::Moderated] {
        let mut bazaar = Bazaar::with(house).await;
        let device = bazaar.device().await;
        let buyer = bazaar.node.buyer();
        let order = bazaar.buy(buyer, &device, 1, method);
        bazaar.work().await;
        assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
        if method == Method::Moderated {
            bazaar.node.complete(&order).unwrap();
        }
        bazaar.node.pay(&order, 300 * HOUR).unwrap();
        bazaar.node.remind(&order, 1).unwrap();
        bazaar.restart().await;
        for _ in 0..3 {
            bazaar.pass(3_600).await;
        }
        assert!(
            bazaar.settlements("refund").await.is_empty(),
            "{method:?}: {:?}",
            bazaar.settlements("refund").await
        );
        assert_eq!(bazaar.seen(&order).held, 300 * HOUR);
        assert_eq!(bazaar.node.received(super::kit::OWNER), HOUR * 9 / 10, "{method:?}");
        let calls = bazaar.attention().await;
        assert!(
            calls.iter().any(|(_, _, detail)| detail.contains("out of the shop's reach")),
            "{method:?} {calls:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_little_too_much_in_an_escrow_starts_no_dispute() {
    let mut bazaar = Bazaar::with(house).await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::Moderated);
    bazaar.work().await;
    bazaar.node.pay(&order, 1_000).unwrap();
    bazaar.node.remind(&order, 1).unwrap();
    bazaar.restart().await;
    bazaar.pass(60).await;
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    bazaar.test.advance(3_540);
    bazaar.terminate(&order).await;
    let refunds = bazaar.settlements("refund").await;
    assert!(refunds[0].1 < 3 * HOUR && refunds[0].2 >= refunds[0].1 && refunds.len() == 1, "{refunds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_vanished_is_not_paid_back() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let slug = Bazaar::slug(&device, 3_600);
    let wanted = Purchase { quantity: 4, ..Purchase::of(&slug, Method::AddressRequest) };
    let order = bazaar.node.purchase(buyer, wanted).unwrap();
    let txid = bazaar.node.pay(&order, 4 * HOUR).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    bazaar.node.kill(&txid);
    bazaar.terminate(&order).await;
    bazaar.pass(3_600).await;
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), 0);
    let calls = bazaar.attention().await;
    assert!(calls.iter().any(|(_, _, detail)| detail.contains("not on the chain any more")), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_disputed_before_it_is_served_goes_back_whole() {
    for decided in [false, true] {
        let mut bazaar = Bazaar::with(strange).await;
        let device = bazaar.device().await;
        let buyer = bazaar.node.buyer();
        let order = bazaar.buy(buyer, &device, 1, Method::Moderated);
        bazaar.node.dispute(&order, "where is it?").unwrap();
        if decided {
            bazaar.node.decide(&order, 25, 75).unwrap();
        }
        bazaar.work().await;
        let row = bazaar.order(&order).await;
        assert_eq!(row["reason"]["code"], json!("disputed"));
        if !decided {
            bazaar.node.decide(&order, 25, 75).unwrap();
        }
        for _ in 0..3 {
            bazaar.pass(600).await;
        }
        let refunds = bazaar.settlements("refund").await;
        assert_eq!(refunds.iter().map(|refund| refund.2).sum::<i128>(), HOUR, "{refunds:?}");
        assert!(refunds.iter().all(|refund| refund.0 == "settled"), "{refunds:?}");
        bazaar.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buyers_node_takes_back_beyond_the_order_is_nobodys_expense() {
    let mut bazaar = Bazaar::with(house).await;
    let device = bazaar.device().await;
    let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
    let slug = Bazaar::slug(&device, 3_600);
    let order = bazaar.node.purchase(second, Purchase::of(&slug, Method::Moderated)).unwrap();
    bazaar.buy(first, &device, 1, Method::AddressRequest);
    bazaar.work().await;
    bazaar.node.pause(second);
    bazaar.node.pay(&order, HOUR).unwrap();
    bazaar.work().await;
    bazaar.node.pay(&order, 7_000).unwrap();
    bazaar.node.resume(second);
    bazaar.pass(600).await;
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), HOUR, HOUR)]);
    bazaar.books_agree().await;
}
