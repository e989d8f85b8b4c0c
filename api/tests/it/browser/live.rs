//! Pages that hear that they are outdated.

use super::{kit::Chrome, people::sign_in};
use crate::{app::TestApp, world::usd};

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_types_is_not_taken_away_by_what_happens() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    test.settle().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(&test.site()).await;
    sign_in(&tab, &owner.token).await;
    tab.open(&format!("/devices/{}", device.id)).await;
    tab.see("Nobody has rented it yet.").await;
    tab.fill("What you call it", "the one in the att").await;
    test.rental(&shop, &renter, &device).await;
    tab.see("Something on this page has changed.").await;
    assert_eq!(tab.value("What you call it").await, "the one in the att");
    tab.see("Nobody has rented it yet.").await;
    tab.sound().await;
    tab.follow("Load it again").await;
    tab.see_no("Nobody has rented it yet.").await;
    tab.see("Earned so far").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signed_out_is_shown_nothing_new_and_told_to_load_the_page_again() {
    let test = TestApp::new().await;
    let (owner, renter) = (test.account(&["owner"], None).await, test.account(&["renter"], None).await);
    let shop = test.account(&["marketplace"], Some("shop")).await;
    let device = test.offered(&owner).await;
    test.settle().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(&test.site()).await;
    sign_in(&tab, &owner.token).await;
    tab.open("/devices").await;
    // Another window of the same browser.
    let here = tab.client.window().await.unwrap();
    let other = tab.client.new_window(true).await.unwrap();
    tab.client.switch_to_window(other.handle).await.unwrap();
    tab.open("/account").await;
    tab.press("Sign out").await;
    tab.see("You are signed out.").await;
    tab.client.switch_to_window(here).await.unwrap();
    test.order(&shop, &renter, &device, 36_000, usd("6.00")).await.ok();
    test.settle().await;
    tab.see("Load it again").await;
    tab.see_no(" let ").await;
    tab.sound().await;
    let again = "return performance.getEntriesByType('resource').filter(entry => entry.name.includes('/live')).length";
    assert!(tab.script(again, vec![]).await.unwrap().as_u64().unwrap() <= 2);
}
