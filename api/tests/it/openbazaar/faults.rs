//! Every call that the connector makes, with everything that a node was seen to do wrong, and the server killed while it
//! waits: in the end each settlement is paid exactly once, or in quarantine.
//!
//! Each case plays one story: a rental that ends early, two orders that are refused (one of them placed while the node was
//! away), and the owner's payout. Without the settlement's start before the call, the search for it after, or with a second
//! try of a call whose outcome nobody knows, the sums at the end differ.

use std::time::Duration;

use fixtures::openbazaar::{Call, Fault, Method, Purchase};

use super::{
    kit::{Bazaar, HOUR, OWNER},
    money::house,
};

/// How the one call goes.
#[derive(Debug, Clone)]
enum Wrong {
    /// The node misbehaves, so many times.
    Node(Fault, usize),
    /// The server is killed before the call has its effect.
    CrashBefore,
    /// The server is killed after the call had its effect.
    CrashAfter,
}

fn wrongs(call: Call) -> Vec<Wrong> {
    let text = |text: &str| text.to_owned();
    let mut faults = vec![
        Fault::Panic,
        Fault::PanicAfter,
        Fault::Refuse(500, text("something broke")),
        Fault::Refuse(400, text("order must be AWAITING_FULFILLMENT, or PARTIALLY_FULFILLED")),
        Fault::Refuse(404, text("order not found")),
        Fault::ErrorAfter(500, text("failed retrieving new wallet balance")),
        Fault::ErrorAfter(400, text("ERROR_INSUFFICIENT_FUNDS")),
        Fault::SlowEffect(Duration::from_millis(1_300)),
        Fault::SlowAnswer(Duration::from_millis(1_300)),
    ];
    if matches!(call, Call::Spend | Call::Refund | Call::CloseDispute) {
        faults.push(Fault::AfterBroadcast(text("failed persisting transaction metadata")));
    }
    if matches!(call, Call::Spend | Call::Refund) {
        faults.push(Fault::NeverBroadcast);
    }
    if call == Call::Refund {
        faults.push(Fault::NotStored);
    }
    if call == Call::Order {
        faults.push(Fault::EmptyRefundTransaction);
    }
    let once = faults.iter().cloned().map(|fault| Wrong::Node(fault, 1));
    let often = [Fault::Panic, Fault::PanicAfter].map(|fault| Wrong::Node(fault, 3));
    once.chain(often).chain([Wrong::CrashBefore, Wrong::CrashAfter]).collect()
}

/// Sets the fault up; a crash comes with the next call of the kind.
fn arm(bazaar: &Bazaar, call: Call, wrong: &Wrong) {
    match wrong {
        Wrong::Node(fault, times) => bazaar.node.misbehave_times(call, fault, *times),
        Wrong::CrashBefore => bazaar.node.misbehave(call, Fault::HoldEffect),
        Wrong::CrashAfter => bazaar.node.misbehave(call, Fault::HoldAnswer),
    }
}

