//! What strangers try.

use reqwest::{Method, StatusCode};

use super::kit::Browser;
use crate::app::TestApp;

async fn signed_up(app: &TestApp) -> Browser<'_> {
    let browser = Browser::new(app);
    let page = browser.get("/sign-up").await.ok();
    let fields = [("name", "<script>alert(1)</script>"), ("email", "a@x.org"), ("password", "correct horse")];
    browser.send(&page, "/sign-up", &fields).await.ok();
    browser
}

#[tokio::test]
async fn what_people_type_is_never_markup() {
    let app = TestApp::new().await;
    let browser = signed_up(&app).await;
    let account = browser.get("/account").await.ok();
    account.does_not_say("<script>alert").says("");
    assert!(account.html.contains("&#60;script&#62;alert(1)"), "{}", account.html);
    let policy = account.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(account.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_form_of_another_site_or_session_is_refused() {
    let app = TestApp::new().await;
    let browser = signed_up(&app).await;
    let page = browser.get("/account").await.ok();
    let body = |csrf: &str| Some(format!("name=Eve&csrf={csrf}"));
    let csrf = page.form("/account").into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let kind = |page: &super::kit::Page| (page.status, page.html.contains("Your account"));
    let refused = (StatusCode::FORBIDDEN, false);
    for wrong in ["", "x", &csrf[1..]] {
        let answer = browser.raw(Method::POST, "/account", body(wrong), &[]).await;
        assert_eq!(kind(&answer), refused, "{wrong}");
    }
    for header in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = browser.raw(Method::POST, "/account", body(&csrf), &[header]).await;
        assert_eq!(kind(&answer), refused, "{header:?}");
    }
    browser.get("/account").await.ok().does_not_say("Eve");
    let good = browser.raw(Method::POST, "/account", body(&csrf), &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(good.status, StatusCode::SEE_OTHER);
    let set = browser.raw(Method::GET, "/account", None, &[]).await;
    assert!(set.html.contains("value=\"Eve\""));
}

#[tokio::test]
async fn the_session_cookie_is_out_of_reach_for_scripts_and_other_sites() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    let page = browser.get("/sign-in").await.ok();
    let mut fields = page.form("/sign-in/token");
    fields.retain(|(name, _)| name != "token");
    fields.push(("token".into(), app.operator.clone()));
    let body = serde_urlencoded::to_string(fields).unwrap();
    let answer = browser.raw(Method::POST, "/sign-in/token", Some(body), &[]).await;
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Lax") && set.contains("; Path=/"),
        "{set}"
    );
}

#[tokio::test]
async fn forged_cookies_huge_forms_and_odd_bodies_are_refused_as_pages() {
    let app = TestApp::new().await;
    let browser = Browser::new(&app);
    for cookie in ["berth=x", "berth=", "berth=session_AAAA", &format!("berth={}", "x".repeat(5_000))] {
        let answer = browser.raw(Method::GET, "/account", None, &[("cookie", cookie)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{cookie}");
    }
    let huge = format!("email={}", "x".repeat(70_000));
    let answer = browser.raw(Method::POST, "/sign-in", Some(huge), &[]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.html.starts_with("<!doctype html>"), "{}", answer.html);
    for body in ["", "email", "email=%ff&password=x", "email=a&email=b&password=x", "email=a&password=%00"] {
        let answer = browser.raw(Method::POST, "/sign-in", Some(body.into()), &[]).await;
        assert!(
            answer.status.is_client_error() && answer.html.starts_with("<!doctype"),
            "{body}: {}",
            answer.html
        );
    }
    let missing = browser.get("/nowhere").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    missing.says("There is nothing here");
}
