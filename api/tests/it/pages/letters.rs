//! Letters with links: proving an address, choosing a new password.

use std::time::Duration;

use reqwest::StatusCode;

use super::kit::Browser;
use crate::app::TestApp;

const PASSWORD: &str = "correct horse battery";

/// The paths of this kind that were mailed, once there are as many.
pub async fn mailed(app: &TestApp, kind: &str, wanted: usize) -> Vec<String> {
    let folder = app.data().mail();
    let look = async {
        loop {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default().replace("=\r\n", "");
                let link = text.split_whitespace().find(|word| word.contains(kind));
                found.extend(link.and_then(|link| link.find(kind).map(|at| link[at..].to_owned())));
            }
            if found.len() >= wanted {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.expect("no letter came")
}

async fn signed_up<'a>(app: &'a TestApp, email: &str) -> Browser<'a> {
    let browser = Browser::new(app);
    let page = browser.get("/sign-up").await.ok();
    let fields = [("name", "Ada"), ("email", email), ("password", PASSWORD)];
    browser.send(&page, "/sign-up", &fields).await.ok();
    browser
}

#[tokio::test]
async fn the_link_of_a_letter_proves_an_address_once_and_only_when_the_button_is_pressed() {
    let app = TestApp::new().await;
    let browser = signed_up(&app, "ada@x.org").await;
    let path = mailed(&app, "/confirm/", 1).await.remove(0);
    let page = browser.get(&path).await.ok();
    browser.get("/account").await.ok().says("is not proved yet");
    let done = browser.send(&page, &path, &[]).await.ok();
    done.says("Your address is proved").does_not_say("not proved yet");
    assert_eq!(browser.send(&page, &path, &[]).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_link_is_worth_nothing_after_a_day_or_for_another_purpose() {
    let app = TestApp::new().await;
    let browser = signed_up(&app, "ada@x.org").await;
    let path = mailed(&app, "/confirm/", 1).await.remove(0);
    let page = browser.get(&path).await.ok();
    let other = path.replace("/confirm/", "/reset/");
    assert_eq!(browser.get(&other).await.status, StatusCode::GONE);
    app.advance(86_400);
    assert_eq!(browser.send(&page, &path, &[]).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn whoever_has_forgotten_a_password_chooses_a_new_one_with_a_letter() {
    let app = TestApp::new().await;
    let signed_in = signed_up(&app, "ada@x.org").await;
    let browser = Browser::new(&app);
    let ask = browser.get("/forgot").await.ok();
    let known = browser.send(&ask, "/forgot", &[("email", "ADA@x.org")]).await.ok();
    let unknown = browser.send(&ask, "/forgot", &[("email", "eve@x.org")]).await.ok();
    assert_eq!(known.text(), unknown.text());
    let path = mailed(&app, "/reset/", 1).await.remove(0);
    let page = browser.get(&path).await.ok();
    let short = browser.send(&page, &path, &[("password", "short")]).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let new = "new horse battery";
    browser.send(&page, &path, &[("password", new)]).await.ok().says("Your password is changed");
    assert_eq!(browser.send(&page, &path, &[("password", new)]).await.status, StatusCode::GONE);
    signed_in.get("/account").await.ok().says("With your password");
    let page = browser.get("/sign-in").await.ok();
    let old = browser.send(&page, "/sign-in", &[("email", "ada@x.org"), ("password", PASSWORD)]).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    browser.send(&page, "/sign-in", &[("email", "ada@x.org"), ("password", new)]).await.ok();
    // The letter proved the address.
    browser.get("/account").await.ok().does_not_say("not proved yet");
}

#[tokio::test]
async fn nobodys_mailbox_is_flooded() {
    let app = TestApp::new().await;
    signed_up(&app, "ada@x.org").await;
    let browser = Browser::new(&app);
    let ask = browser.get("/forgot").await.ok();
    for _ in 0..3 {
        browser.send(&ask, "/forgot", &[("email", "ada@x.org")]).await.ok();
    }
    let refused = browser.send(&ask, "/forgot", &[("email", "ada@x.org")]).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(mailed(&app, "/reset/", 3).await.len(), 3);
}
