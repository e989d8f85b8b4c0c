//! An owner's devices: enrolled, offered, watched, retired, given away.

mod samples;
mod who;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::kit::{Browser, Page, between};
use crate::{
    app::TestApp,
    money_town::Town,
    world::{Device, Who},
};

async fn owner(app: &TestApp) -> Who {
    app.account(&["owner"], None).await
}

/// Enrols a device in the browser; answers with the page that shows its key.
async fn enrol(browser: &Browser<'_>, name: &str) -> Page {
    let page = browser.get("/devices/new").await.ok();
    browser.send(&page, "/devices/new", &[("name", name)]).await
}

/// The offer's form with everything that a browser sends.
async fn publish(browser: &Browser<'_>, device: &str, changes: &[(&str, &str)]) -> Page {
    let path = format!("/devices/{device}/offer");
    let page = browser.get(&path).await.ok();
    let mut fields = vec![("title", "A small computer"), ("asset", "USD"), ("hour", "0.60")];
    fields.extend([("min_unit", "hours"), ("max_unit", "days")]);
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    browser.send(&page, &path, &fields).await
}

#[tokio::test]
async fn a_device_is_enrolled_with_a_key_that_is_shown_once_and_in_no_address() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    let browser = Browser::with_token(&app, &owner.token).await;
    browser.get("/devices").await.ok().says("You let no device yet");
    let shown = enrol(&browser, " pi-kitchen ").await.ok();
    let key = between(&shown.html, "class=\"secret\">", "<").unwrap().to_owned();
    assert!(key.starts_with("berth-key-"), "{key}");
    assert_eq!(shown.headers["cache-control"], "no-store");
    shown.says("berth-agent run --config agent.json");
    let action = between(&shown.html, "action=\"/devices/", "/agent.json\"").unwrap();
    let (device, action) = (action.to_owned(), format!("/devices/{action}/agent.json"));

    let file = browser.send(&shown, &action, &[]).await.ok();
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"agent.json\"");
    assert_eq!(file.headers["cache-control"], "no-store");
    let agent: Value = serde_json::from_str(&file.html).unwrap();
    assert_eq!(agent["key"], key);
    assert_eq!(agent["server_key"], app.app.keys.root().to_string());
    assert!(agent["server"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{agent}");

    let list = browser.get("/devices").await.ok();
    list.says("pi-kitchen").says("waiting to register").does_not_say(&key);
    let page = browser.get(&format!("/devices/{device}")).await.ok();
    page.does_not_say(&key);
    let fresh = browser.send(&page, &format!("/devices/{device}/enrolment-key"), &[]).await.ok();
    fresh.says("The key before it is refused").does_not_say(&key);
    let stale = browser.send(&shown, &action, &[]).await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    stale.says("not in force any more");
}

#[tokio::test]
async fn a_name_that_cannot_be_is_shown_again_with_why() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    let browser = Browser::with_token(&app, &owner.token).await;
    for name in ["", "  ", &"x".repeat(201), "a\u{7}b"] {
        let refused = enrol(&browser, name).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name:?}");
        refused.says("name must be 1 to 200 bytes");
    }
    browser.get("/devices").await.ok().says("You let no device yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_tells_how_each_device_is() {
    let app = TestApp::new().await;
    let (owner, renter) = (owner(&app).await, app.account(&["renter"], None).await);
    let shop = app.account(&["marketplace"], Some("shop")).await;
    let browser = Browser::with_token(&app, &owner.token).await;
    let says = async |wanted: &str| {
        browser.get("/devices").await.ok().says(wanted);
    };
    let device = app.enrol(&owner).await;
    says("waiting to register").await;
    app.register(&device).await.ok();
    says("connected not on the market").await;
    publish(&browser, &device.id, &[]).await.ok().says("The offer is on the market");
    says("connected listed – – – 0.60 USD an hour").await;
    app.advance(93);
    says("delayed listed").await;
    app.check_in(&device).await.ok();
    says("connected listed").await;
    app.advance(601);
    app.run_due().await;
    says("lost listed").await;
    app.check_in(&device).await.ok();
    app.settle().await;
    let contract = app.rental(&shop, &renter, &device).await;
    app.advance(3_600);
    app.check_in(&device).await.ok();
    let list = browser.get("/devices").await.ok();
    list.says("connected let").says("9 h").says("0.54 USD");
    assert!(list.html.contains(&format!("href=\"/rentals/{contract}\"")), "{}", list.html);
    app.post(&format!("/v1/contracts/{contract}/termination"), &owner.token, &serde_json::json!({}))
        .await
        .ok();
    app.settle().await;
    says("pi erasing").await;
    let path = format!("/devices/{}", device.id);
    browser.get(&path).await.ok().says("It waits to be erased: lease 1 has ended");
    app.erase(&device).await.ok();
    says("waiting to register").await;
    let page = browser.get(&path).await.ok();
    page.says("ended early 100 %");
    let unsure = browser.send(&page, &format!("{path}/retirement"), &[]).await;
    assert_eq!(unsure.status, StatusCode::UNPROCESSABLE_ENTITY);
    unsure.says("tick the box");
    browser.send(&page, &format!("{path}/retirement"), &[("sure", "yes")]).await.ok().says("out of service");
    says("retired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_a_device_was_offline_stands_beside_its_rental() {
    let town = Town::new(|config| config.devices.lost_after_s = 600).await;
    let (test, path) = (&town.test, format!("/devices/{}", town.device.id));
    let browser = Browser::with_token(test, &town.owner.token).await;
    test.check_in(&town.device).await.ok();
    test.advance(900);
    test.run_due().await;
    browser.get(&path).await.ok().says("lost").says("The time since is not paid");
    test.check_in(&town.device).await.ok();
    test.advance(900);
    test.check_in(&town.device).await.ok();
    test.settle().await;
    browser.get(&path).await.ok().says("50 % 15 min in 1 outage");
    // An ended rental keeps what its end has recorded.
    town.terminate().await;
    test.run_due().await;
    test.erase(&town.device).await.ok();
    test.register(&town.device).await.ok();
    browser.get(&path).await.ok().says("ended early 50 % 15 min in 1 outage 6.00 USD 0.14 USD");
}

#[tokio::test]
async fn an_offer_is_checked_and_what_was_typed_is_kept() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    let device = app.enrol(&owner).await;
    let browser = Browser::with_token(&app, &owner.token).await;
    for (field, value, why) in [
        ("title", "", "1 to 120 bytes"),
        ("asset", "DOGE", "unknown asset"),
        ("hour", "-1", "cannot be negative"),
        ("day", "1e3", "not a decimal number"),
        ("min", "0", "at least 1 second"),
        ("max", "99999", "3650 days"),
        ("max_unit", "\u{202e}", "choose a unit"),
    ] {
        let refused = publish(&browser, &device.id, &[(field, value)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}={value}");
        refused.says(why);
        assert!(refused.html.contains("value=\"0.60\"") || field == "hour", "{}", refused.html);
    }
    let saved = publish(&browser, &device.id, &[("day", "9"), ("max", "30")]).await.ok();
    saved.says("The offer is on the market").says("1 h 0.60 USD").says("1 d 9.00 USD").says("7 d 63.00 USD");
    let gone = browser.send(&saved, &format!("/devices/{}/offer/withdrawal", device.id), &[]).await.ok();
    gone.says("The offer is off the market").says("not on the market");
}

#[tokio::test]
async fn a_device_is_renamed_and_given_to_another_owner_who_sees_nothing_of_before() {
    let app = TestApp::new().await;
    let (ada, bob) = (owner(&app).await, owner(&app).await);
    let renter = app.account(&["renter"], None).await;
    let device = app.enrol(&ada).await;
    let (here, there) =
        (Browser::with_token(&app, &ada.token).await, Browser::with_token(&app, &bob.token).await);
    let path = format!("/devices/{}", device.id);
    let page = here.get(&path).await.ok();
    let renamed = here.send(&page, &format!("{path}/name"), &[("name", "<b>ink</b>")]).await.ok();
    renamed.says("The device has its new name").says("<b>ink</b>").does_not_say("<b>ink");
    let refused = here.send(&page, &format!("{path}/name"), &[("name", "")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    for (to, why) in [("bob", "no account's number"), (renter.id.as_str(), "an account with the role owner")]
    {
        let refused = here.send(&page, &format!("{path}/transfer"), &[("to", to)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{to}");
        refused.says(why);
        assert!(refused.html.contains(&format!("value=\"{to}\"")));
    }
    assert_eq!(there.get(&path).await.status, StatusCode::NOT_FOUND);
    let given = here.send(&page, &format!("{path}/transfer"), &[("to", &bob.id)]).await.ok();
    given.says("The device has a new owner").says("You let no device yet");
    assert_eq!(here.get(&path).await.status, StatusCode::NOT_FOUND);
    there
        .get(&path)
        .await
        .ok()
        .says("It has no enrolment key: make one below")
        .says("Nobody has rented it yet");
}

#[tokio::test]
async fn a_long_list_goes_on_where_it_stopped() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    for _ in 0..27 {
        app.enrol(&owner).await;
    }
    let browser = Browser::with_token(&app, &owner.token).await;
    let rows = |page: &Page| page.html.matches("<tr><th scope=\"row\">").count();
    let first = browser.get("/devices").await.ok();
    let next = between(&first.html, "<a href=\"/devices?after=", "\" rel=\"next\"").unwrap();
    let second = browser.get(&format!("/devices?after={next}")).await.ok();
    assert_eq!((rows(&first), rows(&second)), (25, 2));
    second.says("The newest").does_not_say("rel=\"next\"");
    browser.get("/devices?after=0").await.ok().says("There are no more");
    for odd in ["x", "-1", "99999999999999999999999", "%ff"] {
        let refused = browser.get(&format!("/devices?after={odd}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{odd}");
    }
}

#[tokio::test]
async fn forms_that_no_page_has_are_refused_as_pages() {
    let app = TestApp::new().await;
    let owner = owner(&app).await;
    let device: Device = app.enrol(&owner).await;
    let browser = Browser::with_token(&app, &owner.token).await;
    let path = format!("/devices/{}", device.id);
    let csrf = browser.get(&path).await.form("/sign-out").into_iter().find(|(name, _)| name == "csrf");
    let csrf = csrf.unwrap().1;
    let huge = "9".repeat(60_000);
    for what in ["/name", "/transfer", "/retirement", "/agent.json", "/offer"] {
        for fields in [
            "",
            "name=%00",
            "to=%ff",
            "sure=no",
            "title=&asset=&hour=&min=&max=",
            &format!("name={huge}&hour={huge}&min={huge}&to={huge}"),
        ] {
            let body = format!("csrf={csrf}&{fields}");
            let answer = browser.raw(Method::POST, &format!("{path}{what}"), Some(body), &[]).await;
            let said = (answer.status.is_client_error(), answer.html.starts_with("<!doctype html>"));
            assert_eq!(said, (true, true), "{what} {}: {}", &fields[..fields.len().min(40)], answer.status);
        }
    }
}
