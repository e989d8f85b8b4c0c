//! Money on its way out: paid by segment, gathered in purses, moved by hand, stalled, short, and swept.

use domain::{event::canonical_json, key::Digest};
use serde_json::{Value, json};

use crate::{money_town::Town, world::usd};

/// A town with a refund of 3.00 USD that is due.
async fn refunding(change: impl FnOnce(&mut api::config::Config)) -> (Town, String) {
    let town = Town::new(change).await;
    town.test.advance(18_000);
    town.terminate().await;
    let refund = town.due("refund").await;
    (town, refund)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_rental_is_paid_segment_by_segment_once_the_device_was_heard_of_after_each() {
    let town = Town::new(|config| config.policy.segment_payout_after_s = 36_000).await;
    town.extend(3_600, usd("0.60")).await;
    town.test.advance(37_800);
    town.test.run_due().await;
    assert!(town.settlements().await.is_empty(), "nobody knows yet whether the device was there to the end");
    town.test.check_in(&town.device).await;
    town.test.run_due().await;
    let contract = town.contract().await;
    assert_eq!((&contract["status"], &contract["payout"]), (&json!("running"), &json!(null)));
    let verdicts = [&contract["segments"][0]["verdict"], &contract["segments"][1]["verdict"]];
    assert_eq!(verdicts, ["closed", "pending"]);
    let quote = format!("/v1/contracts/{}/refund-quote", town.contract);
    let quote = town.test.get(&quote, &town.renter.token).await.ok();
    let back = [&quote["refunds"][0]["amount"], &quote["refunds"][1]["amount"], &quote["total"]];
    assert_eq!(back, [&usd("0.00"), &usd("0.30"), &usd("0.30")], "what is closed does not go back");
    assert_eq!(town.dispute(&town.renter.token, 0).await.problem(), (409, "segment-decided"));
    town.books().await;
    town.settle_all().await;
    town.books().await;

    town.test.advance(1_800);
    town.test.run_due().await;
    let amounts: Vec<_> = town.settlements().await.into_iter().map(|(_, _, minor)| minor).collect();
    assert_eq!(amounts, [540, 54]);
    let contract = town.contract().await;
    assert_eq!((&contract["payout"], &contract["fee"]), (&usd("5.94"), &usd("0.66")));
    town.settle_all().await;
    assert_eq!(town.books().await["Assets:Escrow:Cash:Shop"], 66);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_payouts_wait_in_the_purse_until_they_are_worth_sending() {
    let town =
        Town::new(|config| drop(config.payouts.minimum.insert("USD".parse().unwrap(), "10.00".into()))).await;
    let second = town.test.offered(&town.owner).await;
    town.test.order(&town.shop, &town.renter, &second, 54_000, usd("9.00")).await.ok();
    town.test.advance(36_000);
    town.test.run_due().await;
    assert!(town.settlements().await.is_empty());
    let purse = json!({
        "owner": town.owner.id, "marketplace": "shop", "amount": usd("5.40"), "payouts": 1,
        "held_since": "2026-11-22T19:00:00Z",
    });
    for token in [&town.owner.token, &town.test.operator] {
        assert_eq!(town.items("/v1/payouts/held", token).await, std::slice::from_ref(&purse));
    }
    let other = town.test.account(&["owner"], None).await;
    assert!(town.items("/v1/payouts/held", &other.token).await.is_empty());
    assert_eq!(minor_owed(&town).await, ["5.40"], "it is owed although it waits");
    town.books().await;

    town.test.advance(18_000);
    town.test.run_due().await;
    assert!(town.items("/v1/payouts/held", &town.owner.token).await.is_empty());
    assert_eq!(town.settlements().await, [("payout".into(), "due".into(), 1_350)], "sent together");
    town.settle_all().await;
    assert_eq!(town.books().await["Assets:Escrow:Cash:Shop"], 150);
}

async fn minor_owed(town: &Town) -> Vec<Value> {
    let owed = town.items("/v1/owed", &town.owner.token).await;
    owed.into_iter().map(|owed| owed["amount"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_wait_releases_the_purse_once() {
    let town =
        Town::new(|config| drop(config.payouts.minimum.insert("USD".parse().unwrap(), "10.00".into()))).await;
    town.test.advance(36_000);
    town.test.run_due().await;
    let release = async |token: &str, owner: Option<&str>| {
        let body = json!({"marketplace": "shop", "asset": "USD", "owner": owner});
        let reply = town.test.post("/v1/payouts/release", token, &body).await;
        town.test.settle().await;
        reply
    };
    let other = town.test.account(&["owner"], None).await;
    let foreign = release(&other.token, Some(&town.owner.id)).await;
    assert_eq!(foreign.problem(), (404, "not-found"));
    assert_eq!(release(&town.test.operator, None).await.problem(), (422, "invalid-request"));
    assert!(town.settlements().await.is_empty());
    let empty = json!({
        "owner": town.owner.id, "marketplace": "shop", "amount": usd("0.00"), "payouts": 0, "held_since": null,
    });
    let released = release(&town.owner.token, None).await;
    assert!(released.header("berth-position").is_some());
    assert_eq!(released.ok(), empty);
    let again = release(&town.test.operator, Some(&town.owner.id)).await;
    assert_eq!(again.header("berth-position"), None);
    assert_eq!(again.ok(), empty);
    assert_eq!(town.settlements().await, [("payout".into(), "due".into(), 540)]);
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_by_hand_twice_moves_once() {
    let (town, refund) = refunding(|_| {}).await;
    let path = format!("/v1/settlements/{refund}");
    let fee = json!({"reference": "tx1", "network_fee": usd("0.02")});
    for bad in
        [json!({"reference": " "}), json!({"reference": "tx1", "moved": {"amount": "3", "asset": "EUR"}})]
    {
        assert_eq!(town.step(&refund, "manual", bad).await.status, 422);
    }
    assert_eq!(town.settlements().await[0].1, "due", "what could not be settled was not started");
    let first = town.step(&refund, "manual", fee.clone()).await.ok();
    assert_eq!(
        (&first["status"], &first["method"], &first["attempt"]),
        (&json!("settled"), &json!("manual"), &json!(1))
    );
    assert_eq!((&first["moved"], &first["network_fee"]), (&usd("3.00"), &usd("0.02")));
    let again = town.test.post(&format!("{path}/manual"), &town.test.operator, &fee).await;
    assert_eq!((again.header("berth-position"), &again.body), (None, &first));
    for other in [
        json!({"reference": "tx2"}),
        json!({"reference": "tx1", "moved": usd("2.00"), "network_fee": usd("0.02")}),
    ] {
        assert_eq!(town.step(&refund, "manual", other).await.problem(), (409, "settlement-state"));
    }
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_by_hand_goes_on_after_a_crash_but_not_with_somebody_elses_try() {
    let (town, refund) = refunding(|_| {}).await;
    town.step(&refund, "start", json!({"method": "wallet"})).await.ok();
    let wallets = town.step(&refund, "manual", json!({"reference": "tx"})).await;
    assert_eq!(wallets.problem(), (409, "settlement-under-way"));
    town.step(&refund, "failed", json!({"attempt": 1, "reason": "no funds"})).await.ok();
    // As a crash between the two steps leaves it.
    let moved = json!({"moved": usd("3.00"), "reference": "tx"});
    let fingerprint = Digest::of(&canonical_json(&moved)).to_string();
    let begun = json!({"method": format!("manual:{}", &fingerprint[..16])});
    assert_eq!(town.step(&refund, "start", begun).await.ok()["method"], "manual");
    let other = town.step(&refund, "manual", json!({"reference": "tx2"})).await;
    assert_eq!(other.problem(), (409, "settlement-under-way"));
    let finished = town.step(&refund, "manual", json!({"reference": "tx"})).await.ok();
    assert_eq!((&finished["status"], &finished["attempt"]), (&json!("settled"), &json!(2)));
    let kinds =
        town.test.get(&format!("/v1/events?stream=settlement-{refund}"), &town.test.operator).await.ok();
    let settled = kinds["items"].as_array().unwrap().iter().filter(|e| e["type"] == "SettlementSettled");
    assert_eq!(settled.count(), 1);
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_settle_by_hand_at_once_move_it_once() {
    let (town, refund) = refunding(|_| {}).await;
    let (path, body) = (format!("/v1/settlements/{refund}/manual"), json!({"reference": "tx"}));
    let by = |token| town.test.post(&path, token, &body);
    let (a, b, c) = tokio::join!(by(&town.shop.token), by(&town.test.operator), by(&town.shop.token));
    for reply in [a, b, c] {
        assert_eq!(reply.ok()["status"], "settled");
    }
    let events =
        town.test.get(&format!("/v1/events?stream=settlement-{refund}"), &town.test.operator).await.ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 3, "due, started, settled");
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_nobody_reports_on_is_quarantined_and_shown() {
    let (town, refund) = refunding(|config| config.payouts.stalled_after_s = 600).await;
    town.step(&refund, "start", json!({"method": "wallet"})).await.ok();
    town.test.advance(599);
    town.test.run_due().await;
    assert_eq!(town.settlements().await[0].1, "started");
    town.test.advance(1);
    town.test.run_due().await;
    assert_eq!(town.settlements().await[0].1, "quarantined");
    let attention = town.items("/v1/attention", &town.test.operator).await;
    let found = attention.iter().find(|one| one["subject"] == format!("settlement-{refund}"));
    assert_eq!(found.map(|one| &one["what"]), Some(&json!("settlement quarantined")), "{attention:?}");
    town.books().await;
    let both = json!({"resolution": {"outcome": "not_moved", "reference": "tx"}, "note": "which?"});
    let both = town.test.post(&format!("/v1/settlements/{refund}/resolve"), &town.test.operator, &both).await;
    assert_eq!(both.problem(), (422, "invalid-request"));
    let found = json!({"resolution": {"outcome": "not_moved"}, "note": "not on the chain"});
    town.test.post(&format!("/v1/settlements/{refund}/resolve"), &town.test.operator, &found).await.ok();
    town.test.settle().await;
    assert!(town.items("/v1/attention", &town.test.operator).await.is_empty(), "it need not be looked at");
    town.settle_all().await;
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_less_than_was_due_the_rest_is_due() {
    let (town, refund) = refunding(|_| {}).await;
    town.step(&refund, "manual", json!({"reference": "tx", "moved": usd("1.00")})).await.ok();
    assert_eq!(town.settlements().await[1], ("refund".into(), "due".into(), 200));
    let owed = town.items(&format!("/v1/owed?account={}", town.renter.id), &town.test.operator).await;
    let account = format!("Liabilities:Renter:A-{}:RefundDue", town.renter.id);
    assert_eq!(owed, [json!({"account": account, "amount": "2.00", "asset": "USD"})]);
    let foreign = format!("/v1/owed?account={}", town.renter.id);
    assert_eq!(town.test.get(&foreign, &town.owner.token).await.problem(), (404, "not-found"));
    town.books().await;
    town.settle_all().await;
    assert!(town.items("/v1/owed", &town.renter.token).await.is_empty());
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_swept_than_was_earned_and_not_spent() {
    let town = Town::new(|_| {}).await;
    let sweep = async |amount: &str, reference: &str| {
        let body = json!({"marketplace": "shop", "amount": usd(amount), "reference": reference});
        let reply = town.test.post("/v1/sweeps", &town.test.operator, &body).await;
        town.books().await;
        reply
    };
    assert_eq!(sweep("0.01", "a").await.problem(), (409, "not-earned"), "nothing is earned before the end");
    town.test.advance(36_000);
    town.test.run_due().await;
    let payout = town.due("payout").await;
    let moved = json!({"reference": "tx", "moved": usd("5.42"), "network_fee": usd("0.05")});
    town.step(&payout, "manual", moved).await.ok();
    // Of 0.60 the network took 0.05, and 0.02 were paid too much.
    assert_eq!(sweep("0.54", "a").await.problem(), (409, "not-earned"));
    assert_eq!(sweep("0.00", "a").await.problem(), (422, "nothing-paid"));
    let swept = json!({
        "marketplace": "shop", "amount": usd("0.50"), "reference": "a", "left": {"amount": "0.03", "asset": "USD"},
    });
    let first = sweep("0.50", "a").await;
    assert_eq!((first.status.as_u16(), first.body), (201, swept.clone()));
    let again = sweep("0.50", "a").await;
    assert_eq!((again.header("berth-position"), &again.body), (None, &swept), "told twice is told once");
    assert_eq!(sweep("0.51", "a").await.problem(), (409, "sweep-differs"));
    assert_eq!(sweep("0.04", "b").await.problem(), (409, "not-earned"));
    assert_eq!(sweep("0.03", "b").await.ok()["left"]["amount"], "0.00");
    let books = town.books().await;
    assert_eq!((books["Assets:Escrow:Cash:Shop"], books["Assets:Platform:Cash:Shop"]), (7, 46));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_of_the_journal_adds_up_and_every_balance_is_their_sum() {
    let (town, _) = refunding(|_| {}).await;
    town.test.run_due().await;
    town.settle_all().await;
    let books = town.books().await;
    let entries = town.items("/v1/journal?limit=200", &town.test.operator).await;
    let kinds: Vec<_> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..4], ["OrderReceived", "RentalStarted", "RentalTerminated", "RefundIssued"]);
    assert_eq!(entries[2]["effective_at"], "2026-11-22T14:00:00Z");
    let cash = json!({"account": "Assets:Escrow:Cash:Shop", "amount": "6.00", "asset": "USD"});
    let orders = json!({"account": "Liabilities:Escrow:Orders:Shop", "amount": "-6.00", "asset": "USD"});
    assert_eq!(entries[0]["postings"], json!([cash, orders]));
    let mut sums = std::collections::BTreeMap::<String, i128>::new();
    for entry in &entries {
        let postings = entry["postings"].as_array().unwrap();
        let amounts = postings.iter().map(|posting| crate::money_town::minor(&posting["amount"]));
        assert_eq!(amounts.sum::<i128>(), 0, "{entry}");
        for posting in postings {
            let account = posting["account"].as_str().unwrap().to_owned();
            *sums.entry(account).or_default() += crate::money_town::minor(&posting["amount"]);
        }
    }
    sums.retain(|_, minor| *minor != 0);
    assert_eq!(sums, books);
}
