//! Passkeys, with a security key in software.

use api::config::Config;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    authenticator::Authenticator,
    kit::{Browser, Page, between},
};
use crate::app::TestApp;

const ORIGIN: &str = "https://berth.example";
const PASSWORD: &str = "correct horse battery";

async fn site() -> TestApp {
    let mut config = Config::default();
    config.web.url = ORIGIN.into();
    TestApp::with(config).await
}

async fn sign_up<'a>(app: &'a TestApp, email: &str) -> Browser<'a> {
    let browser = Browser::new(app);
    let page = browser.get("/sign-up").await.ok();
    let fields = [("name", "Ada"), ("email", email), ("password", PASSWORD)];
    browser.send(&page, "/sign-up", &fields).await.ok();
    browser
}

/// What the page's script sends; the status and what is answered.
async fn send(browser: &Browser<'_>, path: &str, body: &Value) -> (StatusCode, Value) {
    let csrf = match browser.cookie() {
        Some(_) => csrf(&browser.get("/account").await.ok()),
        None => String::new(),
    };
    let headers = [("content-type", "application/json"), ("x-csrf", csrf.as_str())];
    let page = browser.raw(Method::POST, path, Some(body.to_string()), &headers).await;
    let body = serde_json::from_str(&page.html);
    (page.status, body.unwrap_or_else(|_| panic!("{path} answers {}: {}", page.status, page.html)))
}

fn csrf(page: &Page) -> String {
    between(&page.html, "name=\"csrf\" value=\"", "\"").unwrap().to_owned()
}

#[track_caller]
fn refused(answer: &(StatusCode, Value), status: u16, kind: &str) {
    let (got, body) = answer;
    assert_eq!((got.as_u16(), &body["type"]), (status, &json!(format!("/problems/{kind}"))), "{body}");
}

async fn ask_to_add(browser: &Browser<'_>) -> Value {
    let asked = send(browser, "/account/passkeys/challenge", &json!({"password": PASSWORD})).await;
    assert_eq!(asked.0, StatusCode::OK, "{}", asked.1);
    asked.1
}

async fn answer(browser: &Browser<'_>, path: &str, asked: &Value, answer: Value) -> (StatusCode, Value) {
    let body =
        json!({"challenge": asked["challenge"], "name": "My phone", "answer": answer, "next": "/account"});
    send(browser, path, &body).await
}

async fn add(browser: &Browser<'_>, key: &mut Authenticator) {
    let asked = ask_to_add(browser).await;
    let made = key.make(&asked["publicKey"]);
    let added = answer(browser, "/account/passkeys", &asked, made).await;
    assert_eq!(added, (StatusCode::OK, json!({"to": "/account?done=passkey"})));
}

async fn ask_to_sign_in(browser: &Browser<'_>) -> Value {
    let asked = send(browser, "/sign-in/passkey/challenge", &json!({})).await;
    assert_eq!(asked.0, StatusCode::OK, "{}", asked.1);
    asked.1
}

async fn sign_in(app: &TestApp, key: &mut Authenticator) -> (StatusCode, Value) {
    let browser = Browser::new(app);
    let asked = ask_to_sign_in(&browser).await;
    let signed = key.sign(&asked["publicKey"]);
    answer(&browser, "/sign-in/passkey", &asked, signed).await
}

const WELCOME: StatusCode = StatusCode::OK;

