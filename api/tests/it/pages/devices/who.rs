//! Who gets which of an owner's pages.

use reqwest::Method;

use super::Browser;
use crate::money_town::Town;

/// Nobody, its owner, another owner, its renter, another renter, an auditor, an operator.
const WHO: usize = 7;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_form_of_an_owner_is_for_those_it_is_for() {
    let town = Town::new(|_| {}).await;
    let app = &town.test;
    let (other, stranger) = (app.account(&["owner"], None).await, app.account(&["renter"], None).await);
    let auditor = app.account(&["auditor"], None).await;
    let tokens = [&town.owner, &other, &town.renter, &stranger, &auditor].map(|who| who.token.clone());
    let mut browsers = vec![Browser::new(app)];
    for token in tokens.iter().chain([&app.operator]) {
        browsers.push(Browser::with_token(app, token).await);
    }
    let device = format!("/devices/{}", town.device.id);
    let unknown = format!("/devices/{}", uuid::Uuid::nil());
    let pages: [(String, [u16; WHO]); 7] = [
        ("/devices".into(), [303, 200, 200, 403, 403, 200, 200]),
        ("/devices/new".into(), [303, 200, 200, 403, 403, 403, 403]),
        (device.clone(), [303, 200, 404, 403, 403, 200, 200]),
        (format!("{device}/offer"), [303, 200, 404, 403, 403, 200, 200]),
        (unknown, [303, 404, 404, 403, 403, 404, 404]),
        ("/earnings".into(), [303, 200, 200, 403, 403, 200, 200]),
        ("/devices/not-an-id".into(), [303, 400, 400, 400, 400, 400, 400]),
    ];
    for (path, wanted) in pages {
        let mut got = [0; WHO];
        for (browser, got) in browsers.iter().zip(&mut got) {
            *got = browser.raw(Method::GET, &path, None, &[]).await.status.as_u16();
        }
        assert_eq!(got, wanted, "GET {path}");
    }
    // What each form comes to when it is filled in wrongly, so that nothing changes for the next.
    let refused = [303, 422, 404, 403, 403, 403, 422];
    let mut forms = vec![("/earnings/release".to_owned(), [303, 422, 422, 403, 403, 403, 403])];
    for form in ["name", "retirement", "transfer", "agent.json", "offer", "enrolment-key"] {
        forms.push((format!("{device}/{form}"), refused));
    }
    forms.push((format!("{device}/offer/withdrawal"), [303, 303, 404, 403, 403, 403, 303]));
    forms.push(("/devices/new".into(), [303, 422, 422, 403, 403, 403, 403]));
    for (path, wanted) in forms {
        let mut got = [0; WHO];
        for (browser, got) in browsers.iter().zip(&mut got) {
            let account = browser.get("/account").await;
            let csrf = super::between(&account.html, "name=\"csrf\" value=\"", "\"").unwrap_or_default();
            let body = Some(format!("csrf={csrf}"));
            *got = browser.raw(Method::POST, &path, body, &[]).await.status.as_u16();
        }
        assert_eq!(got, wanted, "POST {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_watch_see_whose_a_device_is_and_change_nothing() {
    let town = Town::new(|_| {}).await;
    let auditor = town.test.account(&["auditor"], None).await;
    let path = format!("/devices/{}", town.device.id);
    let watching = Browser::with_token(&town.test, &auditor.token).await;
    let page = watching.get(&path).await.ok();
    page.says(&town.owner.id).says("History of the device").does_not_say("<h2 id=\"settings\">");
    watching.get("/devices").await.ok().says("You let no device yet").does_not_say(&town.device.id);
    watching
        .get(&format!("{path}/offer"))
        .await
        .ok()
        .says("What a renter pays")
        .does_not_say("name=\"title\"");
    let owning = Browser::with_token(&town.test, &town.owner.token).await;
    owning.get(&path).await.ok().does_not_say("/audit/devices").does_not_say("<dt>Owner");
}
