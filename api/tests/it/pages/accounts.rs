//! Signing up, in and out.

use reqwest::StatusCode;

use super::kit::Browser;
use crate::app::TestApp;

const PASSWORD: &str = "correct horse battery";

async fn sign_up(browser: &Browser<'_>, email: &str) -> super::kit::Page {
    let page = browser.get("/sign-up").await.ok();
    let fields = [("name", "Ada"), ("email", email), ("password", PASSWORD)];
    browser.send(&page, "/sign-up", &fields).await
}

async fn sign_in(browser: &Browser<'_>, email: &str, password: &str) -> super::kit::Page {
    let page = browser.get("/sign-in").await.ok();
    browser.send(&page, "/sign-in", &[("email", email), ("password", password)]).await
}

#[tokio::test]
async fn somebody_signs_up_out_and_in() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    sign_up(&browser, "Ada@example.org").await.ok();
    let account = browser.get("/account").await.ok();
    account.says("You sign in as ada@example.org").says("Your mail address is not proved yet");
    let out = browser.send(&account, "/sign-out", &[]).await.ok();
    out.says("You are signed out");
    assert!(browser.cookie().is_none());
    browser.get("/account").await.ok().says("With your password");
    sign_in(&browser, " ada@EXAMPLE.org", PASSWORD).await.ok();
    browser.get("/account").await.ok().says("Your account");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_look_the_same_and_are_counted() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    sign_up(&browser, "ada@example.org").await.ok();
    let other = Browser::new(&app);
    let wrong = sign_in(&other, "ada@example.org", "wrong horse battery").await;
    let unknown = sign_in(&other, "eve@example.org", "wrong horse battery").await;
    assert_eq!((wrong.status, unknown.status), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
    assert_eq!(wrong.text().replace("ada@", "eve@"), unknown.text());
    for _ in 0..9 {
        sign_in(&other, "ada@example.org", "wrong horse battery").await;
    }
    let refused = sign_in(&other, "ada@example.org", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers.contains_key("retry-after"));
    app.advance(901);
    sign_in(&other, "ada@example.org", PASSWORD).await.ok();
}

#[tokio::test]
async fn two_people_cannot_sign_in_with_one_address() {
    let app = TestApp::new().await;
    sign_up(&Browser::new(&app), "ada@example.org").await.ok();
    let refused = sign_up(&Browser::new(&app), "ADA@example.org").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    refused.says("this address has an account already");
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let app = TestApp::new().await;
    let (here, there) = (Browser::new(&app), Browser::new(&app));
    sign_up(&here, "ada@example.org").await.ok();
    sign_in(&there, "ada@example.org", PASSWORD).await.ok();
    let account = here.get("/account").await.ok();
    let wrong =
        here.send(&account, "/account/password", &[("old", "not this one"), ("new", "new horse battery")]);
    assert_eq!(wrong.await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [("old", PASSWORD), ("new", "new horse battery")];
    here.send(&account, "/account/password", &fields).await.ok().says("Your password is changed");
    there.get("/account").await.ok().says("With your password");
    sign_in(&there, "ada@example.org", "new horse battery").await.ok();
}

#[tokio::test]
async fn a_session_of_a_token_may_do_what_the_token_may_and_ends_with_it() {
    let app = TestApp::new().await;
    let browser = Browser::with_token(&app, &app.operator).await;
    let page = browser.get("/account/tokens").await.ok();
    let made =
        browser.send(&page, "/account/tokens", &[("label", "laptop"), ("role", "operator")]).await.ok();
    let token = super::kit::between(&made.html, "class=\"secret\">", "<").unwrap().to_owned();
    let other = Browser::with_token(&app, &token).await;
    let page = other.get("/account/tokens").await.ok();
    let row = &page.html[page.html.find("<td>laptop</td>").unwrap()..];
    let token = super::kit::between(row, "/account/tokens/", "/revocation").unwrap();
    let action = format!("/account/tokens/{token}/revocation");
    browser.send(&page_of(&browser).await, &action, &[]).await.ok().says("The token is revoked");
    other.get("/account").await.ok().says("With a token");
}

async fn page_of(browser: &Browser<'_>) -> super::kit::Page {
    browser.get("/account/tokens").await.ok()
}

#[tokio::test]
async fn an_account_is_erased_and_the_ledger_keeps_its_number() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    sign_up(&browser, "ada@example.org").await.ok();
    let account = browser.get("/account").await.ok();
    browser.send(&account, "/account/erasure", &[("sure", "yes")]).await.ok().says("Your account is erased");
    browser.get("/account").await.ok().says("With your password");
    assert_eq!(sign_in(&browser, "ada@example.org", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    sign_up(&browser, "ada@example.org").await.ok();
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_after_a_month_in_any_case() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    sign_up(&browser, "ada@example.org").await.ok();
    for _ in 0..5 {
        app.advance(6 * 86_400 - 1);
        browser.get("/account").await.ok().says("Your account");
    }
    app.advance(5);
    browser.get("/account").await.ok().says("With your password");
    sign_in(&browser, "ada@example.org", PASSWORD).await.ok();
    app.advance(7 * 86_400);
    browser.get("/account").await.ok().says("With your password");
}
