//! What buyers get wrong: each payment goes back or is accounted for, and an operator can see it.

use domain::time::Seconds;
use fixtures::openbazaar::{Coin, Method, Purchase, State};
use serde_json::{Value, json};

use super::kit::{Bazaar, HOUR, PASSWORD, USER, btc};

/// Adds a listing that Berth does not know of.
async fn list(bazaar: &Bazaar, slug: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/openbazaar/req_listing_service_v5.json");
    let mut listing: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    listing["slug"] = slug.into();
    let request = reqwest::Client::new().post(format!("{}/ob/listing", bazaar.node.url()));
    let answer = request.basic_auth(USER, Some(PASSWORD)).json(&listing).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn went_back(bazaar: &Bazaar, order: &str, paid: i128, why: &str) {
    let row = bazaar.order(order).await;
    assert_eq!((&row["status"], &row["reason"]["code"]), (&json!("rejected"), &json!(why)), "{row}");
    assert_eq!(bazaar.node.received(&bazaar.seen(order).refund_address), paid);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_an_unknown_listing_goes_back() {
    let mut bazaar = Bazaar::new().await;
    bazaar.test.advance(1);
    list(&bazaar, "a-shirt").await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.node.buy(buyer, Purchase::of("a-shirt", Method::AddressRequest)).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Refunded);
    went_back(&bazaar, &order, 1_000_000, "listing_unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_for_other_listings_are_left_alone_where_the_operator_says_so() {
    let leave = |config: &mut api::config::Config, _: &fixtures::openbazaar::Node| {
        config.openbazaar.other_listings = api::config::OtherListings::Leave;
    };
    let mut bazaar = Bazaar::with(leave).await;
    list(&bazaar, "a-shirt").await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.node.buy(buyer, Purchase::of("a-shirt", Method::AddressRequest)).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::AwaitingFulfillment);
    let calls = bazaar.attention().await;
    let about = |(subject, what, _): &(String, String, String)| {
        subject.ends_with(&order) && what == "order for something else"
    };
    assert!(calls.iter().any(about), "{calls:?}");
    let (subject, what, _) = calls.iter().find(|call| about(call)).unwrap();
    let seen = json!({"subject": subject, "what": what});
    bazaar.test.post("/v1/attention/seen-to", &bazaar.test.operator, &seen).await.ok();
    assert!(!bazaar.attention().await.iter().any(about));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_another_coin_goes_back_in_that_coin() {
    let ltc = Coin { code: "TLTC".into(), name: "Testnet Litecoin".into(), divisibility: 8 };
    let fil = Coin { code: "TFIL".into(), name: "Testnet Filecoin".into(), divisibility: 18 };
    let mut bazaar = Bazaar::with_node(|node| node.coins.extend([ltc.clone(), fil.clone()]), |_, _| {}).await;
    bazaar.node.fund("TLTC", 10_000_000);
    let device = bazaar.device().await;
    let (slug, buyer) = (Bazaar::slug(&device, 3_600), bazaar.node.buyer());
    let in_coin = |coin: &Coin| Purchase {
        coin: Some(coin.code.clone()),
        amount: Some(777_000),
        ..Purchase::of(&slug, Method::AddressRequest)
    };
    let order = bazaar.node.buy(buyer, in_coin(&ltc)).unwrap();
    let unknown = bazaar.node.buy(buyer, in_coin(&fil)).unwrap();
    bazaar.work().await;
    let row = bazaar.order(&order).await;
    assert_eq!(row["reason"]["code"], "wrong_asset");
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), 777_000);
    let calls = bazaar.attention().await;
    assert!(
        calls.iter().any(|(subject, _, detail)| subject.ends_with(&unknown) && detail.contains("TFIL")),
        "{calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_beyond_the_price_goes_back_and_the_rental_runs() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let slug = Bazaar::slug(&device, 3_600);
    let order = bazaar.node.purchase(buyer, Purchase::of(&slug, Method::AddressRequest)).unwrap();
    bazaar.node.pay(&order, HOUR + 5_000).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    let back = bazaar.seen(&order).refund_address;
    assert_eq!(bazaar.node.received(&back), 5_000);
    // Paid once more, long after it was handed over.
    bazaar.node.pay(&order, 7_000).unwrap();
    bazaar.pass(3_600).await;
    bazaar.node.complete(&order).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.node.received(&back), 12_000);
    let surplus = bazaar.order(&format!("{order}.1")).await;
    assert_eq!((&surplus["reason"]["code"], &surplus["paid"]), (&json!("surplus"), &btc(5_000)));
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overpaid_order_that_is_refused_goes_back_whole() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyers = [bazaar.node.buyer(), bazaar.node.buyer()];
    let slug = Bazaar::slug(&device, 3_600);
    let order = bazaar.node.purchase(buyers[0], Purchase::of(&slug, Method::AddressRequest)).unwrap();
    bazaar.buy(buyers[1], &device, 1, Method::AddressRequest);
    bazaar.work().await;
    bazaar.node.pay(&order, HOUR + 5_000).unwrap();
    bazaar.work().await;
    went_back(&bazaar, &order, HOUR + 5_000, "already_let").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_payment_goes_back_after_a_while_and_what_comes_later_too() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let slug = Bazaar::slug(&device, 3_600);
    let order = bazaar.node.purchase(buyer, Purchase::of(&slug, Method::AddressRequest)).unwrap();
    bazaar.node.pay(&order, HOUR - 300_000).unwrap();
    bazaar.work().await;
    assert!(bazaar.items("/v1/orders").await.is_empty(), "it may still be paid");
    bazaar.pass(86_400).await;
    went_back(&bazaar, &order, HOUR - 300_000, "underpaid").await;
    bazaar.node.pay(&order, 300_000).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), HOUR);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_payment_that_the_node_cannot_give_back_is_on_the_operators_list() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let slug = Bazaar::slug(&device, 3_600);
    let order = bazaar.node.purchase(buyer, Purchase::of(&slug, Method::Direct)).unwrap();
    bazaar.node.pay(&order, 1_000).unwrap();
    bazaar.pass(86_400).await;
    let calls = bazaar.attention().await;
    assert!(
        calls.iter().any(|(subject, what, _)| subject.ends_with(&order) && what == "order waits"),
        "{calls:?}"
    );
}

