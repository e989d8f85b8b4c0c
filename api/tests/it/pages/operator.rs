//! What operators see and do.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::kit::{Browser, Page, between};
use crate::{
    app::TestApp,
    world::{Device, Who, usd},
};

/// A market with a running rental, a refused order and its refund.
struct Market {
    app: TestApp,
    owner: Who,
    renter: Who,
    shop: Who,
    device: Device,
    contract: String,
    refund: String,
}

async fn market() -> Market {
    let app = TestApp::new().await;
    let (owner, renter) = (app.account(&["owner"], None).await, app.account(&["renter"], None).await);
    let shop = app.account(&["marketplace"], Some("shop")).await;
    let device = app.offered(&owner).await;
    let contract = app.rental(&shop, &renter, &device).await;
    let refused = app.order(&shop, &renter, &device, 3_600, usd("0.60")).await;
    let refund = refused.body["refund"]["settlement"].as_str().unwrap().to_owned();
    app.settle().await;
    Market { app, owner, renter, shop, device, contract, refund }
}

impl Market {
    async fn operator(&self) -> Browser<'_> {
        Browser::with_token(&self.app, &self.app.operator).await
    }

    fn refund_page(&self) -> String {
        format!("/operator/settlements/{}", self.refund)
    }

    /// The device falls silent until it is lost.
    async fn lose(&self) {
        self.app.check_in(&self.device).await;
        self.app.advance(self.app.app.config.devices.lost_after_s + 5);
        self.app.run_due().await;
    }

    async fn erased(&self) {
        let path = format!("/v1/contracts/{}/termination", self.contract);
        self.app.post(&path, &self.renter.token, &json!({})).await.ok();
        self.app.settle().await;
    }
}

/// Sends a page's form.
async fn press(browser: &Browser<'_>, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
    browser.send(page, action, fields).await
}