#[tokio::test]
async fn somebody_signs_in_with_a_passkey_until_it_is_removed() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    let asked = ask_to_add(&ada).await;
    let options = &asked["publicKey"];
    assert_eq!(options["rp"], json!({"id": "berth.example", "name": "Berth"}));
    assert_eq!(options["user"]["name"], "ada@example.org");
    assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
    assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
    add(&ada, &mut key).await;
    ada.get("/account?done=passkey").await.ok().says("The passkey is added").says("My phone").says("never");

    let elsewhere = Browser::new(&app);
    elsewhere.get("/sign-in").await.ok().says("Sign in with a passkey");
    let asked = ask_to_sign_in(&elsewhere).await;
    assert_eq!(asked["publicKey"]["allowCredentials"], json!([]));
    let signed = key.sign(&asked["publicKey"]);
    let into = answer(&elsewhere, "/sign-in/passkey", &asked, signed).await;
    assert_eq!(into, (WELCOME, json!({"to": "/account"})));
    let account = elsewhere.get("/account").await.ok();
    account.says("You sign in as ada@example.org").does_not_say("<td>never</td>");

    let removal = between(&account.html, "action=\"/account/passkeys/", "/removal\"").unwrap();
    let removal = format!("/account/passkeys/{removal}/removal");
    let eve = sign_up(&app, "eve@example.org").await;
    let form = format!("csrf={}", csrf(&eve.get("/account").await));
    let others = eve.raw(Method::POST, &removal, Some(form), &[]).await;
    assert_eq!(others.status, StatusCode::NOT_FOUND);
    elsewhere.send(&account, &removal, &[]).await.ok().says("The passkey is removed").says("You have none");
    refused(&sign_in(&app, &mut key).await, 401, "wrong-passkey");
}

#[tokio::test]
async fn an_erased_account_takes_its_passkeys_with_it() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    add(&ada, &mut key).await;
    let account = ada.get("/account").await.ok();
    ada.send(&account, "/account/erasure", &[("sure", "yes")]).await.ok().says("Your account is erased");
    refused(&sign_in(&app, &mut key).await, 401, "wrong-passkey");
}

#[tokio::test]
async fn a_challenge_is_answered_once_and_within_five_minutes() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    let asked = ask_to_add(&ada).await;
    let made = key.make(&asked["publicKey"]);
    app.advance(300);
    refused(&answer(&ada, "/account/passkeys", &asked, made).await, 410, "dead-challenge");
    add(&ada, &mut key).await;

    let nobody = Browser::new(&app);
    let asked = ask_to_sign_in(&nobody).await;
    let signed = key.sign(&asked["publicKey"]);
    app.advance(299);
    assert_eq!(answer(&nobody, "/sign-in/passkey", &asked, signed.clone()).await.0, WELCOME);
    let again = answer(&Browser::new(&app), "/sign-in/passkey", &asked, signed).await;
    refused(&again, 410, "dead-challenge");
    let asked = ask_to_sign_in(&Browser::new(&app)).await;
    let signed = key.sign(&asked["publicKey"]);
    app.advance(300);
    refused(&answer(&Browser::new(&app), "/sign-in/passkey", &asked, signed).await, 410, "dead-challenge");
}

#[tokio::test]
async fn a_challenge_of_another_account_session_or_purpose_is_worth_nothing() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    let eve = sign_up(&app, "eve@example.org").await;
    let asked = ask_to_add(&ada).await;
    let made = key.make(&asked["publicKey"]);
    refused(&answer(&eve, "/account/passkeys", &asked, made.clone()).await, 410, "dead-challenge");
    let other_session = Browser::new(&app);
    let page = other_session.get("/sign-in").await.ok();
    let typed = [("email", "ada@example.org"), ("password", PASSWORD)];
    other_session.send(&page, "/sign-in", &typed).await.ok();
    refused(&answer(&other_session, "/account/passkeys", &asked, made.clone()).await, 410, "dead-challenge");
    let to_sign_in = ask_to_sign_in(&Browser::new(&app)).await;
    refused(&answer(&ada, "/account/passkeys", &to_sign_in, made.clone()).await, 410, "dead-challenge");
    let signed = key.sign(&asked["publicKey"]);
    refused(&answer(&Browser::new(&app), "/sign-in/passkey", &asked, signed).await, 410, "dead-challenge");
    // It is Ada's still, and nobody else can have the same passkey afterwards.
    assert_eq!(answer(&ada, "/account/passkeys", &asked, made).await.0, WELCOME);
    let asked = ask_to_add(&eve).await;
    let made = key.make(&asked["publicKey"]);
    refused(&answer(&eve, "/account/passkeys", &asked, made).await, 409, "passkey-refused");
    refused(&sign_in(&app, &mut key).await, 401, "wrong-passkey");
}

