//! What somebody who had an account, a device or a form before cannot do with it any more.

use reqwest::{Method, StatusCode};

use super::{
    kit::{Browser, between},
    letters::mailed,
};
use crate::app::TestApp;

const PASSWORD: &str = "correct horse battery";

async fn signed_up<'a>(app: &'a TestApp, email: &str) -> Browser<'a> {
    let browser = Browser::new(app);
    let page = browser.get("/sign-up").await.ok();
    let fields = [("name", "Eve"), ("email", email), ("password", PASSWORD)];
    browser.send(&page, "/sign-up", &fields).await.ok();
    browser
}

async fn token(browser: &Browser<'_>) -> String {
    let page = browser.get("/account/tokens").await.ok();
    let made = browser.send(&page, "/account/tokens", &[("label", "program"), ("role", "all")]).await.ok();
    between(&made.html, "class=\"secret\">", "<").unwrap().to_owned()
}

#[tokio::test]
async fn whoever_signed_up_with_anothers_address_is_left_nothing_once_its_person_comes() {
    let app = TestApp::new().await;
    let eve = signed_up(&app, "victim@x.org").await;
    let token = token(&eve).await;
    let account = eve.get("/account").await.ok();
    let fields = [("name", "Eve"), ("payout_address", "eves-address")];
    eve.send(&account, "/account", &fields).await.ok();
    let victim = Browser::new(&app);
    let ask = victim.get("/forgot").await.ok();
    victim.send(&ask, "/forgot", &[("email", "victim@x.org")]).await.ok();
    let path = mailed(&app, "/reset/", 1).await.remove(0);
    let page = victim.get(&path).await.ok();
    victim.send(&page, &path, &[("password", "new horse battery")]).await.ok();
    assert_eq!(app.get("/v1/contracts", &token).await.status, StatusCode::UNAUTHORIZED);
    eve.get("/account").await.ok().says("With your password");
    let page = victim.get("/sign-in").await.ok();
    let fields = [("email", "victim@x.org"), ("password", "new horse battery")];
    victim.send(&page, "/sign-in", &fields).await.ok();
    victim.get("/account").await.ok().does_not_say("eves-address");
}

#[tokio::test]
async fn a_device_given_away_is_not_taken_back_with_the_form_that_enrolled_it() {
    let app = TestApp::new().await;
    let (eve, bob) = (signed_up(&app, "eve@x.org").await, signed_up(&app, "bob@x.org").await);
    let form = eve.get("/devices/new").await.ok();
    let shown = eve.send(&form, "/devices/new", &[("name", "pi")]).await.ok();
    let key = between(&shown.html, "class=\"secret\">", "<").unwrap().to_owned();
    let device = between(&shown.html, "/devices/", "/").unwrap().to_owned();
    // Sent again by the browser, the key that was shown stays in force.
    let again = eve.send(&form, "/devices/new", &[("name", "pi")]).await.ok();
    again.says("its key was shown").does_not_say(&key);
    let events = app.get("/v1/device/events", &key).await;
    assert_eq!(events.status, StatusCode::OK, "{}", events.body);
    let account = bob.get("/account").await.ok();
    let bob_id = between(&account.html, "In the ledger you are ", ".").unwrap().to_owned();
    let page = eve.get(&format!("/devices/{device}")).await.ok();
    eve.send(&page, &format!("/devices/{device}/transfer"), &[("to", &bob_id)]).await.ok();
    let page = bob.get(&format!("/devices/{device}")).await.ok();
    let path = format!("/devices/{device}/enrolment-key");
    bob.send(&page, &path, &[]).await.ok().says("A new key");
    let again = eve.send(&form, "/devices/new", &[("name", "mine again")]).await;
    again.does_not_say("berth-key-");
    bob.get(&format!("/devices/{device}")).await.ok().does_not_say("mine again");
    // Bob's form, sent again, makes no other key either.
    bob.send(&page, &path, &[]).await.ok().says("has changed since you looked");
}

