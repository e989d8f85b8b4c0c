//! What an operator does about a settlement; the same steps as the JSON API has.
//!
//! # Correctness
//! A report names the try it is about, and a resolution the state it was found in: a form of an earlier one is refused.

use axum::{extract::State, response::Response};
use domain::{
    id::SettlementId,
    money::{Asset, Money},
    settlement::{Movement, Resolution, Settlement, SettlementCommand, SettlementRefusal},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    super::{failure::Failure, form::Form, page::done, visit::Member},
    again, authorise, mendable, settlements,
};
use crate::{
    app::App,
    error::Problem,
    execute::By,
    http::extract::Path,
    settling::{self, ByHand},
};

/// What an operator typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    /// The try that a report is about.
    pub attempt: String,
    /// The settlement's state that a resolution is about.
    pub revision: String,
    /// How money is moved.
    pub method: String,
    /// The transaction.
    pub reference: String,
    /// What arrived.
    pub moved: String,
    /// Whether it is meant that more arrived than was due.
    pub beyond: String,
    /// What the network took on top.
    pub network_fee: String,
    /// Why it failed or is in doubt.
    pub reason: String,
    /// What was found out.
    pub outcome: String,
    /// Why the operator is sure.
    pub note: String,
}

impl Typed {
    fn attempt(&self) -> Result<u32, Problem> {
        self.attempt
            .trim()
            .parse()
            .map_err(|_| Problem::invalid("the form does not say which try it is about"))
    }

    fn network_fee(&self, asset: Asset) -> Result<Option<Money>, Problem> {
        let given = Some(self.network_fee.trim()).filter(|text| !text.is_empty());
        given.map(|text| amount("the network fee", text, asset)).transpose()
    }

    /// What moved; all that is due when no amount is given.
    fn movement(&self, due: Money) -> Result<Movement, Problem> {
        let moved = match self.moved.trim() {
            "" => due,
            text => amount("what arrived", text, due.asset())?,
        };
        if moved.minor() > due.minor() && self.beyond != "yes" {
            return Err(Problem::invalid(format!(
                "what arrived is more than the {due} that was due: tick the box if it really is"
            )));
        }
        let (reference, network_fee) = (self.reference.trim().to_owned(), self.network_fee(due.asset())?);
        Ok(Movement { reference, moved, network_fee })
    }
}

fn amount(what: &str, text: &str, asset: Asset) -> Result<Money, Problem> {
    let text = text.strip_suffix(asset.code()).map_or(text, str::trim_end);
    Money::parse(text, asset).map_err(|e| Problem::invalid(format!("{what}: {e}")))
}

async fn due(app: &App, id: SettlementId) -> Result<Money, Problem> {
    let state = app.executor.load::<Settlement>(&id).await?.state;
    Ok(state.due().ok_or(SettlementRefusal::Unknown)?.amount)
}

async fn report(app: &App, id: SettlementId, command: SettlementCommand, by: &By) -> Result<(), Problem> {
    let done = app.executor.execute::<Settlement>(&id, command, by).await?;
    app.follow_up(done.position).await;
    Ok(())
}

/// Leads to the settlement's page, or shows the form again.
async fn answer(
    app: &App,
    member: &Member,
    id: SettlementId,
    typed: Typed,
    outcome: Result<&'static str, Problem>,
) -> Result<Response, Failure> {
    match outcome {
        Ok(notice) => Ok(done(&format!("/operator/settlements/{id}"), notice)),
        Err(problem) => {
            let (status, wrong) = mendable(problem)?;
            Ok(again(settlements::of(app, member, id, typed, Some(wrong)).await?, status))
        }
    }
}

/// Says that the money is about to be moved.
pub async fn start(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Form { fields: typed, id: form }: Form<Typed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let command = SettlementCommand::Start { method: typed.method.trim().to_owned() };
    let outcome = report(&app, id, command, &member.by_form(form)).await.map(|()| "begun");
    answer(&app, &member, id, typed, outcome).await
}

async fn settle(app: &App, id: SettlementId, typed: &Typed, by: &By) -> Result<(), Problem> {
    let (attempt, movement) = (typed.attempt()?, typed.movement(due(app, id).await?)?);
    report(app, id, SettlementCommand::Settle { attempt, movement }, by).await
}

/// Reports that the money moved.
pub async fn settled(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Form { fields: typed, id: form }: Form<Typed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let outcome = settle(&app, id, &typed, &member.by_form(form)).await.map(|()| "moved");
    answer(&app, &member, id, typed, outcome).await
}

async fn settle_by_hand(app: &App, id: SettlementId, typed: &Typed, by: &By) -> Result<(), Problem> {
    let Movement { reference, moved, network_fee } = typed.movement(due(app, id).await?)?;
    let moved = ByHand { reference, moved: Some(moved), network_fee };
    let done = settling::by_hand(app, id, moved, None, by).await?;
    app.follow_up(done.position).await;
    Ok(())
}

/// Reports money that was moved by hand.
pub async fn by_hand(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Form { fields: typed, id: form }: Form<Typed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let outcome = settle_by_hand(&app, id, &typed, &member.by_form(form)).await.map(|()| "moved");
    answer(&app, &member, id, typed, outcome).await
}

async fn went_wrong(
    app: &App,
    member: &Member,
    id: SettlementId,
    typed: &Typed,
    form: Uuid,
    command: fn(u32, String) -> SettlementCommand,
) -> Result<(), Problem> {
    let command = command(typed.attempt()?, typed.reason.trim().to_owned());
    report(app, id, command, &member.by_form(form)).await
}

/// Reports that the money certainly did not move.
pub async fn failed(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Form { fields: typed, id: form }: Form<Typed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let command = |attempt, reason| SettlementCommand::Fail { attempt, reason };
    let outcome = went_wrong(&app, &member, id, &typed, form, command).await.map(|()| "not-moved");
    answer(&app, &member, id, typed, outcome).await
}

/// Reports that nobody knows whether the money moved.
pub async fn quarantined(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Form { fields: typed, id: form }: Form<Typed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let command = |attempt, reason| SettlementCommand::Quarantine { attempt, reason };
    let outcome = went_wrong(&app, &member, id, &typed, form, command).await.map(|()| "in-doubt");
    answer(&app, &member, id, typed, outcome).await
}

async fn find_out(app: &App, id: SettlementId, typed: &Typed, by: &By) -> Result<(), Problem> {
    let resolution = match typed.outcome.as_str() {
        "moved" => Resolution::Moved { movement: typed.movement(due(app, id).await?)? },
        "not_moved" => Resolution::NotMoved {},
        _ => return Err(Problem::invalid("say whether the money moved")),
    };
    let seen = typed
        .revision
        .trim()
        .parse()
        .map_err(|_| Problem::invalid("the form does not say what it is about"))?;
    let command = SettlementCommand::Resolve { resolution, note: typed.note.trim().to_owned() };
    let done = app.executor.execute_at::<Settlement>(&id, command, by, Some(seen)).await?;
    app.follow_up(done.position).await;
    Ok(())
}

/// Says what was found out about a quarantined settlement.
pub async fn resolve(
    State(app): State<App>,
    member: Member,
    Path(id): Path<SettlementId>,
    Form { fields: typed, id: form }: Form<Typed>,
) -> Result<Response, Failure> {
    authorise(&member)?;
    let notice = if typed.outcome == "moved" { "moved" } else { "not-moved" };
    let outcome = find_out(&app, id, &typed, &member.by_form(form)).await.map(|()| notice);
    answer(&app, &member, id, typed, outcome).await
}
