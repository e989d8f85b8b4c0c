//! Enrolling: a key that is shown once, and the ready `agent.json`.
//!
//! # Correctness
//! A key is in a page, in a form and in the file that this sends, never in an address, a log or a cache. The file is made
//! only of the key that is in force for a device which the visitor may change, so nobody can be sent a file of a
//! stranger's making.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{account::Role, device::Device, event::Revision, id::DeviceId, key::Digest};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        visit::Member,
    },
    kept,
    list::unnamed,
};
use crate::{
    app::App,
    devices::{self, Again, Enrolled},
    error::Problem,
    http::extract::Path,
};

/// Where a device is enrolled.
#[derive(Template)]
#[template(path = "devices/new.html")]
pub struct NewPage {
    /// What is around it.
    pub shell: Shell,
    /// The name that was typed.
    pub name: String,
    /// Why it did not work.
    pub wrong: Option<String>,
}

/// An enrolment key, shown once.
#[derive(Template)]
#[template(path = "devices/key.html")]
pub struct KeyPage {
    /// What is around it.
    pub shell: Shell,
    /// The device.
    pub device: DeviceId,
    /// What its owner calls it.
    pub name: String,
    /// The key.
    pub key: String,
    /// The ready `agent.json`.
    pub agent_json: String,
    /// Whether another key was in force before.
    pub replaced: bool,
}

fn new_page(member: &Member, name: String, wrong: Option<String>) -> NewPage {
    NewPage { shell: member.shell("Enrol a device"), name, wrong }
}

/// Shows the form.
pub(super) async fn show(member: Member) -> Result<Response, Failure> {
    member.require(&[Role::Owner])?;
    Ok(page(&new_page(&member, String::new(), None)))
}

/// A device's name.
#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    name: String,
}

/// Enrols a device, and shows its key.
pub(super) async fn enrol(
    State(app): State<App>,
    member: Member,
    headers: HeaderMap,
    Form { fields: Named { name }, id }: Form<Named>,
) -> Result<Response, Failure> {
    member.require(&[Role::Owner])?;
    let name = name.trim().to_owned();
    let by = member.by_form(id);
    match devices::enrol(&app, member.account(), &name, Again::Refuse, &by).await {
        // Sent once more by the browser: the key was shown, and may be on its device by now.
        Err(problem) if problem.kind() == "already-enrolled" => {
            let device = devices::enrolled_by(member.account(), by.command);
            Ok(done(&format!("/devices/{device}"), "enrolled"))
        }
        Ok(enrolled) => key_page(&app, &member, &headers, &enrolled, false).await,
        Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => {
            let mut response = page(&new_page(&member, name, Some(problem.detail().to_owned())));
            *response.status_mut() = problem.status();
            Ok(response)
        }
        Err(problem) => Err(problem.into()),
    }
}

/// What the visitor has seen.
#[derive(Deserialize)]
pub(super) struct Seen {
    /// The device's revision.
    revision: Option<Revision>,
}

/// Replaces a device's key, and shows the new one.
pub(super) async fn replace_key(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    headers: HeaderMap,
    Form { fields: Seen { revision }, id }: Form<Seen>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let seen = || Problem::invalid("the form does not say which state of the device it is about");
    let revision = revision.ok_or_else(seen)?;
    // Sent once more by the browser, it would replace the key that it has shown.
    match devices::replace_key(&app, device, Some(Some(revision)), &member.by_form(id)).await {
        Ok(enrolled) => key_page(&app, &member, &headers, &enrolled, true).await,
        Err(problem) if problem.status() == StatusCode::PRECONDITION_FAILED => {
            Ok(done(&format!("/devices/{device}"), "key-changed"))
        }
        Err(problem) => Err(problem.into()),
    }
}

async fn key_page(
    app: &App,
    member: &Member,
    headers: &HeaderMap,
    enrolled: &Enrolled,
    replaced: bool,
) -> Result<Response, Failure> {
    app.catch_up(enrolled.position).await;
    let (device, key) = (enrolled.device, enrolled.key.clone());
    let name = app.private.device_name(device).await?.unwrap_or_else(|| unnamed(device));
    let agent_json = agent_json(app, headers, &key);
    let shell = member.shell(if replaced { "A new key" } else { "Your device is enrolled" });
    Ok(page(&KeyPage { shell, device, name, key, agent_json, replaced }))
}

/// Sent back by the page that shows a key.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    key: String,
}

/// The ready `agent.json` as a file.
pub(super) async fn download(
    State(app): State<App>,
    member: Member,
    Path(device): Path<DeviceId>,
    headers: HeaderMap,
    Form { fields: Shown { key }, .. }: Form<Shown>,
) -> Result<Response, Failure> {
    kept(&app, &member, device).await?;
    let state = app.executor.load::<Device>(&device).await?.state;
    if state.enrolment_key() != Some(Digest::of(key.as_bytes())) {
        return Err(Problem::invalid("this key is not in force any more: make a new one").into());
    }
    let mut response = agent_json(&app, &headers, &key).into_response();
    let sent = response.headers_mut();
    sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = HeaderValue::from_static("attachment; filename=\"agent.json\"");
    sent.insert(header::CONTENT_DISPOSITION, name);
    sent.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// All that an agent must be told.
fn agent_json(app: &App, headers: &HeaderMap, key: &str) -> String {
    let server = server_url(&app.config, headers);
    // In this order, and one to a line: people read it.
    format!(
        "{{\n  \"server\": {},\n  \"key\": {},\n  \"server_key\": {}\n}}\n",
        json!(server),
        json!(key),
        json!(app.keys.root().to_string())
    )
}

/// Where devices reach this server: where people do, as it is set or as the browser has asked.
fn server_url(config: &crate::config::Config, headers: &HeaderMap) -> String {
    let (web, text) = (&config.web, |name: &str| headers.get(name).and_then(|value| value.to_str().ok()));
    if !web.url.is_empty() {
        return web.url.trim_end_matches('/').to_owned();
    }
    let is_host = |host: &&str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    };
    let host = text("host").filter(is_host).unwrap_or(&config.listen);
    let secure = web.behind_proxy && text("x-forwarded-proto") == Some("https");
    format!("{}://{host}", if secure { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_device_is_sent_where_the_server_is_set_to_be_or_else_where_the_browser_found_it() {
        let asked = |host: &'static str, secure: bool| {
            let proto = HeaderValue::from_static(if secure { "https" } else { "http" });
            let pairs = [(header::HOST, HeaderValue::from_static(host))];
            let mut headers: HeaderMap = pairs.into_iter().collect();
            headers.insert("x-forwarded-proto", proto);
            headers
        };
        let mut config = Config { listen: "127.0.0.1:8080".into(), ..Config::default() };
        assert_eq!(server_url(&config, &asked("pi.local:80", true)), "http://pi.local:80");
        assert_eq!(server_url(&config, &asked("a\" onload=", false)), "http://127.0.0.1:8080");
        config.web.behind_proxy = true;
        assert_eq!(server_url(&config, &asked("berth.example", true)), "https://berth.example");
        config.web.url = "https://berth.example/".into();
        assert_eq!(server_url(&config, &asked("evil.example", false)), "https://berth.example");
    }
}
