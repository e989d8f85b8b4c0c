//! The first operator, and what the command line does for pages.

use std::{io::Write, process::Stdio};

use api::{accounts, config::Config};
use reqwest::StatusCode;

use super::kit::Browser;
use crate::app::TestApp;

const PASSWORD: &str = "correct horse battery";

#[tokio::test]
async fn the_first_operator_is_made_on_a_page_with_the_printed_code_once() {
    let app = TestApp::new().await;
    // As at the first start: the code that TestApp has used up is followed by another.
    let code = "setup_again";
    app.app.private.allow_setup(domain::key::Digest::of(code.as_bytes())).await.unwrap();
    let browser = Browser::new(&app);
    let page = browser.get("/set-up").await.ok();
    let fields = |code: &'static str, email: &'static str, password: &'static str| {
        [("code", code), ("name", "Oscar"), ("email", email), ("password", password)]
    };
    for (wrong, status) in [
        (fields("setup_wrong", "o@x.org", PASSWORD), StatusCode::FORBIDDEN),
        (fields("setup_again", "o@x.org", "short"), StatusCode::UNPROCESSABLE_ENTITY),
        (fields("setup_again", "nobody", PASSWORD), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let refused = browser.send(&page, "/set-up", &wrong).await;
        assert_eq!(refused.status, status, "{}", refused.text());
    }
    browser.send(&page, "/set-up", &fields("setup_again", "o@x.org", PASSWORD)).await.ok();
    browser.get("/account").await.ok().says("You sign in as o@x.org");
    let again = Browser::new(&app);
    let refused = again.send(&page, "/set-up", &fields("setup_again", "p@x.org", PASSWORD)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_command_line_lets_an_account_sign_in() {
    let mut app = TestApp::in_folder(Config::default(), TestApp::clock_at_start()).await;
    let person = projections::private::Person { name: "Ada".into(), ..Default::default() };
    let by = app.app.by_system(domain::event::SystemPart::Cli, None);
    let ada = accounts::open(&app.app, person, vec![domain::account::Role::Owner], &by).await.unwrap();
    let data = app.data();
    app.stop().await;
    let mut cli = std::process::Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["account", "password", &ada.to_string(), "--email", "Ada@x.org", "--data"])
        .arg(data.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cli.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    assert!(cli.wait_with_output().unwrap().status.success());
    app.restart().await;
    let browser = Browser::new(&app);
    let page = browser.get("/sign-in").await.ok();
    browser.send(&page, "/sign-in", &[("email", "ada@x.org"), ("password", PASSWORD)]).await.ok();
    browser.get("/account").await.ok().says("You sign in as ada@x.org").does_not_say("not proved yet");
}