#[tokio::test]
async fn a_session_of_a_narrow_token_makes_and_revokes_no_tokens() {
    let app = TestApp::new().await;
    let eve = signed_up(&app, "eve@x.org").await;
    let page = eve.get("/account/tokens").await.ok();
    let fields = [("label", "narrow"), ("role", "renter")];
    let made = eve.send(&page, "/account/tokens", &fields).await.ok();
    let again = eve.send(&page, "/account/tokens", &fields).await.ok();
    again.says("was made and shown already");
    let narrow = between(&made.html, "class=\"secret\">", "<").unwrap().to_owned();
    let browser = Browser::with_token(&app, &narrow).await;
    let page = browser.get("/account/tokens").await.ok();
    let wider = browser.send(&page, "/account/tokens", &[("label", "wide"), ("role", "renter")]).await;
    assert_eq!(wider.status, StatusCode::FORBIDDEN);
    let id = between(&page.html, "/account/tokens/", "/revocation").unwrap();
    let gone = browser.send(&page, &format!("/account/tokens/{id}/revocation"), &[]).await;
    assert_eq!(gone.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nobody_is_locked_out_by_strangers_elsewhere() {
    let mut config = api::config::Config::default();
    config.web.behind_proxy = true;
    let app = TestApp::with(config).await;
    signed_up(&app, "ada@x.org").await;
    let browser = Browser::new(&app);
    let attempt = async |from: &str, password: &str| {
        let form = [("email", "ada@x.org"), ("password", password)];
        let body = Some(serde_urlencoded::to_string(form).unwrap());
        browser.raw(Method::POST, "/sign-in", body, &[("x-forwarded-for", from)]).await.status
    };
    for _ in 0..11 {
        attempt("203.0.113.7:1234", "wrong horse battery").await;
    }
    assert_eq!(attempt("203.0.113.7", PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(attempt("198.51.100.1, 203.0.113.7", PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(attempt("198.51.100.1", PASSWORD).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_address_for_money_can_be_deleted() {
    let app = TestApp::new().await;
    let ada = signed_up(&app, "ada@x.org").await;
    let page = ada.get("/account").await.ok();
    ada.send(&page, "/account", &[("payout_address", "stolen-wallet")]).await.ok();
    let page = ada.get("/account").await.ok();
    assert!(page.html.contains("stolen-wallet"));
    ada.send(&page, "/account", &[("payout_address", "")]).await.ok().does_not_say("stolen-wallet");
}

#[tokio::test]
async fn an_erased_account_does_not_come_back_with_its_form() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    let form = browser.get("/sign-up").await.ok();
    let fields = [("name", "Ada"), ("email", "ada@x.org"), ("password", PASSWORD)];
    browser.send(&form, "/sign-up", &fields).await.ok();
    let account = browser.get("/account").await.ok();
    browser.send(&account, "/account/erasure", &[("sure", "yes")]).await.ok();
    let again = browser.send(&form, "/sign-up", &fields).await;
    assert_eq!(again.status, StatusCode::GONE, "{}", again.text());
    assert!(app.app.private.login_by_email("ada@x.org").await.unwrap().is_none());
}

#[tokio::test]
async fn nobody_signs_up_before_the_operator() {
    let app = TestApp::new().await;
    app.app.private.allow_setup(domain::key::Digest::of(b"setup_x")).await.unwrap();
    let browser = Browser::new(&app);
    let form = browser.get("/sign-up").await.ok();
    let fields = [("name", "Eve"), ("email", "eve@x.org"), ("password", PASSWORD)];
    let refused = browser.send(&form, "/sign-up", &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    refused.says("the first account is the operator's");
}

#[tokio::test]
async fn what_cannot_be_read_is_a_page_and_an_ended_session_leads_home() {
    let app = TestApp::new().await;
    let browser = signed_up(&app, "ada@x.org").await;
    for path in ["/rentals/x", "/devices?after=x", "/market/x", "/devices/x/offer"] {
        let page = browser.get(path).await;
        assert!(page.status.is_client_error() && page.html.starts_with("<!doctype"), "{path}: {}", page.html);
    }
    let nobody = Browser::new(&app);
    let answer = nobody.raw(Method::POST, "/account/erasure", Some(String::new()), &[]).await;
    assert_eq!(answer.headers["location"], "/sign-in?next=%2Fhome");
    let answer = nobody.raw(Method::GET, "/rentals?x=1", None, &[]).await;
    assert_eq!(answer.headers["location"], "/sign-in?next=%2Frentals%3Fx%3D1");
}
