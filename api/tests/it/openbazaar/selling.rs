//! Selling, handing over, extending.

use fixtures::openbazaar::{Call, Fault, Method, Purchase, State};
use serde_json::{Value, json};

use super::kit::{Bazaar, HOUR, btc};

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

/// The listing's price on the node.
async fn price(bazaar: &Bazaar, slug: &str) -> String {
    let listing = bazaar.listing(slug).await;
    listing["listing"]["item"]["bigPrice"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rate_is_listed_and_quantities_buy_multiples_of_it() {
    let mut bazaar = Bazaar::new().await;
    let rates = json!([
        {"per": "hour", "price": btc(HOUR)}, {"per": "day", "price": btc(20 * HOUR)}, {"per": "week", "price": btc(100 * HOUR)},
    ]);
    let device = bazaar.device_by(rates).await;
    let slugs = [3_600, 604_800, 86_400].map(|term_s| Bazaar::slug(&device, term_s));
    assert_eq!(bazaar.listings().await, slugs);
    assert_eq!(price(&bazaar, &slugs[2]).await, (20 * HOUR).to_string());
    let buyer = bazaar.node.buyer();
    // Thirty hours are paid by the hour; by the day they cost less, and the difference goes back.
    let order = bazaar.buy(buyer, &device, 30, Method::AddressRequest);
    bazaar.work().await;
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), 5 * HOUR);
    let contract = bazaar.note(&order)["contract"].clone();
    let contract = bazaar.test.get(&format!("/v1/contracts/{contract}"), &bazaar.test.operator).await.ok();
    assert_eq!(contract["segments"][0]["end"], "2026-11-23T15:00:00Z");
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_says_what_the_offer_says_and_goes_with_it() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let slug = Bazaar::slug(&device, 3_600);
    assert_eq!(price(&bazaar, &slug).await, HOUR.to_string());
    let path = format!("/v1/devices/{}/offer", device.id);
    let offer = |amount: Value, asset: &str| {
        json!({
            "title": "Faster <b>& \"better\"</b>", "min_term_s": 60, "max_term_s": 31_536_000,
            "rates": [{"per": "hour", "price": {"amount": amount, "asset": asset}}],
        })
    };
    bazaar.offer(&device, &offer(json!("0.02"), "BTC")).await;
    assert_eq!(price(&bazaar, &slug).await, (2 * HOUR).to_string());
    let listing = bazaar.listing(&slug).await;
    assert_eq!(
        listing["listing"]["item"]["title"], "Faster b better/b, 1 hour",
        "nothing that the node would mangle"
    );
    bazaar.offer(&device, &offer(json!("0.02"), "USD")).await;
    assert!(bazaar.listings().await.is_empty(), "the node has no wallet for dollars");
    bazaar.offer(&device, &offer(json!("0.02"), "BTC")).await;
    assert_eq!(bazaar.listings().await.len(), 1);
    bazaar.test.delete(&path, &bazaar.owner.token).await.ok();
    bazaar.work().await;
    assert!(bazaar.listings().await.is_empty(), "withdrawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_device_is_not_listed_until_it_is_heard_of() {
    let mut bazaar = Bazaar::with(|config, _| config.devices.lost_after_s = 300).await;
    let device = bazaar.device().await;
    bazaar.pass(600).await;
    assert!(bazaar.listings().await.is_empty());
    bazaar.test.check_in(&device).await.ok();
    bazaar.work().await;
    assert_eq!(bazaar.listings().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_listed_sold_to_its_renter_and_gone() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 2, Method::AddressRequest);
    bazaar.work().await;
    let listing = bazaar.extend(&order, 7_200).await;
    assert!(listing.len() <= 65 && price(&bazaar, &listing).await == (2 * HOUR).to_string());
    let paid = bazaar.node.buy(buyer, Purchase::of(&listing, Method::AddressRequest)).unwrap();
    bazaar.work().await;
    assert!(bazaar.listings().await.is_empty(), "bought");
    let note = bazaar.note(&paid);
    assert_eq!(note["until"], "2026-11-22T13:00:00Z");
    assert!(!note.contains_key("password"), "{note:?}");
    bazaar.pass(4 * 3_600).await;
    assert_eq!(bazaar.node.received(super::kit::OWNER), 4 * HOUR * 9 / 10);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_nobody_buys_is_gone_after_an_hour_and_comes_too_late() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 20, Method::AddressRequest);
    bazaar.work().await;
    let listing = bazaar.extend(&order, 3_600).await;
    let late = bazaar.node.purchase(buyer, Purchase::of(&listing, Method::AddressRequest)).unwrap();
    bazaar.pass(3_599).await;
    assert_eq!(bazaar.listings().await, std::slice::from_ref(&listing));
    bazaar.pass(1).await;
    assert!(bazaar.listings().await.is_empty());
    bazaar.node.pay(&late, HOUR).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.order(&late).await["reason"]["code"], "extension_lapsed");
    assert_eq!(bazaar.node.received(&bazaar.seen(&late).refund_address), HOUR);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_that_are_lost_doubled_or_out_of_order_change_nothing() {
    for fault in [Fault::Lost, Fault::Twice, Fault::NotKept, Fault::OutOfOrder] {
        let mut bazaar = Bazaar::new().await;
        let devices = [bazaar.device().await, bazaar.device().await];
        bazaar.node.misbehave_times(Call::Notify, &fault, 100);
        let buyer = bazaar.node.buyer();
        let orders = [0, 1, 0].map(|i: usize| bazaar.buy(buyer, &devices[i], 1, Method::AddressRequest));
        bazaar.work().await;
        let states = orders.each_ref().map(|order| bazaar.seen(order).state);
        assert_eq!(states, [State::Fulfilled, State::Fulfilled, State::Refunded], "{fault:?}");
        assert_eq!(bazaar.node.calls(Call::Fulfil), 2, "{fault:?}");
        bazaar.books_agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_on_the_operators_list_and_nothing_is_lost() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 2, Method::AddressRequest);
    bazaar.node.down().await;
    bazaar.connector.cycle().await.unwrap_err();
    bazaar.test.advance(61);
    bazaar.connector.cycle().await.unwrap_err();
    let away = |calls: &[(String, String, String)]| calls.iter().any(|(_, what, _)| what == "node away");
    assert!(away(&bazaar.attention().await));
    let status = bazaar.test.get("/v1/openbazaar", &bazaar.test.operator).await.ok();
    assert!(status["error"].as_str().unwrap().contains("cannot be reached"), "{status}");
    bazaar.node.up().await.unwrap();
    bazaar.work().await;
    assert!(!away(&bazaar.attention().await));
    assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
    let status = bazaar.test.get("/v1/openbazaar", &bazaar.test.operator).await.ok();
    assert_eq!(
        (&status["error"], &status["leads"], &status["coins"]),
        (&json!(null), &json!(true), &json!(["TBTC"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_said_and_the_password_is_not() {
    let mut bazaar = Bazaar::new().await;
    let mut config = bazaar.test.config().clone();
    config.openbazaar.password = api::config::Secret("not the one".into());
    let clock = bazaar.test.clock.clone();
    bazaar.test = crate::app::TestApp::with_clock(config, clock).await;
    bazaar.connector = api::openbazaar::Connector::new(&bazaar.test.app).unwrap().unwrap();
    let error = bazaar.connector.cycle().await.unwrap_err().to_string();
    assert!(error.contains("credentials") && !error.contains("not the one"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_that_are_nobodys_are_removed_and_missing_ones_put_up_again() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let slug = Bazaar::slug(&device, 3_600);
    let mut stray = bazaar.listing(&slug).await["listing"].clone();
    for name in ["berth-nothing", "a-shirt", &format!("berth-{}-60", "0".repeat(32))] {
        stray["slug"] = name.into();
        bazaar.call(reqwest::Method::POST, "/ob/listing", &stray).await;
    }
    bazaar.call(reqwest::Method::DELETE, &format!("/ob/listing/{slug}"), &json!({})).await;
    bazaar.pass(3_600).await;
    assert_eq!(bazaar.listings().await, ["a-shirt".to_owned(), slug]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_works_on_the_node_and_another_takes_over_when_it_is_gone() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let mut second = api::openbazaar::Connector::new(&bazaar.test.app).unwrap().unwrap();
    let calls = |bazaar: &Bazaar| bazaar.node.calls(Call::Sales);
    let before = calls(&bazaar);
    second.cycle().await.unwrap();
    assert_eq!(calls(&bazaar), before, "the second one waits");
    let buyers = [bazaar.node.buyer(), bazaar.node.buyer()];
    let orders = buyers.map(|buyer| bazaar.buy(buyer, &device, 4, Method::AddressRequest));
    // The first one is frozen in the middle of a payment, and goes on when the second one has taken over.
    bazaar.node.misbehave(Call::Refund, Fault::HoldEffect);
    let held = bazaar.work_until_held().await;
    assert!(held);
    bazaar.test.advance(31);
    std::mem::swap(&mut bazaar.connector, &mut second);
    bazaar.persist().await;
    assert_eq!(bazaar.settlements("refund").await, [("started".into(), 4 * HOUR, 0)]);
    bazaar.node.release();
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    bazaar.pass(60).await;
    assert_eq!(bazaar.settlements("refund").await, [("settled".into(), 4 * HOUR, 4 * HOUR)]);
    let refused = orders.iter().find(|order| bazaar.seen(order).state == State::Refunded).unwrap();
    assert_eq!(bazaar.node.received(&bazaar.seen(refused).refund_address), 4 * HOUR);
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_that_both_believe_to_lead_pay_once() {
    let mut bazaar = Bazaar::with(|config, _| config.openbazaar.lease_s = 1).await;
    let devices = [bazaar.device().await, bazaar.device().await, bazaar.device().await];
    let buyer = bazaar.node.buyer();
    let orders: Vec<_> = devices
        .iter()
        .chain(&devices)
        .map(|device| bazaar.buy(buyer, device, 4, Method::AddressRequest))
        .collect();
    let mut second = api::openbazaar::Connector::new(&bazaar.test.app).unwrap().unwrap();
    for round in 0..12 {
        bazaar.test.advance(1);
        let (first, second) = tokio::join!(bazaar.connector.cycle(), async {
            bazaar.test.advance(1);
            second.cycle().await
        });
        first.unwrap();
        second.unwrap();
        if round == 5 {
            bazaar.end_all().await;
        }
        bazaar.test.settle().await;
    }
    for order in &orders {
        let seen = bazaar.seen(order);
        let received = bazaar.node.received(&seen.refund_address);
        assert!(received <= 4 * HOUR && (received > 0), "{order}: {received}");
    }
    bazaar.pass(3_600).await;
    bazaar.books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_says_over_its_websocket_makes_it_look_at_once() {
    let mut bazaar = Bazaar::with(|config, _| config.openbazaar.poll_s = 100_000).await;
    let device = bazaar.device().await;
    bazaar.connector.leave().await;
    let stop = bazaar.test.app.stop.child_token();
    let running = tokio::spawn(api::openbazaar::run(bazaar.test.app.clone(), stop.clone()));
    let status = bazaar.test.app.openbazaar.subscribe();
    while !status.has_changed().unwrap() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 1, Method::AddressRequest);
    let handed_over = async {
        while bazaar.seen(&order).state != State::Fulfilled {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), handed_over).await.expect("nobody looked");
    stop.cancel();
    running.await.unwrap();
}
