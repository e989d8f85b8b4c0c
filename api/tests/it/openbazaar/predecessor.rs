//! What went wrong in the listing manager of the system that Berth replaces, defect by defect.

use fixtures::openbazaar::{Call, Fault, Method, Purchase, State};
use serde_json::{Value, json};

use super::kit::{Bazaar, HOUR, OWNER, btc};

/// The newest unread notification was about something else: all sales were blocked for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_unrelated_notification_blocks_no_sale() {
    let mut bazaar = Bazaar::new().await;
    let devices = [bazaar.device().await, bazaar.device().await];
    let buyer = bazaar.node.buyer();
    let first = bazaar.buy(buyer, &devices[0], 1, Method::AddressRequest);
    bazaar.work().await;
    let second = bazaar.buy(buyer, &devices[1], 1, Method::AddressRequest);
    bazaar.node.say(buyer, "", "hello");
    for _ in 0..60 {
        bazaar.node.remind(&first, 1).unwrap();
    }
    bazaar.work().await;
    assert_eq!(bazaar.seen(&second).state, State::Fulfilled);
}

/// Marking as read failed: the same order was fulfilled at every poll and never recorded.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_handed_over_and_recorded_once_whatever_is_marked_as_read() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    for call in [Call::MarkRead, Call::MarkAllRead] {
        bazaar.node.misbehave_times(call, &Fault::Panic, 100);
    }
    let buyer = bazaar.node.buyer();
    bazaar.buy(buyer, &device, 1, Method::AddressRequest);
    for _ in 0..5 {
        bazaar.pass(30).await;
    }
    assert_eq!(bazaar.node.calls(Call::Fulfil), 1);
    assert_eq!(bazaar.items("/v1/orders").await.len(), 1);
    assert_eq!(bazaar.node.calls(Call::MarkRead) + bazaar.node.calls(Call::MarkAllRead), 0);
}

/// Reading the order failed after it was fulfilled: it was let, and the payment never known.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_recorded_before_anything_is_handed_over() {
    for fails in 1..6 {
        let mut bazaar = Bazaar::new().await;
        let device = bazaar.device().await;
        let buyer = bazaar.node.buyer();
        let order = bazaar.buy(buyer, &device, 1, Method::AddressRequest);
        // The first looks go well, the next ones do not.
        bazaar.node.misbehave(Call::Fulfil, Fault::PanicAfter);
        bazaar.node.misbehave_times(Call::Order, &Fault::SlowAnswer(std::time::Duration::ZERO), fails);
        bazaar.node.misbehave_times(Call::Order, &Fault::Panic, 4);
        bazaar.persist().await;
        let handed_over = bazaar.seen(&order).note.is_some();
        let recorded = bazaar.items("/v1/orders").await.len() == 1;
        assert!(recorded || !handed_over);
        for _ in 0..8 {
            bazaar.test.advance(120);
            bazaar.persist().await;
        }
        assert_eq!(bazaar.seen(&order).state, State::Fulfilled);
        assert_eq!(bazaar.order(&order).await["status"], "accepted");
        bazaar.books_agree().await;
    }
}

/// A flag of a renewal that failed was still set for the next dead device: it was refunded but did not expire.
#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_failed_changes_nothing_for_the_next_dead_device() {
    let mut bazaar = Bazaar::with(|config, _| {
        config.devices.lost_after_s = 300;
        config.devices.grace_s = 300;
    })
    .await;
    let devices = [bazaar.device().await, bazaar.device().await];
    let buyers = [bazaar.node.buyer(), bazaar.node.buyer()];
    let orders = [0, 1].map(|i: usize| bazaar.buy(buyers[i], &devices[i], 4, Method::AddressRequest));
    bazaar.work().await;
    let listing = bazaar.extend(&orders[0], 3_600).await;
    let renewal = bazaar.node.purchase(buyers[0], Purchase::of(&listing, Method::AddressRequest)).unwrap();
    bazaar.node.pay(&renewal, HOUR - 1).unwrap();
    for _ in 0..16 {
        bazaar.test.check_in(&devices[0]).await.ok();
        bazaar.pass(60).await;
    }
    let contract = bazaar.note(&orders[1])["contract"].clone();
    let dead = bazaar.test.get(&format!("/v1/contracts/{contract}"), &bazaar.test.operator).await.ok();
    assert_eq!(
        (&dead["status"], &dead["ended_by"]),
        (&json!("terminated"), &json!("device_lost")),
        "{dead:#}"
    );
    let back = bazaar.node.received(&bazaar.seen(&orders[1]).refund_address);
    assert_eq!(back, 4 * HOUR, "it was never heard of");
    let contract = bazaar.note(&orders[0])["contract"].clone();
    let other = bazaar.test.get(&format!("/v1/contracts/{contract}"), &bazaar.test.operator).await.ok();
    assert_eq!(other["status"], "running");
}