/// Works through; where the call is held, the server is killed and comes back while the node still works on it.
async fn work(bazaar: &mut Bazaar, wrong: &Wrong) {
    if matches!(wrong, Wrong::CrashBefore | Wrong::CrashAfter) && bazaar.work_until_held().await {
        bazaar.restart().await;
        bazaar.persist().await;
        bazaar.node.release();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..4 {
        bazaar.persist().await;
    }
}

async fn story(call: Call, wrong: Wrong, method: Method) {
    let mut bazaar = Bazaar::with(|config, node| {
        config.openbazaar.timeout_s = 1;
        house(config, node);
    })
    .await;
    let device = bazaar.enrol().await;
    arm(&bazaar, call, &wrong);
    work(&mut bazaar, &wrong).await;
    let buyers = [(); 3].map(|()| bazaar.node.buyer());
    let wanted = Purchase { quantity: 4, ..Purchase::of(&Bazaar::slug(&device, 3_600), method) };
    let [order, refused, away] = [
        (buyers[0], wanted.clone()),
        (buyers[1], Purchase { method: Method::AddressRequest, ..wanted.clone() }),
        (buyers[2], Purchase { method: Method::Direct, ..wanted }),
    ]
    .map(|(buyer, wanted)| bazaar.node.purchase(buyer, wanted).unwrap());
    bazaar.node.pay(&order, 4 * HOUR).unwrap();
    work(&mut bazaar, &wrong).await;
    for order in [&refused, &away] {
        bazaar.node.pay(order, 4 * HOUR).unwrap();
    }
    work(&mut bazaar, &wrong).await;
    bazaar.test.advance(20);
    bazaar.persist().await;
    bazaar.test.advance(3_580);
    bazaar.end_all().await;
    work(&mut bazaar, &wrong).await;
    for seconds in [60, 700, 3_600, 3_600] {
        bazaar.test.advance(seconds);
        bazaar.test.run_due().await;
        work(&mut bazaar, &wrong).await;
    }
    judge(&bazaar, [&order, &refused, &away], method)
        .await
        .unwrap_or_else(|why| panic!("{call:?} {wrong:?} {method:?}: {why}"));
}

/// Each settlement came to one payment or to a quarantine, and nothing else was paid.
async fn judge(bazaar: &Bazaar, orders: [&String; 3], method: Method) -> Result<(), String> {
    let all = bazaar.items("/v1/settlements?limit=200").await;
    for order in orders {
        let row = bazaar.order(order).await;
        if row["status"] == "received" {
            return Err(format!("an order is not decided: {row:#}"));
        }
    }
    if all.len() < 3 {
        return Err(format!("not everything came to be due: {all:#?}"));
    }
    let mut in_doubt = 0;
    for item in &all {
        match item["status"].as_str().unwrap() {
            "settled" => {}
            "quarantined" => in_doubt += 1,
            other => return Err(format!("{other}: {item:#} {:#?}", bazaar.attention().await)),
        }
    }
    let sum = |to: &dyn Fn(&serde_json::Value) -> bool, doubt: bool| -> i128 {
        let of = all.iter().filter(|item| to(item) && (doubt || item["status"] == "settled"));
        of.map(|item| {
            crate::money_town::minor(
                &item[if item["status"] == "settled" { "moved" } else { "amount" }]["amount"],
            )
        })
        .sum()
    };
    let mut places = vec![(OWNER.to_owned(), None)];
    places.extend(orders.map(|order| (bazaar.seen(order).refund_address, Some(order.clone()))));
    for (address, order) in places {
        // What a moderator gives goes elsewhere; what left an escrow pays the miner on its way.
        let scripted =
            order.as_ref().is_some_and(|order| bazaar.seen(order).method != Method::AddressRequest);
        if scripted && method == Method::Moderated && order.as_ref() == Some(orders[0]) {
            continue;
        }
        let about = |item: &serde_json::Value| match &order {
            Some(order) => item["kind"] == "refund" && item["order_id"].as_str() == Some(order),
            None => item["kind"] == "payout",
        };
        let (paid, least, most) = (bazaar.node.received(&address), sum(&about, false), sum(&about, true));
        let least = if scripted { least - 2_000 } else { least };
        if !(least..=most).contains(&paid) {
            return Err(format!("{paid} arrived at {order:?}, {least} to {most} were paid: {all:#?}"));
        }
    }
    if in_doubt == 0 {
        bazaar.books_agree().await;
    }
    Ok(())
}

/// Plays all cases of some calls.
async fn play(calls: &[Call], methods: &[Method]) {
    for call in calls {
        for wrong in wrongs(*call) {
            for method in methods {
                story(*call, wrong.clone(), *method).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spending_goes_wrong() {
    play(&[Call::Spend], &[Method::AddressRequest]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunding_goes_wrong() {
    play(&[Call::Refund], &[Method::AddressRequest]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_into_the_wallet_goes_wrong() {
    play(&[Call::Transactions], &[Method::Direct]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_orders_goes_wrong() {
    play(&[Call::Order], &[Method::Moderated]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_sales_and_notifications_goes_wrong() {
    play(&[Call::Sales, Call::Notifications], &[Method::Direct]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confirming_and_fulfilling_goes_wrong() {
    play(&[Call::Confirm, Call::Fulfil], &[Method::AddressRequest]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn putting_up_and_removing_listings_goes_wrong() {
    play(&[Call::CreateListing, Call::DeleteListing], &[Method::AddressRequest]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disputing_goes_wrong() {
    play(&[Call::OpenDispute, Call::CloseDispute, Call::ReleaseFunds], &[Method::Moderated]).await;
}
