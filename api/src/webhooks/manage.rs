//! Adding and changing webhooks.
//!
//! # Correctness
//! A webhook's id is made of the command that adds it, and a secret remembers the command that made it: a request that
//! was cut off and is sent again under its Idempotency-Key adds one webhook, and never lets the secret that the receiver
//! knows go before its time.

use axum::http::StatusCode;
use domain::{
    any::AnyEvent,
    event::Position,
    id::{CommandId, MarketplaceName},
    time::Seconds,
};
use projections::private::{NewWebhook, Webhook};
use reqwest::Url;
use uuid::Uuid;

use super::sign::Secret;
use crate::{accounts::check_text, app::App, error::Problem};

/// The longest URL, in bytes.
pub const MAX_URL: usize = 2_000;
/// The most webhooks.
pub const MAX_WEBHOOKS: u32 = 100;
/// How long the secret before signs too, in seconds.
const OLD_SECRET_S: Seconds = 86_400;

/// A webhook that is wanted.
#[derive(Debug)]
pub struct Wanted {
    /// Where to.
    pub url: String,
    /// Only what concerns this marketplace's orders.
    pub marketplace: Option<MarketplaceName>,
    /// Only events of these names; all when empty.
    pub types: Vec<String>,
    /// What its operator calls it.
    pub label: Option<String>,
    /// Only events after this position; from now on when left out.
    pub after: Option<Position>,
}

/// A webhook and its new secret, to be shown once.
#[derive(Debug)]
pub struct Issued {
    /// The webhook.
    pub webhook: Webhook,
    /// The secret.
    pub secret: Secret,
}

/// Adds a webhook.
///
/// # Errors
/// When something about it is invalid, or there are [`MAX_WEBHOOKS`].
pub async fn add(app: &App, wanted: Wanted, by: CommandId) -> Result<Issued, Problem> {
    let Wanted { url, marketplace, types, label, after } = wanted;
    check_url(&url)?;
    label.as_deref().map_or(Ok(()), |label| check_text("label", label))?;
    let head = app.executor.log().head().await?;
    if after.is_some() && after > head {
        let head = head.map_or_else(|| "nothing".into(), |head| head.to_string());
        return Err(Problem::invalid(format!("after is beyond the last position, which is {head}")));
    }
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, by.0.as_bytes());
    let secret = Secret::fresh();
    let new = NewWebhook {
        id,
        url,
        label,
        marketplace: marketplace.map(|name| name.to_string()),
        types: known(types)?,
        created_at: app.clock.time(),
        sealed_secret: secret.seal(app, id),
        by,
        next: after.or(head).map_or(0, |after| after + 1),
    };
    if !app.private.add_webhook(&new, MAX_WEBHOOKS).await? {
        let detail = format!("there are {MAX_WEBHOOKS} webhooks, which is the limit");
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-webhooks", detail, "remove one first"));
    }
    tracing::info!(webhook = %id, "a webhook was added");
    Ok(Issued { webhook: find(app, id).await?, secret })
}

/// A webhook.
///
/// # Errors
/// When there is none.
pub async fn find(app: &App, id: Uuid) -> Result<Webhook, Problem> {
    app.private.webhook(id).await?.ok_or_else(|| Problem::not_found("webhook"))
}

/// Gives a webhook a new secret; the old one signs too for a day.
///
/// # Errors
/// When there is none.
pub async fn rotate(app: &App, id: Uuid, by: CommandId) -> Result<Issued, Problem> {
    let (secret, old_until) = (Secret::fresh(), app.clock.time().plus(OLD_SECRET_S));
    app.private.rotate_webhook(id, &secret.seal(app, id), by, old_until).await?;
    tracing::info!(webhook = %id, "a webhook has a new secret");
    Ok(Issued { webhook: find(app, id).await?, secret })
}

fn check_url(text: &str) -> Result<(), Problem> {
    let refuse = |why: &str| Err(Problem::invalid(format!("url {why}")));
    if text.len() > MAX_URL {
        return refuse(&format!("must be at most {MAX_URL} bytes"));
    }
    let Ok(url) = Url::parse(text) else { return refuse("must be an absolute http or https address") };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "must not hold a user or password: deliveries are signed, check the signature instead",
        );
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("must not hold spaces or control characters");
    }
    Ok(())
}

/// The names of events, each once.
fn known(types: Vec<String>) -> Result<Vec<String>, Problem> {
    let names: Vec<_> = AnyEvent::kinds().map(|(name, _)| name).collect();
    if let Some(unknown) = types.iter().find(|name| !names.contains(&name.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        let all = names.join(", ");
        return Err(Problem::invalid(format!("there is no event named {shown:?}; there are {all}")));
    }
    Ok(names.into_iter().filter(|name| types.iter().any(|t| t == name)).map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_web_addresses_are_taken() {
        let longest = format!("https://example.org/{}", "x".repeat(MAX_URL - 20));
        for good in ["https://example.org", "http://127.0.0.1:8080/hook?key=a", &longest] {
            check_url(good).unwrap();
        }
        for (bad, why) in [
            ("", "absolute"),
            ("example.org/hook", "absolute"),
            ("/hook", "absolute"),
            ("http://", "absolute"),
            ("ftp://example.org", "begin"),
            ("file:///etc/passwd", "begin"),
            ("https://user@example.org", "password"),
            ("https://:secret@example.org", "password"),
            ("https://example.org/a b", "spaces"),
            (" https://example.org", "spaces"),
            ("https://example.org/\n", "spaces"),
            (&format!("{longest}x"), "bytes"),
        ] {
            let problem = check_url(bad).unwrap_err().to_string();
            assert!(problem.contains(why), "{bad:?}: {problem}");
        }
    }

    #[test]
    fn names_of_events_are_kept_once_and_unknown_ones_refused() {
        let twice = ["OrderReceived", "OrderReceived"].map(String::from).to_vec();
        assert_eq!(known(twice).unwrap(), ["OrderReceived"]);
        assert_eq!(known(Vec::new()).unwrap(), Vec::<String>::new());
        let problem = known(vec!["orderreceived".into()]).unwrap_err().to_string();
        assert!(problem.contains("\"orderreceived\"") && problem.contains("SettlementDue"), "{problem}");
    }
}
