//! What everybody does.

use serde_json::json;

use super::kit::Tab;

pub const PASSWORD: &str = "correct horse battery";

/// Opens an account on the page for it.
pub async fn sign_up(tab: &Tab, name: &str, email: &str) {
    tab.open("/sign-up").await;
    tab.fill("Name", name).await;
    tab.fill("Mail address", email).await;
    tab.fill("Password", PASSWORD).await;
    tab.press("Open the account").await;
    tab.see("Sign out").await;
}

/// Signs in with a token.
pub async fn sign_in(tab: &Tab, token: &str) {
    tab.open("/sign-in").await;
    tab.fill("Token", token).await;
    tab.press("Sign in with the token").await;
    tab.see("Sign out").await;
}

impl Tab {
    /// What the first element that a selector finds says or leads to.
    pub async fn read(&self, selector: &str, property: &str) -> String {
        let script = "return document.querySelector(arguments[0])[arguments[1]]";
        let found = self.script(script, vec![json!(selector), json!(property)]).await;
        found.unwrap().as_str().unwrap_or_else(|| panic!("no {property} at {selector}")).to_owned()
    }

    /// Notes on the page that it is this one, for [`Tab::is_the_same`].
    pub async fn mark(&self) {
        self.script("document.marked = true", vec![]).await.unwrap();
    }

    /// Whether nobody loaded the page anew since it was marked.
    pub async fn is_the_same(&self) -> bool {
        self.script("return document.marked === true", vec![]).await.unwrap() == true
    }
}
