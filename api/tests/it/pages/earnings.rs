//! What an owner's devices earn.

mod samples;

use super::kit::{Browser, Page, between};
use crate::{money_town::Town, world::usd};

async fn earnings(town: &Town) -> Page {
    let browser = Browser::with_token(&town.test, &town.owner.token).await;
    browser.get("/earnings").await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_accrues_is_what_a_close_pays_and_then_payable_and_then_paid() {
    let town = Town::new(|_| {}).await;
    earnings(&town).await.says("Accrued 0.00 USD").says("There are none yet");
    town.test.advance(12_345);
    let quote = format!("/v1/contracts/{}/refund-quote", town.contract);
    let quote = town.test.get(&quote, &town.renter.token).await.ok();
    let owner = quote["owner"]["amount"].as_str().unwrap();
    let page = earnings(&town).await;
    page.says(&format!("Accrued {owner} USD")).says("Payable 0.00 USD").says("Paid 0.00 USD");
    let ticking = between(&page.html, "data-from=\"185\" data-rate=\"", "\"").unwrap();
    assert_eq!(ticking, "0.015007", "355 more in 23,655 seconds: {}", page.html);

    town.terminate().await;
    town.test.run_due().await;
    let page = earnings(&town).await;
    page.says(&format!("Accrued 0.00 USD by rentals that run, until now Payable {owner} USD"));
    page.says(&format!("due {owner} USD")).says(&format!("2026-11 0.00 {owner} 0.00"));
    town.settle_all().await;
    let page = earnings(&town).await;
    page.says("Payable 0.00 USD")
        .says(&format!("Paid {owner} USD"))
        .says(&format!("paid {owner} USD {owner} USD shop"));
    page.says(&format!("1 pi 0.00 0.00 {owner}")).says(&format!("2026-11 0.00 {owner} {owner}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_rental_accrues_on_without_being_counted_twice() {
    let town = Town::new(|_| {}).await;
    town.test.advance(18_000);
    town.extend(3_600, usd("0.60")).await;
    let page = earnings(&town).await;
    page.says("Accrued 2.70 USD").does_not_say("<dt>Waiting");
    town.test.advance(19_800);
    earnings(&town).await.says("Accrued 5.67 USD").does_not_say("<dt>Waiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_that_waits_for_its_delay_is_told() {
    let town = Town::new(|config| config.policy.payout_delay_s = 3_600).await;
    town.test.advance(18_000);
    town.terminate().await;
    earnings(&town).await.says("Accrued 0.00 USD").says("Waiting 2.70 USD").says("Payable 0.00 USD");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_payouts_are_released_by_a_press_of_the_button() {
    let town =
        Town::new(|config| drop(config.payouts.minimum.insert("USD".parse().unwrap(), "10.00".into()))).await;
    town.test.advance(36_000);
    town.test.run_due().await;
    let page = earnings(&town).await;
    page.says("Payable 5.40 USD ; 5.40 held until it is worth sending").says("shop 5.40 USD 1");
    let browser = Browser::with_token(&town.test, &town.owner.token).await;
    let page = browser.get("/earnings").await.ok();
    let released = browser.send(&page, "/earnings/release", &[]).await.ok();
    released.says("The payouts are on their way").says("due 5.40 USD").does_not_say("<h2 id=\"held\">");
}
