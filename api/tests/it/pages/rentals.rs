//! What a renter sees and does.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::kit::Browser;
use crate::{
    app::TestApp,
    world::{Device, Who, usd},
};

pub struct Rented {
    pub owner: Who,
    pub renter: Who,
    pub shop: Who,
    pub device: Device,
    pub path: String,
}

/// A rental of ten hours for 6.00 USD.
pub async fn rented(app: &TestApp) -> Rented {
    let (owner, renter) = (app.account(&["owner"], None).await, app.account(&["renter"], None).await);
    let shop = app.account(&["marketplace"], Some("shop")).await;
    let device = app.offered(&owner).await;
    let contract = app.rental(&shop, &renter, &device).await;
    Rented { owner, renter, shop, device, path: format!("/rentals/{contract}") }
}

#[tokio::test]
async fn a_renter_reads_the_login_and_no_page_keeps_it() {
    let app = TestApp::new().await;
    let Rented { renter, path, .. } = rented(&app).await;
    let browser = Browser::with_token(&app, &renter.token).await;
    browser.get("/rentals").await.ok().says("A small computer 10 h left");
    let page = browser.get(&path).await.ok();
    page.says("Running 10 h left").says("Paid 6.00 USD").says("Not connected");
    let login = browser.send(&page, &format!("{path}/credentials"), &[]).await.ok();
    login.says("ssh -p ").says("Password");
    assert_eq!(login.headers["cache-control"], "no-store");
    assert!(login.html.contains("data-keep") && !login.html.contains("data-live"));
    let api = format!("/v1/contracts{}/credentials", path.strip_prefix("/rentals").unwrap());
    let password = app.get(&api, &renter.token).await.id("password");
    login.says(&password);
    for path in [path.clone(), "/rentals".to_owned(), format!("{path}/end")] {
        browser.get(&path).await.ok().does_not_say(&password);
    }
    let by_address = browser.raw(Method::GET, &format!("{path}/credentials"), None, &[]).await;
    assert_eq!(by_address.status, StatusCode::METHOD_NOT_ALLOWED);
    app.advance(36_000);
    let late = browser.send(&page, &format!("{path}/credentials"), &[]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    late.does_not_say(&password).says("the rental is over");
}

#[tokio::test]
async fn more_time_is_asked_for_and_the_page_says_how_to_pay_it() {
    let app = TestApp::new().await;
    let Rented { renter, shop, path, .. } = rented(&app).await;
    let browser = Browser::with_token(&app, &renter.token).await;
    let action = format!("{path}/extension");
    let form = browser.get(&action).await.ok();
    form.says("1 day 14.40 USD");
    for (term, unit) in [("", "hour"), ("x", "hour"), ("1", ""), ("1", "second"), ("99999", "month")] {
        let again = browser.send(&form, &action, &[("term", term), ("unit", unit)]).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{term} {unit}");
        again.says("Ask for it");
    }
    let asked = browser.send(&form, &action, &[("term", "2"), ("unit", "hour")]).await.ok();
    asked
        .says("Your request for more time is noted")
        .says("2 hours for 1.20 USD")
        .says("At shop , where it was rented");
    let twice = browser.send(&form, &action, &[("term", "2"), ("unit", "hour")]).await.ok();
    twice.says("2 hours for 1.20 USD");
    browser.get(&action).await.ok().says("More time waits to be paid");
    browser.get("/rentals").await.ok().says("More time waits to be paid");
    let contract = path.strip_prefix("/rentals/").unwrap();
    let extension =
        app.get(&format!("/v1/contracts/{contract}"), &renter.token).await.body["extension"].clone();
    asked.says(extension["extension"].as_str().unwrap());
    let item = json!({"kind": "extension", "contract": contract, "extension": extension["extension"]});
    let order = json!({"order_id": "more", "item": item, "renter": renter.id, "paid": usd("1.20")});
    app.post("/v1/orders", &shop.token, &order).await.ok();
    app.settle().await;
    let page = browser.get(&path).await.ok();
    page.says("12 h left").says("Paid 7.20 USD").does_not_say("waits to be paid");
}

#[tokio::test]
async fn a_rental_is_ended_at_the_quote_that_was_shown_or_a_fresh_one_is_shown() {
    let app = TestApp::new().await;
    let Rented { renter, path, .. } = rented(&app).await;
    let browser = Browser::with_token(&app, &renter.token).await;
    let action = format!("{path}/end");
    app.advance(3_600);
    let quote = browser.get(&action).await.ok();
    quote.says("5.40 USD").says("The owner gets 0.54 USD").says("The operator gets 0.06 USD");
    for odd in ["", "soon", "9999-99-99"] {
        let again = browser.send(&quote, &action, &[("quoted_at", odd)]).await;
        assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
        again.says("End it, and 5.40 USD go back");
    }
    app.advance(3_600);
    let late = browser.send(&quote, &action, &[]).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    late.says("4.80 USD go back");
    browser.get(&path).await.ok().says("Running");
    app.advance(60);
    let over = browser.send(&late, &action, &[]).await.ok();
    over.says("The rental is over. What was not used goes back")
        .says("you ended it")
        .says("Goes back 4.80 USD");
    over.says("refund 4.80 USD due").says("Not proved to be erased yet");
    browser.send(&late, &action, &[]).await.ok().says("Goes back 4.80 USD");
    browser.get(&action).await.ok().says("Goes back 4.80 USD");
    browser.get("/rentals").await.ok().says("ended early 6.00 USD 4.80 USD");
}

#[tokio::test]
async fn after_the_end_the_page_shows_how_the_data_was_erased() {
    let app = TestApp::new().await;
    let Rented { renter, device, path, .. } = rented(&app).await;
    let browser = Browser::with_token(&app, &renter.token).await;
    let page = browser.get(&path).await.ok();
    let kept = browser.send(&page, &format!("{path}/offline-resume"), &[]).await.ok();
    kept.says("Your choice is noted").says("Do not let the device keep the key");
    let early = browser.send(&page, &format!("{path}/credentials"), &[]).await.ok();
    early.says("Password");
    let end = format!("{path}/end");
    let quote = browser.get(&end).await.ok();
    let over = browser.send(&quote, &end, &[]).await.ok();
    let unsure = browser.send(&over, &format!("{path}/erasure"), &[]).await;
    assert_eq!(unsure.status, StatusCode::UNPROCESSABLE_ENTITY);
    let asked = browser.send(&over, &format!("{path}/erasure"), &[("sure", "yes")]).await.ok();
    asked.says("The server's half of the key is destroyed").says("You asked for the data to be gone");
    app.erase(&device).await.ok();
    app.settle().await;
    let erased = browser.get(&path).await.ok();
    erased
        .says("Erased The device proved it")
        .says("Volume directory")
        .says("remove files done and verified 3 files");
}

#[tokio::test]
async fn an_owner_ends_a_rental_of_his_device_and_sees_no_login() {
    let app = TestApp::new().await;
    let Rented { owner, path, .. } = rented(&app).await;
    let browser = Browser::with_token(&app, &owner.token).await;
    let page = browser.get(&path).await.ok();
    page.says("The renter's data").does_not_say("Show how to log in").does_not_say("/extension");
    let end = format!("{path}/end");
    let quote = browser.get(&end).await.ok();
    quote.says("You would end it as its owner").says("6.00 USD");
    let over = browser.send(&quote, &end, &[]).await.ok();
    over.says("the owner ended it").says("Goes back 6.00 USD");
}
