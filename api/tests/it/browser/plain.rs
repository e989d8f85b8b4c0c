//! Pages in a browser that runs no script.

use serde_json::json;

use super::{kit::Chrome, people::sign_in, town::Town};

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_script() {
    let town = Town::new().await;
    let chrome = Chrome::start().await;
    let renter = chrome.tab_without_script(&town.test.site()).await;
    sign_in(&renter, &town.renter.token).await;
    renter.open(&format!("/rentals/{}", town.quiet)).await;
    renter.see("Running 9 h 10 min left").await;
    renter.follow("More time").await;
    renter.fill("How much more", "0").await;
    renter.press("Ask for it").await;
    renter.see("type a whole number from 1").await;
    renter.fill("How much more", "2").await;
    renter.choose("Of what", "hours").await;
    renter.press("Ask for it").await;
    renter.see("2 hours for 1.20 USD").await;
    renter.follow("End it early").await;
    let path = format!("/v1/contracts/{}", town.quiet);
    let quote = town.test.get(&format!("{path}/refund-quote"), &town.renter.token).await.ok();
    let total = format!("{} USD", quote["total"]["amount"].as_str().unwrap());
    renter.press(&format!("End it, and {total} go back")).await;
    renter.see(&format!("Goes back {total}")).await;
    let ended = town.test.get(&path, &town.renter.token).await.ok();
    assert_eq!((&ended["ended_by"], &ended["refunded"]), (&json!("renter"), &quote["total"]));

    renter.press("Sign out").await;
    sign_in(&renter, &town.owner.token).await;
    renter.open(&format!("/devices/{}/offer", town.free.id)).await;
    renter.fill("An hour", "cheap").await;
    renter.press("Change the offer").await;
    renter.see("is not a decimal number").await;
    renter.open(&format!("/devices/{}/offer", town.free.id)).await;
    renter.fill("An hour", "0.25").await;
    renter.press("Change the offer").await;
    renter.see("The offer is on the market.").await;
    renter.open(&format!("/market/{}", town.free.id)).await;
    renter.see("hour 0.25 USD").await;

    renter.press("Sign out").await;
    sign_in(&renter, &town.auditor.token).await;
    renter.open(&format!("/audit/contracts/{}", town.erased)).await;
    let label = renter.read("label[for=slider]", "textContent").await;
    renter.fill(&label, "2").await;
    renter.press("Show as of this event").await;
    renter.see("As it was").await;
    renter.see("As of event 2 of ").await;
}
