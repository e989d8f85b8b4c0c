//! The login of a rental, on demand.
//!
//! # Correctness
//! It is the answer to a form of the renter's own page, for one look: no cache keeps it, no address leads to it, and no
//! event makes it go or come back.

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{contract::ContractRefusal, id::ContractId};
use serde::Deserialize;

use super::rented;
use crate::{
    app::App,
    contracts::{self, Credentials},
    error::Problem,
    http::extract::Path,
    pages::{
        failure::Failure,
        form::Form,
        page::{Shell, page},
        visit::Member,
    },
};

/// A press of the button.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

/// The login of a rental.
#[derive(Template)]
#[template(path = "rentals/credentials.html")]
pub struct CredentialsPage {
    /// What is around it.
    pub shell: Shell,
    /// The rental.
    pub contract: ContractId,
    /// The device's title when it was rented.
    pub title: String,
    /// The login.
    pub login: Credentials,
}

/// Shows the login of a rental that runs.
///
/// # Errors
/// 404 for everybody but its renter; 409 when it is over.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    let rental = rented(&app, &member, contract).await?;
    let login = contracts::credentials(&app, contract).await?;
    let login = login.ok_or_else(|| Problem::from(ContractRefusal::Over))?;
    let title = rental.started.offer.title;
    Ok(page(&CredentialsPage { shell: member.shell("How to log in"), contract, title, login }))
}
