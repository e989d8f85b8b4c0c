//! What the recordings of a real node say, as it is read here.

use super::*;
use crate::openbazaar::plan::gone_back;

fn recorded<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = format!("{}/../fixtures/openbazaar/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn recorded_orders_say_how_they_are_paid_and_what_left() {
    let awaiting: Order = recorded("order_mod_awaiting");
    assert_eq!((awaiting.state, awaiting.payment().method), (State::AwaitingFulfillment, Method::Moderated));
    assert_eq!((awaiting.received(0), awaiting.quantity(), awaiting.out()), (1_000_000, 1, None));
    assert_eq!(awaiting.asset().map(Asset::code), Some("BTC"));
    assert!(awaiting.placed().is_some() && !awaiting.slug().is_empty());
    assert!(!awaiting.payment().moderator.is_empty());
    assert!(!awaiting.contract.buyer_order.refund_address.is_empty());
    assert!(!awaiting.contract.buyer_order.buyer_id.peer_id.is_empty());

    let split: Order = recorded("order_mod_decided");
    assert_eq!(split.out().map(|out| out.big_value.0), Some(-1_000_000));
    let payout = split.split().unwrap();
    let parts = [&payout.buyer_output, &payout.vendor_output, &payout.moderator_output];
    assert_eq!(parts.map(|part| part.big_amount.0), [312_675, 625_350, 49_868]);

    let refunded: Order = recorded("order_mod_refunded");
    assert_eq!(refunded.state, State::Refunded);
    assert_eq!(gone_back(&refunded).map(|record| record.big_value.0), Some(-1_000_000));

    let refunded: Order = recorded("order_addrreq_refunded");
    assert_eq!((refunded.payment().method, refunded.received(0)), (Method::AddressRequest, 1_000_000));
    assert_eq!(gone_back(&refunded).map(|record| record.big_value.0), Some(1_000_000));
}

#[test]
fn what_leaves_in_several_inputs_is_one_movement_of_no_more_than_came() {
    let record =
        |txid: &str, value: i128| Record { txid: txid.into(), big_value: Units(value), ..Record::default() };
    let mut order: Order = recorded("order_mod_awaiting");
    order.payment_address_transactions =
        vec![record("a", 400), record("b", 600), record("x", -400), record("x", -600)];
    assert_eq!(order.out().map(|out| out.big_value.0), Some(-1_000));
    order.payment_address_transactions.push(record("x", -600));
    assert_eq!(order.out().map(|out| out.big_value.0), Some(-1_000), "said twice");
    let dead = Record { height: 4_294_967_295, ..record("c", 5_000) };
    order.payment_address_transactions.push(dead);
    assert_eq!(order.received(0), 1_000);
}

#[test]
fn recorded_lists_are_read() {
    let sales: serde_json::Value = recorded("sales_vendor");
    let sales: Vec<Sale> = serde_json::from_value(sales["sales"].clone()).unwrap();
    assert!(sales.len() > 3 && sales.iter().all(|sale| State::of(&sale.state).is_some()));
    let listings: Vec<Listed> = recorded("listings");
    assert!(!listings.is_empty());
    let history: Transactions = recorded("wallet_transactions");
    let spent = history.transactions.iter().filter(|tx| tx.value.0 < 0 && !tx.memo.is_empty());
    assert!(spent.count() >= 2 && history.transactions.iter().all(|tx| time_of(&tx.timestamp).is_some()));
    assert!(history.transactions.iter().any(Transaction::is_dead));
    let notes: Notifications = recorded("notifications_vendor");
    assert!(notes.notifications.iter().all(|row| !row.notification.notification_id.is_empty()));
    assert!(notes.notifications.iter().any(|row| !row.notification.order_id.is_empty()));
}

#[test]
fn coins_of_a_testnet_stand_for_their_mainnets() {
    let code = |coin: &str| asset_of(coin).map(Asset::code);
    assert_eq!([code("TBTC"), code("BTC"), code("TETH")], [Some("BTC"), Some("BTC"), Some("ETH")]);
    assert_eq!([code("FIL"), code("TT"), code("")], [None, None, None]);
}