#[tokio::test]
async fn an_answer_that_was_not_verified_or_is_of_another_site_or_key_is_refused() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    let spoil: [fn(&mut Authenticator); 2] =
        [|key| key.verifies = false, |key| key.origin = "https://berth.example.evil.example".into()];
    for spoil in spoil {
        let mut bad = Authenticator::new(ORIGIN);
        spoil(&mut bad);
        let asked = ask_to_add(&ada).await;
        let made = bad.make(&asked["publicKey"]);
        refused(&answer(&ada, "/account/passkeys", &asked, made).await, 422, "invalid-request");
    }
    add(&ada, &mut key).await;
    for spoil in spoil {
        spoil(&mut key);
        refused(&sign_in(&app, &mut key).await, 401, "wrong-passkey");
        (key.verifies, key.origin) = (true, ORIGIN.into());
    }
    let nobody = Browser::new(&app);
    for part in ["signature", "userHandle", "authenticatorData"] {
        let asked = ask_to_sign_in(&nobody).await;
        let mut signed = key.sign(&asked["publicKey"]);
        signed["response"][part] = json!("AAAAAAAAAAAAAAAAAAAAAA");
        refused(&answer(&nobody, "/sign-in/passkey", &asked, signed).await, 401, "wrong-passkey");
    }
    let nameless = ask_to_sign_in(&nobody).await;
    let mut signed = key.sign(&nameless["publicKey"]);
    signed["response"].as_object_mut().unwrap().remove("userHandle");
    refused(&answer(&nobody, "/sign-in/passkey", &nameless, signed).await, 401, "wrong-passkey");
    refused(&sign_in(&app, &mut Authenticator::new(ORIGIN)).await, 401, "wrong-passkey");
    assert_eq!(sign_in(&app, &mut key).await.0, WELCOME);
}

#[tokio::test]
async fn a_copy_of_a_passkey_is_refused_and_an_operator_is_told_until_it_is_removed() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    add(&ada, &mut key).await;
    assert_eq!(sign_in(&app, &mut key).await.0, WELCOME);
    key.counter -= 1;
    refused(&sign_in(&app, &mut key).await, 401, "wrong-passkey");
    let copied = async || app.app.private.attention_to("passkey-copied").await.unwrap();
    let told = copied().await;
    assert!(told.len() == 1 && told[0].subject.starts_with("passkey-"), "{told:?}");
    let account = ada.get("/account").await.ok();
    let removal = format!("/account/passkeys/{}/removal", &told[0].subject["passkey-".len()..]);
    ada.send(&account, &removal, &[]).await.ok();
    assert_eq!(copied().await, vec![]);
}

#[tokio::test]
async fn whoever_finds_a_browser_open_adds_no_passkey() {
    let app = site().await;
    let ada = sign_up(&app, "ada@example.org").await;
    let path = "/account/passkeys/challenge";
    for wrong in [json!({}), json!({"password": null}), json!({"password": "wrong horse battery"})] {
        refused(&send(&ada, path, &wrong).await, 422, "invalid-request");
    }
    for _ in 0..7 {
        refused(&send(&ada, path, &json!({})).await, 422, "invalid-request");
    }
    refused(&send(&ada, path, &json!({"password": PASSWORD})).await, 429, "too-many-tries");

    // Without a password, whoever has just signed in.
    let olga = Browser::with_token(&app, &app.operator).await;
    assert_eq!(send(&olga, path, &json!({})).await.0, StatusCode::OK);
    app.advance(601);
    refused(&send(&olga, path, &json!({})).await, 403, "sign-in-again");
    refused(&send(&Browser::new(&app), path, &json!({})).await, 401, "unauthenticated");
}

