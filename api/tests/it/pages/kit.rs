//! A browser of one's own: cookies, forms, and nothing else.

use api::{
    http::auth::Caller,
    pages::{
        assets,
        page::Shell,
        visit::{Visit, Visitor},
    },
};
use domain::{
    account::Role,
    id::{AccountId, CommandId, CorrelationId},
    key::Digest,
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use uuid::Uuid;

use crate::app::TestApp;

/// A visitor with a browser.
pub struct Browser<'a> {
    app: &'a TestApp,
    cookie: std::cell::RefCell<Option<String>>,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub html: String,
    /// Where it is, after redirections.
    pub path: String,
}

/// The text between two others.
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let start = text.find(before)? + before.len();
    Some(&text[start..start + text[start..].find(after)?])
}

/// What stands for itself in HTML.
fn unescape(text: &str) -> String {
    let pairs =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<")];
    let pairs = pairs.into_iter().chain([("&#62;", ">"), ("&#38;", "&"), ("&amp;", "&")]);
    pairs.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

impl Page {
    /// The text of the page's main part, without tags, in one line.
    pub fn text(&self) -> String {
        let main = between(&self.html, "<main", "</main>").unwrap_or(&self.html);
        let main = &main[main.find('>').map_or(0, |end| end + 1)..];
        let mut text = String::new();
        let mut inside = false;
        for c in main.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                c if !inside => text.push(c),
                _ => {}
            }
        }
        unescape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The page, which must be one.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}: {}", self.path, self.text());
        self
    }

    /// Whether the main part says this.
    #[track_caller]
    pub fn says(&self, wanted: &str) -> &Self {
        assert!(self.text().contains(wanted), "{} does not say {wanted:?}: {}", self.path, self.text());
        self
    }

    #[track_caller]
    pub fn does_not_say(&self, unwanted: &str) -> &Self {
        assert!(!self.html.contains(unwanted), "{} says {unwanted:?}", self.path);
        self
    }

    /// The form that goes to `action`: its fields with their values.
    #[track_caller]
    pub fn form(&self, action: &str) -> Vec<(String, String)> {
        let form = between(&self.html, &format!("action=\"{action}\""), "</form>");
        let form = form.unwrap_or_else(|| panic!("{} has no form to {action}: {}", self.path, self.html));
        let mut fields = Vec::new();
        for part in form.split("<input").skip(1) {
            let tag = &part[..part.find('>').unwrap_or(part.len())];
            let value = between(tag, "value=\"", "\"").unwrap_or_default();
            let ticked = !tag.contains("type=\"checkbox\"") && !tag.contains("type=\"radio\"")
                || tag.contains(" checked");
            if let Some(name) = between(tag, "name=\"", "\"").filter(|_| ticked) {
                fields.push((name.to_owned(), unescape(value)));
            }
        }
        fields
    }
}

impl<'a> Browser<'a> {
    /// Nobody in particular.
    pub fn new(app: &'a TestApp) -> Self {
        Self { app, cookie: None.into() }
    }

    /// Somebody who signs in with a token.
    pub async fn with_token(app: &'a TestApp, token: &str) -> Self {
        let browser = Self::new(app);
        let page = browser.get("/sign-in").await.ok();
        browser.send(&page, "/sign-in/token", &[("token", token)]).await.ok();
        browser
    }

    pub fn cookie(&self) -> Option<String> {
        self.cookie.borrow().clone()
    }

    /// Sends a request as it is, and follows no redirection.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        headers: &[(&'static str, &str)],
    ) -> Page {
        let mut call = self.app.call(method, path, "").header("accept", "text/html");
        if let Some(cookie) = self.cookie() {
            call = call.header("cookie", cookie);
        }
        let mut kind = "application/x-www-form-urlencoded";
        for (name, value) in headers {
            if *name == "content-type" {
                kind = value;
            } else {
                call = call.header(name, value);
            }
        }
        if let Some(body) = body {
            call = call.raw(kind, body);
        }
        let answer = call.open().await;
        for set in answer.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let gone = pair.ends_with('=');
            *self.cookie.borrow_mut() = (!gone).then_some(pair);
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        Page { status, headers, path: path.to_owned(), html: answer.text().await.unwrap() }
    }

    async fn follow(&self, mut page: Page) -> Page {
        while page.status.is_redirection() {
            let to = page.headers["location"].to_str().unwrap().to_owned();
            page = self.raw(Method::GET, &to, None, &[]).await;
        }
        page
    }

    /// Opens a page.
    pub async fn get(&self, path: &str) -> Page {
        let page = self.raw(Method::GET, path, None, &[]).await;
        self.follow(page).await
    }

    /// Sends a page's form with some fields filled in, and follows to where that leads.
    pub async fn send(&self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let mut all = page.form(action);
        for (name, value) in fields {
            all.retain(|(known, _)| known != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        let body = serde_urlencoded::to_string(all).unwrap();
        let page = self.raw(Method::POST, action, Some(body), &[]).await;
        self.follow(page).await
    }
}

/// What somebody might type to break a page: markup, quotes, a long word, and letters that run the other way.
pub const HOSTILE: &str = "<script>alert('x')</script>\"&amp;<img src=x onerror=alert(1)> مرحبا \u{202e}evil\u{202c} \
     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What is around a page of somebody with these roles: the same at every run.
pub fn sample_shell(title: &str, path: &str, roles: &[Role]) -> Shell {
    let caller = Caller {
        account: AccountId(Uuid::from_u128(0xada)),
        roles: roles.to_vec(),
        command: CommandId(Uuid::nil()),
        request: CorrelationId(Uuid::nil()),
    };
    let visitor = Visitor {
        caller,
        name: "Ada".into(),
        unconfirmed: false,
        session: Digest::of(b"session"),
        csrf: "CSRF".into(),
    };
    let visit = Visit {
        visitor: Some(visitor.into()),
        notice: None,
        now: crate::app::START.parse().unwrap(),
        fresh: Uuid::from_u128(1),
        peer: None,
        request: CorrelationId(Uuid::nil()),
        uri: path.parse().unwrap(),
        showcase: false,
        reached: 0,
    };
    visit.shell(title)
}

/// Holds a page against how it looked before.
pub fn snapshot(name: &str, page: &impl askama::Template) {
    let html = page.render().unwrap();
    let digests = [assets::style(), assets::script()].map(|path| path.split('/').nth(2).unwrap());
    let html = digests.iter().fold(html, |html, digest| html.replace(digest, "DIGEST"));
    assert!(html.len() < 100_000, "{name} is {} bytes", html.len());
    assert!(!html.contains("style=") && !html.contains(" onclick"), "{name} is styled inline");
    insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, html);
    });
}