/// A device whose owner had named it "renewal…" made a new sale count as an extension.
#[tokio::test(flavor = "multi_thread")]
async fn a_title_that_looks_like_an_extension_is_a_title() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let offer = json!({
        "title": "renewal berth-x- extension", "min_term_s": 60, "max_term_s": 31_536_000,
        "rates": [{"per": "hour", "price": btc(HOUR)}],
    });
    bazaar.offer(&device, &offer).await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 1, Method::AddressRequest);
    bazaar.work().await;
    assert_eq!(bazaar.note(&order)["until"], "2026-11-22T10:00:00Z");
}

/// Old documents were put back as a whole: a removed expiry came back.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_changed_changes_no_rental() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 2, Method::AddressRequest);
    bazaar.work().await;
    let contract = format!("/v1/contracts/{}", bazaar.note(&order)["contract"]);
    let before = bazaar.test.get(&contract, &bazaar.test.operator).await.ok();
    for hours in 1..4 {
        let offer = json!({
            "title": "Other", "min_term_s": 60, "max_term_s": 31_536_000,
            "rates": [{"per": "hour", "price": btc(HOUR * hours)}],
        });
        bazaar.offer(&device, &offer).await;
        bazaar.pass(60).await;
    }
    let after = bazaar.test.get(&contract, &bazaar.test.operator).await.ok();
    assert_eq!(before["segments"], after["segments"]);
    assert!(bazaar.listings().await.is_empty(), "what is let stays unlisted, whatever changes");
}

/// A refund that failed was never tried again, and stopped those after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_is_tried_again_and_holds_up_no_other() {
    let mut bazaar = Bazaar::new().await;
    let devices = [bazaar.device().await, bazaar.device().await];
    let buyer = bazaar.node.buyer();
    let orders = devices.each_ref().map(|device| bazaar.buy(buyer, device, 4, Method::AddressRequest));
    bazaar.work().await;
    bazaar.node.misbehave(Call::Spend, Fault::Refuse(400, "ERROR_INSUFFICIENT_FUNDS".into()));
    bazaar.end_all().await;
    bazaar.work().await;
    let mut now = bazaar.settlements("refund").await;
    now.sort();
    assert_eq!(now, [("failed".into(), 4 * HOUR, 0), ("settled".into(), 4 * HOUR, 4 * HOUR)]);
    bazaar.pass(60).await;
    for order in &orders {
        assert_eq!(bazaar.node.received(&bazaar.seen(order).refund_address), 4 * HOUR);
    }
    bazaar.books_agree().await;
}

/// Two parts of the system settled the same list: refunds were lost, or paid twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_registers_while_its_refund_is_paid_leads_to_one_payment() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::AddressRequest);
    bazaar.work().await;
    bazaar.end_all().await;
    bazaar.node.misbehave(Call::Spend, Fault::HoldAnswer);
    assert!(bazaar.work_until_held().await);
    let again = bazaar.test.register(&device).await;
    assert_eq!(again.problem(), (409, "epoch-not-erased"));
    bazaar.test.erase(&device).await.ok();
    bazaar.test.register(&device).await.ok();
    bazaar.node.release();
    bazaar.pass(60).await;
    assert_eq!(bazaar.node.received(&bazaar.seen(&order).refund_address), 4 * HOUR);
    bazaar.books_agree().await;
}