#[tokio::test]
async fn a_session_of_a_narrower_token_neither_adds_nor_removes() {
    let app = site().await;
    let (ada, mut key) = (sign_up(&app, "ada@example.org").await, Authenticator::new(ORIGIN));
    add(&ada, &mut key).await;
    let page = ada.get("/account/tokens").await.ok();
    let made = ada.send(&page, "/account/tokens", &[("label", "laptop"), ("role", "owner")]).await.ok();
    let token = between(&made.html, "class=\"secret\">", "<").unwrap();
    let narrow = Browser::with_token(&app, token).await;
    let asked = send(&narrow, "/account/passkeys/challenge", &json!({"password": PASSWORD})).await;
    refused(&asked, 403, "forbidden");
    let account = narrow.get("/account").await.ok();
    let passkey = between(&account.html, "action=\"/account/passkeys/", "/removal\"").unwrap();
    let removal = format!("/account/passkeys/{passkey}/removal");
    assert_eq!(narrow.send(&account, &removal, &[]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(sign_in(&app, &mut key).await.0, WELCOME);
}

#[tokio::test]
async fn what_another_site_sends_or_nobody_can_read_is_refused() {
    let app = site().await;
    let ada = sign_up(&app, "ada@example.org").await;
    let csrf = csrf(&ada.get("/account").await);
    let body = json!({"password": PASSWORD}).to_string();
    let path = "/account/passkeys/challenge";
    let status = async |path: &str, headers: &[(&'static str, &str)], body: &str| {
        ada.raw(Method::POST, path, Some(body.to_owned()), headers).await.status.as_u16()
    };
    let json = ("content-type", "application/json");
    let good = [json, ("x-csrf", csrf.as_str())];
    for foreign in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(status(path, &[good[0], good[1], foreign], &body).await, 403, "{foreign:?}");
    }
    for csrf in [None, Some(("x-csrf", "")), Some(("x-csrf", &csrf[1..]))] {
        let headers: Vec<_> = [Some(json), csrf].into_iter().flatten().collect();
        assert_eq!(status(path, &headers, &body).await, 403, "{csrf:?}");
    }
    assert_eq!(status(path, &good[1..], &body).await, 415);
    let huge = json!({"challenge": "x".repeat(70_000)}).to_string();
    for path in ["/account/passkeys", "/sign-in/passkey"] {
        for (body, wanted) in [
            ("", 400),
            ("{", 400),
            ("[]", 422),
            ("{}", 422),
            ("{\"challenge\":1,\"name\":\"x\",\"answer\":{}}", 422),
            ("{\"challenge\":\"x\",\"name\":\"x\",\"answer\":{\"id\":\"é\",\"rawId\":\"é\"}}", 422),
            (huge.as_str(), 413),
        ] {
            assert_eq!(status(path, &good, body).await, wanted, "{path} {}", &body[..body.len().min(80)]);
        }
    }
    let mut key = Authenticator::new(ORIGIN);
    for name in ["", "a\u{7}b", &"x".repeat(201)] {
        let asked = ask_to_add(&ada).await;
        let body =
            json!({"challenge": asked["challenge"], "name": name, "answer": key.make(&asked["publicKey"])});
        refused(&send(&ada, "/account/passkeys", &body).await, 422, "invalid-request");
    }
    ada.get("/account").await.ok().says("You have none");
}

#[tokio::test]
async fn passkeys_are_not_offered_where_browsers_have_none() {
    let app = TestApp::new().await;
    let nobody = Browser::new(&app);
    nobody.get("/sign-in").await.ok().does_not_say("passkeys.js").does_not_say("with a passkey");
    let asked = send(&nobody, "/sign-in/passkey/challenge", &json!({})).await;
    refused(&asked, 422, "invalid-request");
    let ada = sign_up(&app, "ada@example.org").await;
    ada.get("/account").await.ok().says("You have none").does_not_say("Add a passkey");
}

#[tokio::test]
async fn signing_in_with_passkeys_is_counted_by_peer() {
    let app = site().await;
    let nobody = Browser::new(&app);
    for _ in 0..300 {
        ask_to_sign_in(&nobody).await;
    }
    let asked = send(&nobody, "/sign-in/passkey/challenge", &json!({})).await;
    refused(&asked, 429, "too-many-tries");
    app.advance(901);
    ask_to_sign_in(&nobody).await;
}
