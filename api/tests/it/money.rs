//! Disputed money: it waits, and is divided.

use serde_json::json;

use crate::{money_town::Town, world::usd};

/// Kind, status and cents of settlements.
fn known(all: &[(&str, &str, i128)]) -> Vec<(String, String, i128)> {
    all.iter().map(|(kind, status, minor)| ((*kind).into(), (*status).into(), *minor)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_before_the_end_lets_the_money_wait_while_the_rental_goes_on() {
    let town = Town::new(|_| {}).await;
    let path = format!("/v1/contracts/{}", town.contract);
    town.test.advance(3_600);
    let evidence = json!({"segment": 0, "evidence": "0f".repeat(32)});
    let opened = town.test.post(&format!("{path}/disputes"), &town.renter.token, &evidence).await;
    assert_eq!((opened.status.as_u16(), &opened.body["status"]), (201, &json!("running")));
    assert_eq!(opened.body["segments"][0]["verdict"], "disputed");
    let again = town.dispute(&town.owner.token, 0).await;
    assert_eq!((again.status.as_u16(), again.header("berth-position")), (201, None), "it is disputed once");
    let quote = town.test.get(&format!("{path}/refund-quote"), &town.renter.token).await.ok();
    assert_eq!((&quote["refunds"][0]["amount"], &quote["total"]), (&usd("0.00"), &usd("0.00")));
    town.books().await;

    town.test.advance(36_000);
    town.test.run_due().await;
    assert_eq!(town.contract().await["status"], "expired");
    assert_eq!(town.settlements().await, [], "the payout waits for the decision");
    let attention = town.items("/v1/attention", &town.test.operator).await;
    let called: Vec<_> = attention.iter().map(|one| (&one["subject"], &one["what"])).collect();
    let stream = json!(format!("contract-{}", town.contract));
    assert_eq!(called, [(&stream, &json!("segment 0 disputed"))], "a decision is missing, and nothing else");
    let books = town.books().await;
    assert_eq!(books[&format!("Liabilities:Disputed:C-{}", town.contract)], -600);

    let decided = town.decide(&town.shop.token, [1, 1, 0], None).await.ok();
    assert_eq!(decided["segments"][0]["verdict"], "decided");
    assert_eq!(decided["segments"][0]["refunded"], usd("3.00"));
    assert_eq!(town.decide(&town.shop.token, [1, 1, 0], None).await.status, 200, "it is decided once");
    assert!(town.items("/v1/attention", &town.test.operator).await.is_empty(), "it need not be looked at");
    town.books().await;
    town.test.run_due().await;
    assert_eq!(town.settlements().await, known(&[("refund", "due", 300), ("payout", "due", 270)]));
    let contract = town.contract().await;
    assert_eq!((&contract["payout"], &contract["fee"]), (&usd("2.70"), &usd("0.30")));
    town.books().await;

    let history = town.test.get(&format!("{path}/history"), &town.test.operator).await.ok();
    let (state, segment) = (&history["state"], &history["state"]["segments"][0]);
    assert_eq!((&segment["verdict"], &segment["refunded"]), (&json!("decided"), &usd("3.00")));
    assert_eq!(state["moderation"], usd("0.00"));
    let split = json!({"refund": usd("3.00"), "owner": usd("2.70"), "fee": usd("0.30")});
    assert_eq!(state["split"], split);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_after_the_end_holds_the_refund_back_and_its_decision_divides_all_of_it() {
    let town = Town::new(|config| config.policy.payout_delay_s = 3_600).await;
    let moderator = town.test.account(&["renter"], None).await;
    town.test.advance(18_000);
    town.terminate().await;
    let refund = town.due("refund").await;
    assert_eq!(town.dispute(&town.owner.token, 0).await.status, 201);
    assert_eq!(town.settlements().await, known(&[("refund", "withdrawn", 300)]), "it is held back");
    let late = town.step(&refund, "manual", json!({"reference": "tx"})).await;
    assert_eq!(late.problem(), (409, "settlement-state"));
    town.books().await;
    town.test.advance(3_600);
    town.test.run_due().await;
    assert_eq!(town.settlements().await.len(), 1, "the payout waits");

    let nobody = uuid::Uuid::nil().to_string();
    let unknown = town.decide(&town.shop.token, [6_667, 3_333, 500], Some(&nobody)).await;
    assert_eq!(unknown.problem(), (422, "moderator-unknown"));
    let decided = town.decide(&town.shop.token, [6_667, 3_333, 500], Some(&moderator.id)).await.ok();
    assert_eq!((&decided["moderation"], &decided["refunded"]), (&usd("0.29"), &usd("3.81")));
    town.books().await;
    town.test.run_due().await;
    let all = [
        ("refund", "withdrawn", 300),
        ("refund", "due", 381),
        ("moderation", "due", 29),
        ("payout", "due", 171),
    ];
    assert_eq!(town.settlements().await, known(&all));
    let owed = town.items("/v1/owed", &moderator.token).await;
    let account = format!("Liabilities:Moderator:A-{}:Payable", moderator.id);
    assert_eq!(owed, [json!({"account": account, "amount": "0.29", "asset": "USD"})]);
    let state = town.test.get(&format!("/v1/contracts/{}/history", town.contract), &town.test.operator).await;
    assert_eq!(state.body["state"]["moderation"], usd("0.29"));

    town.settle_all().await;
    let left = [("Assets:Escrow:Cash:Shop".to_owned(), 19), ("Income:Fees:Shop".to_owned(), -19)];
    assert_eq!(town.books().await, left.into(), "nothing is left but the fee");
    assert!(town.items("/v1/owed", &moderator.token).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_was_started_stays_out_of_the_dispute() {
    let town = Town::new(|_| {}).await;
    town.test.advance(18_000);
    town.terminate().await;
    let refund = town.due("refund").await;
    town.step(&refund, "start", json!({"method": "wallet"})).await.ok();
    town.dispute(&town.renter.token, 0).await.ok();
    assert_eq!(town.settlements().await, known(&[("refund", "started", 300)]));
    town.books().await;
    let decided = town.decide(&town.test.operator, [1, 1, 0], None).await.ok();
    assert_eq!(decided["refunded"], usd("4.50"), "half of the half that was left");
    let moved = json!({"attempt": 1, "reference": "tx", "moved": usd("3.00")});
    town.step(&refund, "settled", moved).await.ok();
    town.books().await;
    town.test.run_due().await;
    let all = [("refund", "settled", 300), ("refund", "due", 150), ("payout", "due", 135)];
    assert_eq!(town.settlements().await, known(&all));
    town.settle_all().await;
    assert_eq!(town.books().await["Assets:Escrow:Cash:Shop"], 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_while_its_segment_is_disputed_is_held_and_one_that_fails_later_is_not() {
    for decided_first in [false, true] {
        let town = Town::new(|_| {}).await;
        town.test.advance(18_000);
        town.terminate().await;
        let refund = town.due("refund").await;
        town.step(&refund, "start", json!({"method": "wallet"})).await.ok();
        town.dispute(&town.renter.token, 0).await.ok();
        let fail = || town.step(&refund, "failed", json!({"attempt": 1, "reason": "no funds"}));
        let decide = || town.decide(&town.test.operator, [1, 1, 0], None);
        if decided_first {
            decide().await.ok();
            fail().await.ok();
            assert_eq!(
                town.settlements().await[..2],
                known(&[("refund", "failed", 300), ("refund", "due", 150)])
            );
        } else {
            fail().await.ok();
            assert_eq!(town.settlements().await, known(&[("refund", "withdrawn", 300)]));
            decide().await.ok();
            assert_eq!(
                town.settlements().await[..2],
                known(&[("refund", "withdrawn", 300), ("refund", "due", 300)])
            );
        }
        town.books().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_and_its_decision_are_said_again_but_not_otherwise() {
    let town = Town::new(|_| {}).await;
    let path = format!("/v1/contracts/{}/disputes", town.contract);
    let open = async |evidence: &str| {
        let body = json!({"segment": 0, "evidence": evidence.repeat(32)});
        town.test.post(&path, &town.renter.token, &body).await
    };
    open("0a").await.ok();
    open("0a").await.ok();
    assert_eq!(open("0b").await.problem(), (409, "disputed"));
    town.decide(&town.shop.token, [1, 2, 0], None).await.ok();
    town.decide(&town.test.operator, [1, 2, 0], None).await.ok();
    let other = town.decide(&town.test.operator, [2, 1, 0], None).await;
    assert_eq!(other.problem(), (409, "segment-decided"));
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_about_money_that_has_left_is_decided_too_and_frees_the_payout() {
    let town = Town::new(|_| {}).await;
    town.extend(3_600, usd("0.60")).await;
    let path = format!("/v1/contracts/{}/disputes", town.contract);
    town.test.advance(18_000);
    town.terminate().await;
    town.settle_all().await;
    town.test.post(&path, &town.renter.token, &json!({"segment": 1})).await.ok();
    town.test.run_due().await;
    assert_eq!(town.settlements().await.len(), 2, "the payout waits for the second segment");
    let all_to_the_owner = json!({"weights": {"renter": 0, "owner": 1}});
    town.test.post(&format!("{path}/1/decision"), &town.shop.token, &all_to_the_owner).await.ok();
    town.test.run_due().await;
    let all = [("refund", "settled", 300), ("refund", "settled", 60), ("payout", "due", 270)];
    assert_eq!(town.settlements().await, known(&all));
    town.books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_disputed_or_decided_is_refused_in_words() {
    let town = Town::new(|_| {}).await;
    let path = format!("/v1/contracts/{}/disputes", town.contract);
    let operator = town.test.operator.clone();
    let early = town.decide(&operator, [1, 1, 0], None).await;
    assert_eq!(early.problem(), (409, "not-disputed"));
    assert_eq!(town.dispute(&operator, 1).await.problem(), (404, "not-found"), "there is one segment");
    assert_eq!(town.dispute(&town.shop.token, 1).await.problem(), (404, "not-found"));
    for evidence in ["", "0f", &"0F".repeat(32)] {
        let body = json!({"segment": 0, "evidence": evidence});
        let unread = town.test.post(&path, &operator, &body).await;
        assert_eq!(unread.problem(), (422, "invalid-request"), "{evidence:?}");
    }
    assert_eq!(town.dispute(&town.shop.token, 0).await.status, 201, "the shop may, too");
    assert_eq!(town.decide(&operator, [0, 0, 0], None).await.problem(), (422, "invalid-weights"));
    assert_eq!(town.decide(&operator, [1, 1, 1], None).await.problem(), (422, "invalid-weights"));
    let negative = json!({"weights": {"renter": -1, "owner": 2}});
    let negative = town.test.post(&format!("{path}/0/decision"), &operator, &negative).await;
    assert_eq!(negative.problem(), (422, "invalid-request"));
    let stranger = town.test.account(&["owner", "renter"], None).await;
    assert_eq!(town.dispute(&stranger.token, 0).await.problem(), (404, "not-found"));
    assert_eq!(town.decide(&town.renter.token, [1, 0, 0], None).await.problem(), (403, "forbidden"));

    town.decide(&operator, [0, 1, 0], None).await.ok();
    assert_eq!(town.dispute(&town.renter.token, 0).await.problem(), (409, "segment-decided"));
    let other = Town::new(|_| {}).await;
    other.test.advance(36_000);
    other.test.run_due().await;
    assert_eq!(other.dispute(&other.renter.token, 0).await.problem(), (409, "segment-decided"), "paid out");
}
