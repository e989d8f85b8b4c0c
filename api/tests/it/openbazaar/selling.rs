//! Selling, handing over, extending.

use fixtures::openbazaar::{Method, State};
use serde_json::json;

use super::kit::{Bazaar, HOUR};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_listed_sold_and_handed_over_and_its_owner_is_paid_at_the_end() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    assert_eq!(bazaar.listings().await, [Bazaar::slug(&device, 3_600)]);
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 2, Method::AddressRequest);
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    assert!(bazaar.listings().await.is_empty(), "what is let is not listed");
    let note = bazaar.note(&order);
    assert_eq!((note["host"].as_str(), note["port"].as_str()), ("localhost", "20000"));
    let login =
        bazaar.test.get(&format!("/v1/contracts/{}/credentials", note["contract"]), &note["token"]).await;
    let login = login.ok();
    assert_eq!((&login["user"], &login["password"]), (&json!(note["user"]), &json!(note["password"])));
    bazaar.books_agree().await;
    bazaar.pass(7_200).await;
    let fee = 2 * HOUR / 10;
    assert_eq!(bazaar.settlements("payout").await, [("settled".into(), 2 * HOUR - fee, 2 * HOUR - fee)]);
    assert_eq!(bazaar.node.received(super::kit::OWNER), 2 * HOUR - fee);
    bazaar.books_agree().await;
    bazaar.test.erase(&device).await.ok();
    bazaar.test.register(&device).await.ok();
    bazaar.work().await;
    assert_eq!(bazaar.listings().await, [Bazaar::slug(&device, 3_600)], "it is on the market again");
}
