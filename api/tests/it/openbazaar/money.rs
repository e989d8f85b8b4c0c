//! Refunds by payment method and state.

use fixtures::openbazaar::{Method, State};

use super::kit::{Bazaar, HOUR};

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_who_leaves_early_gets_the_rest_back_from_the_wallet() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::AddressRequest);
    bazaar.work().await;
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    let back = bazaar.seen(&order).refund_address;
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), 3 * HOUR, 3 * HOUR)]);
    assert_eq!(bazaar.node.received(&back), 3 * HOUR);
    bazaar.pass(60).await;
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_device_that_is_let_is_refunded_in_full() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let (first, second) = (bazaar.node.buyer(), bazaar.node.buyer());
    bazaar.buy(first, &device, 1, Method::AddressRequest);
    let order = bazaar.buy(second, &device, 1, Method::AddressRequest);
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Refunded);
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), HOUR);
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), HOUR, HOUR)]);
    bazaar.books_agree().await;
}
