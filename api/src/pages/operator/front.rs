//! What needs a human, at a glance, and the list of what a human should look at.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::time::Time;
use projections::{
    private::Attention,
    views::{
        Page,
        orders::OrderScope,
        overview::{MAX_COUNT, Overview},
        settlements::{SettlementFilter, SettlementRow, SettlementStatus},
    },
};
use serde::Deserialize;

use super::{
    super::{
        audit::thing::Thing,
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        visit::Member,
    },
    authorise,
    health::{self, Health},
    lists::{self, DeviceLine, OrderLine},
    settlements::{self, SettlementLine},
};
use crate::{app::App, attention as seen, error::Problem};

/// The first few of each group.
const FEW: usize = 5;
/// What a human should look at, on one page.
const MAX_ATTENTION: usize = 50;

/// Something that a human should look at.
#[derive(Debug, Clone)]
pub struct AttentionLine {
    /// What it is about, as it is written down.
    pub subject: String,
    /// Where that is.
    pub href: Option<String>,
    /// What kind of trouble.
    pub what: String,
    /// What happened, and what to do.
    pub detail: String,
    /// Since when.
    pub since: Time,
}

impl From<Attention> for AttentionLine {
    fn from(item: Attention) -> Self {
        let Attention { subject, what, detail, since } = item;
        Self { href: place(&subject), subject, what, detail, since }
    }
}

/// The page about what an item is about.
fn place(subject: &str) -> Option<String> {
    if let Some(settlement) = subject.strip_prefix("settlement-") {
        return Some(format!("/operator/settlements/{}", settlement.parse::<uuid::Uuid>().ok()?));
    }
    // What was due is named with a slash.
    let stream = domain::event::StreamName::stored(subject.replacen('/', "-", 1));
    Thing::of_stream(&stream).map(|thing| thing.path())
}

/// What needs a human, and how the server is.
#[derive(Template)]
#[template(path = "operator/front.html")]
pub struct OperatorPage {
    /// What is around it.
    pub shell: Shell,
    /// How much waits.
    pub counts: Overview,
    /// How many items are on the list of what to look at.
    pub attention_count: usize,
    /// The first of them.
    pub attention: Vec<AttentionLine>,
    /// The latest settlements of which nobody knows whether they moved.
    pub quarantined: Vec<SettlementLine>,
    /// The latest settlements that failed.
    pub failed: Vec<SettlementLine>,
    /// The latest settlements that are being tried.
    pub started: Vec<SettlementLine>,
    /// Devices that are lost.
    pub lost: Vec<DeviceLine>,
    /// Devices that have not proved that they erased.
    pub unerased: Vec<DeviceLine>,
    /// The latest orders that were refused.
    pub refused: Vec<OrderLine>,
    /// How the server is.
    pub health: Health,
}

impl OperatorPage {
    /// A count that ends where counting ends.
    #[must_use]
    pub fn told(&self, count: &u32) -> String {
        if *count >= MAX_COUNT { format!("{MAX_COUNT} or more") } else { count.to_string() }
    }
}

/// What a human should look at.
#[derive(Template)]
#[template(path = "operator/attention.html")]
pub struct AttentionPage {
    /// What is around it.
    pub shell: Shell,
    /// The oldest items.
    pub items: Vec<AttentionLine>,
    /// How many there are.
    pub count: usize,
}

async fn few(app: &App, status: SettlementStatus) -> Result<Vec<SettlementRow>, Problem> {
    let wanted = SettlementFilter { status: Some(status), ..SettlementFilter::default() };
    Ok(app.views.settlements(wanted, Page::newest(FEW)).await?)
}

/// Shows what needs a human.
pub async fn show(State(app): State<App>, member: Member) -> Result<Response, Failure> {
    authorise(&member)?;
    let attention = app.private.attention().await?;
    let views = &app.views;
    let lost = views.lost_devices(Page::newest(FEW)).await?;
    let unerased = views.unerased_devices(Page::newest(FEW)).await?;
    let refused = views.orders(OrderScope::Rejected, Page::newest(FEW)).await?;
    let lines = |rows| settlements::lines(&app, rows);
    Ok(page(&OperatorPage {
        shell: member.shell("Operator").live_all(),
        counts: views.overview().await?,
        attention_count: attention.len(),
        attention: attention.into_iter().take(FEW).map(Into::into).collect(),
        quarantined: lines(few(&app, SettlementStatus::Quarantined).await?).await?,
        failed: lines(few(&app, SettlementStatus::Failed).await?).await?,
        started: lines(few(&app, SettlementStatus::Started).await?).await?,
        lost: lists::devices(&app, lost).await?,
        unerased: lists::devices(&app, unerased).await?,
        refused: lists::orders(&app, refused).await?,
        health: health::of(&app).await?,
    }))
}

/// Shows the list of what a human should look at.
pub async fn attention(State(app): State<App>, member: Member) -> Result<Response, Failure> {
    authorise(&member)?;
    let items = app.private.attention().await?;
    Ok(page(&AttentionPage {
        shell: member.shell("To look at").live_all(),
        count: items.len(),
        items: items.into_iter().take(MAX_ATTENTION).map(Into::into).collect(),
    }))
}

/// What was seen to.
#[derive(Debug, Deserialize)]
pub struct SeenTo {
    subject: String,
    what: String,
}

/// Takes something off the list.
pub async fn see_to(
    State(app): State<App>,
    member: Member,
    Form { fields: SeenTo { subject, what }, .. }: Form<SeenTo>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    seen::seen_to(&app, &subject, &what).await?;
    Ok(done("/operator/attention", "seen-to"))
}
