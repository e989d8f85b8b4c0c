//! Webhooks: where events are delivered.

use axum::{extract::State, http::Uri};
use domain::{id::MarketplaceName, time::Time};
use projections::private::Webhook as WebhookRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Answer, IfMatch, changing},
    auth::Operator,
    extract::{Json, Path, Query},
    list::{List, Part},
};
use crate::{
    app::App,
    error::Problem,
    webhooks::manage::{self, Issued, Wanted},
};

/// A new webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Where events are sent: http or https, at most 2,000 bytes, without user and password.
    #[schema(max_length = 2000)]
    url: String,
    /// Only what concerns this marketplace: its orders, and the refunds and payouts of what they paid.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]{1,32}$")]
    marketplace: Option<MarketplaceName>,
    /// Only events of these names, such as `SettlementDue`; all when left out or empty.
    #[serde(default)]
    types: Vec<String>,
    /// What you call it; 1 to 200 bytes.
    #[schema(min_length = 1, max_length = 200)]
    label: Option<String>,
    /// Only events after this position; what happens from now on when left out.
    after: Option<u64>,
}

/// A webhook and how far it has come.
#[derive(Serialize, ToSchema)]
pub struct Webhook {
    /// The webhook.
    webhook: Uuid,
    /// Where events are sent.
    url: String,
    /// The marketplace whose orders and money it is told about; null for everything.
    #[schema(required)]
    marketplace: Option<String>,
    /// The names of events it is told about; empty for all.
    types: Vec<String>,
    /// What you call it.
    #[schema(required)]
    label: Option<String>,
    /// What it signs with; only told when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Until when the secret before signs too.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    old_secret_until: Option<Time>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// The first position that was not passed yet. It moves with every delivery, and over events that do not concern the
    /// webhook in steps of at least a thousand.
    next_position: u64,
    /// Tries of the event there that failed.
    failures: u32,
    /// When the event is tried again; null for at once.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    next_try_at: Option<Time>,
    /// When an event was delivered last.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_success_at: Option<Time>,
    /// Why a delivery failed last.
    #[schema(required)]
    last_error: Option<String>,
    /// When a delivery failed last.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_error_at: Option<Time>,
    /// Since when nothing is delivered any more: the receiver was gone, or all tries failed.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    disabled_at: Option<Time>,
}

impl From<WebhookRow> for Webhook {
    fn from(row: WebhookRow) -> Self {
        let (last_error, last_error_at) = row.last_error.unzip();
        Self {
            webhook: row.id,
            url: row.url,
            marketplace: row.marketplace,
            types: row.types,
            label: row.label,
            secret: None,
            old_secret_until: row.old_secret.map(|(_, until)| until),
            created_at: row.created_at,
            next_position: row.next,
            failures: row.failures,
            next_try_at: row.next_try_at,
            last_success_at: row.last_success_at,
            last_error,
            last_error_at,
            disabled_at: row.disabled_at,
        }
    }
}

impl From<Issued> for Webhook {
    fn from(Issued { webhook, secret }: Issued) -> Self {
        Self { secret: Some(secret.shown()), ..webhook.into() }
    }
}

fn show(row: WebhookRow) -> Answer<Webhook> {
    let revision = row.revision;
    Answer::ok(Webhook::from(row)).at(revision)
}

/// Adds a webhook: from now on, or from a position on, events are sent there as CloudEvents, signed as Standard Webhooks
/// has it, in order and at least once. At most 100.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", security(("token" = ["operator"])),
    request_body = NewWebhook,
    responses((status = 201, description = "The webhook and its secret, shown once", body = Webhook)))]
pub async fn add_webhook(
    State(app): State<App>,
    caller: Operator,
    Json(NewWebhook { url, marketplace, types, label, after }): Json<NewWebhook>,
) -> Result<Answer<Webhook>, Problem> {
    let wanted = Wanted { url, marketplace, types, label, after };
    let issued = manage::add(&app, wanted, caller.command).await?;
    let (revision, location) = (issued.webhook.revision, format!("/v1/webhooks/{}", issued.webhook.id));
    Ok(Answer::created(issued.into(), &location).at(revision))
}

/// Webhooks, the newest first.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(Part), security(("token" = ["operator"])),
    responses((status = 200, description = "Webhooks", body = List<Webhook>)))]
pub async fn list_webhooks(
    State(app): State<App>,
    _caller: Operator,
    uri: Uri,
    Query(part): Query<Part>,
) -> Result<Answer<List<Webhook>>, Problem> {
    let limit = u32::try_from(part.limit()? + 1).unwrap_or(u32::MAX);
    let rows = app.private.webhooks(part.after("webhooks")?, limit).await?;
    part.answer(&uri, "webhooks", rows, |row| row.seq, Webhook::from)
}

/// A webhook and how far it has come.
#[utoipa::path(get, path = "/v1/webhooks/{webhook}", tag = "webhooks", params(("webhook" = Uuid, Path)),
    security(("token" = ["operator"])),
    responses((status = 200, description = "The webhook", body = Webhook)))]
pub async fn get_webhook(
    State(app): State<App>,
    _caller: Operator,
    Path(webhook): Path<Uuid>,
) -> Result<Answer<Webhook>, Problem> {
    Ok(show(manage::find(&app, webhook).await?))
}

/// Removes a webhook; a delivery under way may still arrive.
#[utoipa::path(delete, path = "/v1/webhooks/{webhook}", tag = "webhooks", params(("webhook" = Uuid, Path)),
    security(("token" = ["operator"])),
    responses((status = 204, description = "Removed")))]
pub async fn remove_webhook(
    State(app): State<App>,
    _caller: Operator,
    Path(webhook): Path<Uuid>,
    condition: IfMatch,
) -> Result<Answer<()>, Problem> {
    let _alone = changing(&app).await?;
    condition.check(Some(manage::find(&app, webhook).await?.revision))?;
    app.private.remove_webhook(webhook).await?;
    Ok(Answer::done(None))
}

/// Gives a webhook a new secret. The old one signs too for 24 hours, so that receivers can change it in peace.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/secret", tag = "webhooks", params(("webhook" = Uuid, Path)),
    security(("token" = ["operator"])),
    responses((status = 201, description = "The webhook and its new secret, shown once", body = Webhook)))]
pub async fn rotate_webhook_secret(
    State(app): State<App>,
    caller: Operator,
    Path(webhook): Path<Uuid>,
    condition: IfMatch,
) -> Result<Answer<Webhook>, Problem> {
    let _alone = changing(&app).await?;
    condition.check(Some(manage::find(&app, webhook).await?.revision))?;
    let issued = manage::rotate(&app, webhook, caller.command).await?;
    let revision = issued.webhook.revision;
    Ok(Answer::created(issued.into(), &format!("/v1/webhooks/{webhook}")).at(revision))
}

/// Lets a disabled webhook go on where it stopped; one that waits for another try does not wait any longer.
#[utoipa::path(post, path = "/v1/webhooks/{webhook}/enable", tag = "webhooks", params(("webhook" = Uuid, Path)),
    security(("token" = ["operator"])),
    responses((status = 200, description = "The webhook", body = Webhook)))]
pub async fn enable_webhook(
    State(app): State<App>,
    _caller: Operator,
    Path(webhook): Path<Uuid>,
    condition: IfMatch,
) -> Result<Answer<Webhook>, Problem> {
    let _alone = changing(&app).await?;
    condition.check(Some(manage::find(&app, webhook).await?.revision))?;
    app.private.enable_webhook(webhook).await?;
    Ok(show(manage::find(&app, webhook).await?))
}