/// What had expired stayed on the list of what was let.
#[tokio::test(flavor = "multi_thread")]
async fn a_rental_that_expired_is_let_no_more() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 1, Method::AddressRequest);
    bazaar.work().await;
    bazaar.pass(3_600).await;
    assert!(bazaar.items("/v1/contracts?status=running").await.is_empty());
    let state = bazaar.test.get(&format!("/v1/devices/{}", device.id), &bazaar.owner.token).await.ok();
    assert_eq!(state["is_let"], false);
    bazaar.node.complete(&order).unwrap();
    bazaar.work().await;
    let status = bazaar.test.get("/v1/openbazaar", &bazaar.test.operator).await.ok();
    assert_eq!((&status["open_orders"], &status["waiting_payments"]), (&json!(0), &json!(0)));
}

/// Long names were cut and lost the id; equal names got digits at their end.
#[tokio::test(flavor = "multi_thread")]
async fn devices_with_the_same_long_title_are_told_apart() {
    let mut bazaar = Bazaar::new().await;
    let devices = [bazaar.device().await, bazaar.device().await];
    let offer = json!({
        "title": "x".repeat(120), "min_term_s": 60, "max_term_s": 31_536_000,
        "rates": [{"per": "hour", "price": btc(HOUR)}],
    });
    for device in &devices {
        bazaar.offer(device, &offer).await;
    }
    let mut slugs = devices.each_ref().map(|device| Bazaar::slug(device, 3_600));
    slugs.sort();
    assert_eq!(bazaar.listings().await, slugs);
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &devices[1], 1, Method::AddressRequest);
    bazaar.work().await;
    assert_eq!(bazaar.order(&order).await["item"]["device"], json!(devices[1].id));
}

/// A node that did not answer made registering fail half-way, after the refund and the new password.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_registers_while_the_node_is_away() {
    let mut bazaar = Bazaar::new().await;
    bazaar.node.down().await;
    let device = bazaar.enrol().await;
    bazaar.connector.cycle().await.unwrap_err();
    bazaar.node.up().await.unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.listings().await, [Bazaar::slug(&device, 3_600)]);
}

/// Anybody could buy a renewal, and got the renter's login with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_buys_an_extension_is_paid_back_and_learns_nothing() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let (renter, stranger) = (bazaar.node.buyer(), bazaar.node.buyer());
    let order = bazaar.buy(renter, &device, 2, Method::AddressRequest);
    bazaar.work().await;
    let listing = bazaar.extend(&order, 3_600).await;
    let bought = bazaar.node.buy(stranger, Purchase::of(&listing, Method::AddressRequest)).unwrap();
    bazaar.work().await;
    assert_eq!(bazaar.order(&bought).await["reason"]["code"], "not_the_renter");
    assert_eq!(bazaar.seen(&bought).note, None);
    assert_eq!(bazaar.node.received(&bazaar.seen(&bought).refund_address), HOUR);
    assert_eq!(bazaar.listings().await, [listing], "the renter can still buy it");
    bazaar.books_agree().await;
}

/// Every listing had a coupon of sixty percent.
#[tokio::test(flavor = "multi_thread")]
async fn no_listing_has_a_coupon() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let listing = bazaar.listing(&Bazaar::slug(&device, 3_600)).await;
    let coupons = listing["listing"]["coupons"].as_array().map_or(0, Vec::len);
    assert_eq!(coupons, 0, "{listing:#}");
    assert_eq!(listing["listing"]["metadata"]["priceModifier"], Value::from(0));
}

/// A restart of the server locked the listing manager out for ever.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_of_the_node_and_the_server_need_nobody() {
    let mut bazaar = Bazaar::new().await;
    let device = bazaar.device().await;
    let buyer = bazaar.node.buyer();
    let order = bazaar.buy(buyer, &device, 4, Method::AddressRequest);
    bazaar.work().await;
    bazaar.node.restart().await.unwrap();
    bazaar.restart().await;
    bazaar.test.advance(3_600);
    bazaar.terminate(&order).await;
    bazaar.restart().await;
    bazaar.node.restart().await.unwrap();
    bazaar.pass(60).await;
    let payouts = bazaar.settlements("payout").await;
    assert_eq!((payouts.len(), payouts[0].2), (1, bazaar.node.received(OWNER)));
    assert!(bazaar.node.received(&bazaar.seen(&order).refund_address) > 2 * HOUR);
    bazaar.books_agree().await;
}
