//! What a renter decides about the data.

use axum::{extract::State, response::Response};
use domain::id::ContractId;
use serde::Deserialize;

use super::rented;
use crate::{
    app::App,
    contracts,
    error::Problem,
    http::extract::Path,
    pages::{failure::Failure, form::Form, page::done, visit::Member},
};

/// A choice.
#[derive(Debug, Deserialize)]
pub struct Choice {
    #[serde(default)]
    allowed: String,
}

/// Lets the device keep the server's half of the volume key, or not.
///
/// # Errors
/// 404 for everybody but the renter; 409 when the rental is over.
pub async fn choose_offline_resume(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { fields: Choice { allowed }, id }: Form<Choice>,
) -> Result<Response, Failure> {
    rented(&app, &member, contract).await?;
    let allowed = match allowed.as_str() {
        "yes" => true,
        "no" => false,
        _ => return Err(Problem::invalid("choose yes or no").into()),
    };
    let done_at = contracts::choose_offline_resume(&app, contract, allowed, &member.by_form(id)).await?;
    app.catch_up(done_at.position).await;
    Ok(done(&format!("/rentals/{contract}"), "resume"))
}

/// Whether somebody is sure.
#[derive(Debug, Deserialize)]
pub struct Sure {
    #[serde(default)]
    sure: String,
}

/// Asks for the data of an ended rental to be gone at once.
///
/// # Errors
/// 404 for everybody but the renter; 409 while the rental runs.
pub async fn ask_erasure(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { fields: Sure { sure }, id }: Form<Sure>,
) -> Result<Response, Failure> {
    rented(&app, &member, contract).await?;
    if sure != "yes" {
        return Err(Problem::invalid("tick the box that says you are sure").into());
    }
    let asked = contracts::ask_erasure(&app, contract, &member.by_form(id)).await?;
    app.follow_up(asked.position).await;
    Ok(done(&format!("/rentals/{contract}"), "asked-erasure"))
}