async fn refund_address(address: &str) {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let wanted = Purchase {
        quantity: 2,
        refund_address: Some(address.into()),
        ..Purchase::of(&Bazaar::slug(&device, 3_600), Method::AddressRequest)
    };
    let order = bazaar.node.buy(buyer, wanted.clone()).unwrap();
    let refused = bazaar.node.buy(buyer, wanted).unwrap();
    bazaar.work().await;
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    bazaar.pass(30).await;
    let calls = bazaar.attention().await;
    let waits: Vec<_> = calls
        .iter()
        .filter(|(_, what, detail)| what == "payment waits" && detail.contains("refund"))
        .collect();
    assert_eq!(waits.len(), 2, "{calls:?}");
    let renter = bazaar.order(&refused).await["renter"].as_str().unwrap().to_owned();
    let to = "mk57dEXGepoBfB2j62q5DwN87dBsPab2py";
    let set = json!({"refund_address": to});
    bazaar.test.patch(&format!("/v1/accounts/{renter}"), &bazaar.test.operator, &set).await.ok();
    for wait in [60, 600, 3_600_i64] {
        bazaar.pass(wait as Seconds).await;
    }
    assert_eq!(bazaar.node.received(to), HOUR + 2 * HOUR, "{:?}", bazaar.settlements("refund").await);
    assert!(!bazaar.attention().await.iter().any(|(_, what, _)| what == "payment waits"));
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_refund_address_waits_for_the_account_to_name_one() {
    refund_address("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_refund_address_waits_for_the_account_to_name_one() {
    refund_address("nonsense").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_device_that_is_gone_goes_back() {
    for how in ["withdrawn", "retired"] {
        let mut bazaar = Bazaar::new().await;
        let device = bazaar.device().await;
        let buyer = bazaar.node.buyer();
        let slug = Bazaar::slug(&device, 3_600);
        let order = bazaar.node.purchase(buyer, Purchase::of(&slug, Method::AddressRequest)).unwrap();
        let path = format!("/v1/devices/{}", device.id);
        let (path, why) =
            if how == "retired" { (path, "device_retired") } else { (path + "/offer", "not_offered") };
        bazaar.test.delete(&path, &bazaar.owner.token).await.ok();
        bazaar.work().await;
        assert!(bazaar.listings().await.is_empty(), "{how}");
        bazaar.node.pay(&order, HOUR).unwrap();
        bazaar.work().await;
        went_back(&bazaar, &order, HOUR, why).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderator_whom_the_offer_does_not_name_is_refused() {
    let mut bazaar = Bazaar::with(|config, node| config.openbazaar.moderators = node.peers().1).await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let slug = Bazaar::slug(&device, 3_600);
    let stranger = Some(bazaar.node.peers().0);
    let wanted = Purchase { moderator: stranger, ..Purchase::of(&slug, Method::Moderated) };
    let order = bazaar.node.buy(buyer, wanted).unwrap();
    bazaar.work().await;
    let row = bazaar.order(&order).await;
    assert_eq!(row["reason"]["code"], "moderator_refused");
    assert_eq!(bazaar.seen(&order).held, 0, "the buyer's node took it out of the escrow");
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), HOUR, HOUR)]);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_at_a_price_of_yesterday_is_taken_if_it_pays_enough_and_else_goes_back() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let (buyer, slug) = (bazaar.node.buyer(), Bazaar::slug(&device, 3_600));
    let order = bazaar.node.purchase(buyer, Purchase::of(&slug, Method::AddressRequest)).unwrap();
    let dearer = |price: i128| {
        json!({
            "title": "A small computer", "min_term_s": 60, "max_term_s": 31_536_000,
            "rates": [{"per": "hour", "price": btc(price)}],
        })
    };
    bazaar.offer(&device, &dearer(HOUR + 1)).await;
    bazaar.node.pay(&order, HOUR).unwrap();
    bazaar.work().await;
    went_back(&bazaar, &order, HOUR, "wrong_amount").await;
    let order = bazaar.node.purchase(buyer, Purchase::of(&slug, Method::AddressRequest)).unwrap();
    bazaar.offer(&device, &dearer(HOUR - 1_000)).await;
    bazaar.node.pay(&order, HOUR + 1).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), 1_001);
    bazaar.books_agree().await;
}