#[tokio::test]
async fn what_needs_a_human_is_counted_and_led_to() {
    let market = market().await;
    let browser = market.operator().await;
    browser.get("/operator").await.ok().says("All is well").says("Refused orders 1").says("due: 1");
    market.lose().await;
    let page = browser.get("/operator").await.ok();
    page.says("Lost devices 1").says("pi").says("Projections up to date").says("Steward up to date");
    let lost = browser.get("/operator/devices").await.ok();
    lost.says("pi").says("runs").says("End its rental");
    browser.get("/operator/orders").await.ok().says("the device is already let").says("0.60 USD").says("due");
    browser.get("/operator/erasures").await.ok().says("Every ended lease is erased");
    browser.get("/operator/settlements?status=due").await.ok().says("Refund 0.60 USD due");
    browser.get("/operator/settlements?status=quarantined").await.ok().says("There are none");
    assert_eq!(browser.get("/operator/settlements?status=odd").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_job_shows_when_it_ran_what_came_of_it_and_when_it_runs_next() {
    let market = market().await;
    let browser = market.operator().await;
    let page = browser.get("/operator").await.ok();
    page.says("expiry").says("not yet").says("2026-11-22 09:00");
    market.app.advance(36_001);
    market.app.check_in(&market.device).await;
    market.app.run_due().await;
    let page = browser.get("/operator").await.ok();
    page.says("1 done").says("nothing was due").says("ms");
}

#[tokio::test]
async fn a_settlement_is_started_fails_is_quarantined_and_is_resolved() {
    let market = market().await;
    let browser = market.operator().await;
    let path = market.refund_page();
    let page = browser.get(&path).await.ok();
    page.says("Refund of 0.60 USD")
        .says("due")
        .says("You have moved it by hand")
        .does_not_say("It had moved");
    let page = press(&browser, &page, &format!("{path}/start"), &[("method", "by bank")]).await.ok();
    page.says("It is noted as started").says("Try 1 is under way").does_not_say("/manual");
    let page = press(&browser, &page, &format!("{path}/failed"), &[("reason", "no funds")]).await.ok();
    page.says("failed").says("no funds");
    let page = press(&browser, &page, &format!("{path}/start"), &[("method", "by bank")]).await.ok();
    let page = press(&browser, &page, &format!("{path}/quarantined"), &[("reason", "timeout")]).await.ok();
    page.says("quarantined").says("Nobody knows whether try 2");
    browser.get("/operator").await.ok().says("Quarantined settlements 1").says("timeout");
    let fields =
        [("outcome", "moved"), ("reference", "tx-1"), ("moved", "0.50"), ("note", "seen in the wallet")];
    let page = press(&browser, &page, &format!("{path}/resolution"), &fields).await.ok();
    page.says("It is noted that the money moved")
        .says("settled")
        .says("0.50 USD")
        .says("Nothing is left to do");
    browser.get("/operator/settlements?status=due").await.ok().says("0.10 USD");
}

#[tokio::test]
async fn money_moved_by_hand_is_settled_once_and_a_wrong_amount_is_typed_again() {
    let market = market().await;
    let browser = market.operator().await;
    let path = market.refund_page();
    let page = browser.get(&path).await.ok();
    let by_hand = format!("{path}/manual");
    for (moved, reference) in
        [("0,60", "tx"), ("-1", "tx"), ("0.601", "tx"), ("0.60", " "), ("0", "tx"), ("1 BTC", "tx")]
    {
        let answer = press(&browser, &page, &by_hand, &[("moved", moved), ("reference", reference)]).await;
        assert!(answer.status.is_client_error(), "{moved} {reference}: {}", answer.text());
        answer.says("due");
        assert!(answer.html.contains(&format!("value=\"{moved}\"")), "{}", answer.html);
    }
    let fields = [("moved", "0.60"), ("reference", "tx-9"), ("network_fee", "0.01 USD")];
    press(&browser, &page, &by_hand, &fields)
        .await
        .ok()
        .says("settled")
        .says("tx-9")
        .says("0.01 USD to the network");
    press(&browser, &page, &by_hand, &fields).await.ok().says("settled");
    let other = [("moved", "0.60"), ("reference", "tx-10")];
    assert_eq!(press(&browser, &page, &by_hand, &other).await.status, StatusCode::CONFLICT);
    let events = market.app.get("/v1/events?type=SettlementSettled", &market.app.operator).await.ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_form_of_an_earlier_try_reports_nothing_about_the_next() {
    let market = market().await;
    let browser = market.operator().await;
    let path = market.refund_page();
    let page = browser.get(&path).await.ok();
    let first = press(&browser, &page, &format!("{path}/start"), &[("method", "bank")]).await.ok();
    let again = press(&browser, &first, &format!("{path}/failed"), &[("reason", "no")]).await.ok();
    let second = press(&browser, &again, &format!("{path}/start"), &[("method", "bank")]).await.ok();
    let late = press(&browser, &first, &format!("{path}/settled"), &[("reference", "tx")]).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text());
    press(&browser, &second, &format!("{path}/quarantined"), &[("reason", "?")]).await.ok();
    let doubtful = browser.get(&path).await.ok();
    let resolution = format!("{path}/resolution");
    let wrong = [("outcome", "not_moved"), ("note", "n"), ("revision", "1")];
    let answer = press(&browser, &doubtful, &resolution, &wrong).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{}", answer.text());
    browser.get(&path).await.ok().says("quarantined");
}

#[tokio::test]
async fn a_lost_devices_rental_is_ended_and_the_device_retired() {
    let market = market().await;
    let browser = market.operator().await;
    market.lose().await;
    let page = browser.get("/operator/devices").await.ok();
    let end = format!("/operator/contracts/{}/termination", market.contract);
    let unsure = press(&browser, &page, &end, &[]).await;
    assert_eq!(unsure.status, StatusCode::UNPROCESSABLE_ENTITY);
    press(&browser, &page, &end, &[("sure", "yes")]).await.ok().says("The rental is over");
    let page = browser.get("/operator/erasures").await.ok();
    page.says("pi").says("Retire it");
    let retire = format!("/operator/devices/{}/retirement", market.device.id);
    press(&browser, &page, &retire, &[("sure", "yes")]).await.ok().says("The device is out of service");
    let device = market.app.get(&format!("/v1/devices/{}", market.device.id), &market.owner.token).await.ok();
    assert!(device["retired_at"].is_string());
    browser.get("/operator/erasures").await.ok().says("out of service");
}

#[tokio::test]
async fn what_was_seen_to_is_off_the_list() {
    let market = market().await;
    let browser = market.operator().await;
    let item = projections::private::Attention {
        subject: format!("device-{}", market.device.id),
        what: "no port".into(),
        detail: "<script>alert(1)</script>".into(),
        since: market.app.app.clock.time(),
    };
    market.app.app.private.call_attention(&item).await.unwrap();
    browser.get("/operator").await.ok().says("no port").does_not_say("<script>alert");
    let page = browser.get("/operator/attention").await.ok();
    page.says("no port");
    assert!(page.html.contains(&format!("/audit/devices/{}", market.device.id)));
    let after = press(&browser, &page, "/operator/attention", &[]).await.ok();
    after.says("It is off the list").says("Nothing waits for you");
}

#[tokio::test]
async fn an_account_is_opened_given_roles_and_tokens_and_loses_them() {
    let market = market().await;
    let browser = market.operator().await;
    let page = browser.get("/operator/accounts").await.ok();
    page.says("owner").says("marketplace");
    let bare = press(&browser, &page, "/operator/accounts", &[("name", "Zoë")]).await;
    assert_eq!(bare.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bare.html.contains("value=\"Zoë\""), "{}", bare.html);
    let fields = [("name", "Zoë"), ("email", "zoe@example.org"), ("auditor", "yes")];
    let account = press(&browser, &page, "/operator/accounts", &fields).await.ok();
    account.says("The account is open").says("Zoë").says("auditor");
    let again = press(&browser, &page, "/operator/accounts", &fields).await.ok();
    let path = account.path.split('?').next().unwrap().to_owned();
    assert!(again.path.starts_with(&path), "one form opens one account");
    let account = press(&browser, &account, &format!("{path}/roles"), &[("role", "owner")]).await.ok();
    account.says("The role is given").says("owner");
    let tokens = format!("{path}/tokens");
    let made = press(&browser, &account, &tokens, &[("label", "laptop"), ("role", "auditor")]).await.ok();
    let token = between(&made.html, "class=\"secret\">", "<").unwrap().to_owned();
    let zoe = Browser::with_token(&market.app, &token).await;
    zoe.get("/audit").await.ok();
    let page = browser.get(&path).await.ok();
    page.does_not_say(&token).says("laptop");
    let revoke =
        format!("{tokens}/{}/revocation", between(&page.html, &format!("{tokens}/"), "/revocation").unwrap());
    press(&browser, &page, &revoke, &[]).await.ok().says("The token is revoked");
    zoe.get("/audit").await.ok().says("With a token");
    let page = browser.get(&path).await.ok();
    let page = press(&browser, &page, &format!("{path}/roles/auditor/revocation"), &[]).await.ok();
    page.says("The role is taken away");
    for (action, fields) in [
        (tokens.clone(), [("label", ""), ("role", "owner")]),
        (tokens.clone(), [("label", "x"), ("role", "emperor")]),
        (tokens.clone(), [("label", "x"), ("role", "operator")]),
        (format!("{path}/roles"), [("role", "marketplace"), ("label", "")]),
        (format!("{path}/roles"), [("role", "emperor"), ("label", "")]),
    ] {
        let answer = press(&browser, &page, &action, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{action} {fields:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_last_operator_keeps_the_role() {
    let market = market().await;
    let browser = market.operator().await;
    let mut page = browser.get("/operator/accounts").await.ok();
    let own = page.html.split("<tr>").find(|row| row.contains("<bdi>Olga</bdi>")).unwrap();
    let own = format!("/operator/accounts/{}", between(own, "/operator/accounts/", "\"").unwrap());
    page = browser.get(&own).await.ok();
    let answer = press(&browser, &page, &format!("{own}/roles/operator/revocation"), &[]).await;
    assert!(answer.status.is_client_error(), "{}", answer.text());
    browser.get("/operator").await.ok();
}

#[tokio::test]
async fn odd_forms_are_answered_by_pages_and_change_nothing() {
    let market = market().await;
    let browser = market.operator().await;
    let path = market.refund_page();
    let page = browser.get(&path).await.ok();
    let csrf = page.form(&format!("{path}/start")).into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let head = market.app.app.executor.log().head().await.unwrap();
    let long = "x".repeat(5_000);
    let bodies = [
        "",
        "method=",
        "attempt=-1&reason=x",
        "attempt=99999999999&reason=x",
        "moved=%ff",
        "sure=no",
        "a=b&a=c",
    ];
    let bodies = bodies.map(str::to_owned).into_iter();
    for body in
        bodies.chain([format!("method={long}&reason={long}&reference={long}&label={long}&name={long}")])
    {
        for action in [
            format!("{path}/start"),
            format!("{path}/settled"),
            format!("{path}/manual"),
            format!("{path}/failed"),
            format!("{path}/quarantined"),
            format!("{path}/resolution"),
            format!("/operator/contracts/{}/termination", market.contract),
            format!("/operator/devices/{}/retirement", market.device.id),
            "/operator/accounts".to_owned(),
            format!("/operator/accounts/{}/roles", market.owner.id),
            format!("/operator/accounts/{}/tokens", market.owner.id),
        ] {
            let body = format!("csrf={csrf}&{body}");
            let answer = browser.raw(Method::POST, &action, Some(body.clone()), &[]).await;
            let page = answer.html.starts_with("<!doctype html>");
            assert!(answer.status.is_client_error() && page, "{action} {body}: {}", answer.status);
        }
    }
    assert_eq!(market.app.app.executor.log().head().await.unwrap(), head);
}

#[tokio::test]
async fn only_operators_see_and_do_what_operators_do() {
    let market = market().await;
    let app = &market.app;
    let account = format!("/operator/accounts/{}", market.owner.id);
    let gets = [
        "/operator".to_owned(),
        "/operator/attention".into(),
        "/operator/settlements".into(),
        market.refund_page(),
        "/operator/devices".into(),
        "/operator/erasures".into(),
        "/operator/orders".into(),
        "/operator/accounts".into(),
        account.clone(),
    ];
    let refund = market.refund_page();
    let posts = [
        "/operator/attention".to_owned(),
        format!("{refund}/start"),
        format!("{refund}/settled"),
        format!("{refund}/manual"),
        format!("{refund}/failed"),
        format!("{refund}/quarantined"),
        format!("{refund}/resolution"),
        format!("/operator/devices/{}/retirement", market.device.id),
        format!("/operator/contracts/{}/termination", market.contract),
        "/operator/accounts".into(),
        format!("{account}/roles"),
        format!("{account}/roles/owner/revocation"),
        format!("{account}/tokens"),
        format!("{account}/tokens/{}/revocation", uuid::Uuid::nil()),
    ];
    let operator = market.operator().await;
    for path in &gets {
        assert_eq!(operator.raw(Method::GET, path, None, &[]).await.status, StatusCode::OK, "{path}");
    }
    let (other, auditor) =
        (app.account(&["owner", "renter"], None).await, app.account(&["auditor"], None).await);
    let head = app.app.executor.log().head().await.unwrap();
    let all = "subject=a&what=b&sure=yes&method=m&attempt=1&reason=r&reference=t&outcome=not_moved&note=n&revision=1&\
               role=auditor&label=l&name=n&owner=yes";
    for who in [&market.owner, &market.renter, &market.shop, &other, &auditor] {
        let browser = Browser::with_token(app, &who.token).await;
        let page = browser.get("/account").await.ok();
        let csrf = page.form("/account").into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        for path in &gets {
            let answer = browser.raw(Method::GET, path, None, &[]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        }
        for path in &posts {
            let body = format!("csrf={csrf}&{all}");
            let answer = browser.raw(Method::POST, path, Some(body), &[]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    let nobody = Browser::new(app);
    for path in &gets {
        assert_eq!(nobody.raw(Method::GET, path, None, &[]).await.status, StatusCode::SEE_OTHER, "{path}");
    }
    for path in &posts {
        let answer = nobody.raw(Method::POST, path, Some(all.to_owned()), &[]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
    }
    assert_eq!(app.app.executor.log().head().await.unwrap(), head);
    market.erased().await;
}
