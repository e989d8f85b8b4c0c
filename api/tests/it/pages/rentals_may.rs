//! Who may open and send what.

use std::fmt::Write as _;

use reqwest::Method;

use super::{
    kit::Browser,
    rentals::{Rented, rented},
};
use crate::app::TestApp;

/// The status of a request that would change nothing even if it were let in.
async fn status(browser: &Browser<'_>, csrf: &str, method: &Method, path: &str) -> u16 {
    let body = (*method == Method::POST).then(|| format!("csrf={csrf}"));
    browser.raw(method.clone(), path, body, &[]).await.status.as_u16()
}

async fn csrf(browser: &Browser<'_>) -> String {
    if browser.cookie().is_none() {
        return String::new();
    }
    let account = browser.get("/account").await.ok();
    account.form("/account").into_iter().find(|(name, _)| name == "csrf").unwrap().1
}

#[tokio::test]
async fn each_page_opens_for_whom_it_is_meant() {
    let app = TestApp::new().await;
    let Rented { owner, renter, device, path, .. } = rented(&app).await;
    let (get, post) = (Method::GET, Method::POST);
    let of = |rest: &str| format!("{path}{rest}");
    let routes = [
        ("GET /", &get, "/".to_owned()),
        ("GET /market/{device}", &get, format!("/market/{}", device.id)),
        ("POST /market/{device}/rental", &post, format!("/market/{}/rental", device.id)),
        ("GET /rentals", &get, "/rentals".to_owned()),
        ("GET /rentals/{c}", &get, of("")),
        ("POST /rentals/{c}/credentials", &post, of("/credentials")),
        ("GET /rentals/{c}/extension", &get, of("/extension")),
        ("POST /rentals/{c}/extension", &post, of("/extension")),
        ("POST /rentals/{c}/payment", &post, of("/payment")),
        ("GET /rentals/{c}/end", &get, of("/end")),
        ("POST /rentals/{c}/end", &post, of("/end")),
        ("POST /rentals/{c}/offline-resume", &post, of("/offline-resume")),
        ("POST /rentals/{c}/erasure", &post, of("/erasure")),
    ];
    let mut who = vec![(Browser::new(&app), String::new())];
    let others = [
        owner.token,
        app.account(&["owner"], None).await.token,
        renter.token,
        app.account(&["renter"], None).await.token,
        app.account(&["auditor"], None).await.token,
        app.operator.clone(),
    ];
    for token in others {
        let browser = Browser::with_token(&app, &token).await;
        let csrf = csrf(&browser).await;
        who.push((browser, csrf));
    }
    let mut table = format!("\n{:34}nobody owner other renter other auditor operator\n", "");
    for (name, method, path) in routes {
        let _ = write!(table, "{name:34}");
        for (browser, csrf) in &who {
            let _ = write!(table, "{} ", status(browser, csrf, method, &path).await);
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table, @r"

                                      nobody owner other renter other auditor operator
    GET /                             200 200 200 200 200 200 200 
    GET /market/{device}              404 404 404 404 404 404 404 
    POST /market/{device}/rental      303 403 403 404 404 403 403 
    GET /rentals                      303 403 403 200 200 403 403 
    GET /rentals/{c}                  303 200 404 200 404 200 200 
    POST /rentals/{c}/credentials     303 404 404 200 404 404 404 
    GET /rentals/{c}/extension        303 404 404 200 404 404 404 
    POST /rentals/{c}/extension       303 404 404 422 404 404 404 
    POST /rentals/{c}/payment         303 404 404 404 404 404 404 
    GET /rentals/{c}/end              303 200 404 200 404 403 200 
    POST /rentals/{c}/end             303 422 404 422 404 403 422 
    POST /rentals/{c}/offline-resume  303 404 404 422 404 404 404 
    POST /rentals/{c}/erasure         303 404 404 422 404 404 404
    ");
}

#[tokio::test]
async fn forms_that_nobody_would_send_are_refused_as_pages() {
    let app = TestApp::new().await;
    let Rented { renter, path, .. } = rented(&app).await;
    let browser = Browser::with_token(&app, &renter.token).await;
    let csrf = csrf(&browser).await;
    let odd = [
        String::new(),
        "term=%ff&unit=%ff&quoted_at=%ff&allowed=%ff&sure=%ff".to_owned(),
        "term=1&term=2&quoted_at=a&quoted_at=b&allowed=a&allowed=b&sure=a&sure=b".to_owned(),
        format!("term={0}&unit={0}&quoted_at={0}&allowed={0}&sure={0}", "9".repeat(5_000)),
        "form=x".to_owned(),
    ];
    for rest in ["extension", "end", "offline-resume", "erasure", "payment"] {
        for fields in &odd {
            let body = format!("csrf={csrf}&{fields}");
            let answer = browser.raw(Method::POST, &format!("{path}/{rest}"), Some(body), &[]).await;
            let page = answer.html.starts_with("<!doctype html>");
            assert!(answer.status.is_client_error() && page, "{rest} {fields:.60}: {}", answer.status);
        }
    }
    browser.get(&path).await.ok().says("Running");
}
