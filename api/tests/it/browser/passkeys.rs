//! Passkeys, with the authenticator that Chromium simulates.

use super::kit::{Chrome, Tab};
use crate::app::TestApp;

const PASSWORD: &str = "correct horse battery";
const CALLED_OFF: &str = "Nothing was done: it was called off, or took too long.";

async fn sign_up(tab: &Tab) {
    tab.open("/sign-up").await;
    tab.fill("Name", "Ada").await;
    tab.fill("Mail address", "ada@example.org").await;
    tab.fill("Password", PASSWORD).await;
    tab.press("Open the account").await;
    tab.see("Your rentals").await;
    tab.open("/account").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_by_unlocking_the_phone() {
    let (app, chrome) = (TestApp::new().await, Chrome::start().await);
    let ada = chrome.tab(&app.site()).await;
    let phone = ada.authenticator().await;
    sign_up(&ada).await;
    ada.fill("What to call it", "My phone").await;
    ada.fill("Your password", "not this one").await;
    ada.press("Add a passkey").await;
    ada.see("The password is wrong").await;
    ada.console_errors().await;
    ada.fill("Your password", PASSWORD).await;
    ada.press("Add a passkey").await;
    ada.see("The passkey is added").await;
    ada.see("My phone").await;
    let kept = ada.passkeys(&phone).await;
    assert!(kept.len() == 1 && kept[0]["isResidentCredential"] == true, "{kept:?}");
    ada.sound_everywhere().await;

    ada.press("Sign out").await;
    ada.see("You are signed out").await;
    ada.open("/sign-in?next=/account").await;
    ada.sound_everywhere().await;
    ada.verifies(&phone, false).await;
    ada.press("Sign in with a passkey").await;
    ada.see(CALLED_OFF).await;
    ada.verifies(&phone, true).await;
    ada.press("Sign in with a passkey").await;
    ada.see("You sign in as ada@example.org").await;

    let eve = chrome.tab(&app.site()).await;
    eve.authenticator().await;
    eve.open("/sign-in").await;
    eve.press("Sign in with a passkey").await;
    eve.see(CALLED_OFF).await;

    ada.press("Remove My phone").await;
    ada.see("The passkey is removed").await;
    ada.press("Sign out").await;
    ada.see("You are signed out").await;
    ada.press("Sign in with a passkey").await;
    ada.see("This passkey does not sign you in here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_script_passkeys_are_not_offered() {
    let (app, chrome) = (TestApp::new().await, Chrome::start().await);
    let tab = chrome.tab_without_script(&app.site()).await;
    tab.open("/sign-in").await;
    tab.see("With your password").await;
    tab.see_no("passkey").await;
}
