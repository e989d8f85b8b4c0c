//! More time: asking for it, and paying for it with a demo's coins.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use domain::{
    contract::{ContractRefusal, Rental},
    id::ContractId,
    offer::Offer,
    time::Time,
};

use super::{access::Nothing, rented};
use crate::{
    app::App,
    contracts,
    error::Problem,
    http::extract::Path,
    pages::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        term::{self, Priced, Typed},
        visit::Member,
    },
    showcase::Purchase,
};

/// The form for more time.
#[derive(Template)]
#[template(path = "rentals/extension.html")]
pub struct ExtensionPage {
    /// What is around it.
    pub shell: Shell,
    /// The rental.
    pub contract: ContractId,
    /// What was offered: extensions cost the same.
    pub offer: Offer,
    /// The end of the paid time.
    pub ends_at: Time,
    /// Seconds for which a request waits to be paid, at most.
    pub valid_s: i64,
    /// What was typed.
    pub asked: Typed,
    /// Why that does not work.
    pub wrong: Option<String>,
}

impl ExtensionPage {
    fn new(app: &App, member: &Member, contract: ContractId, rental: &Rental) -> Self {
        let offer = rental.started.offer.clone();
        Self {
            shell: member.shell("More time"),
            contract,
            ends_at: rental.until(),
            valid_s: app.config.extension_valid_s,
            asked: term::suggested(&offer),
            wrong: None,
            offer,
        }
    }

    /// What some lengths cost.
    #[must_use]
    pub fn examples(&self) -> Vec<Priced> {
        term::examples(&self.offer)
    }
}

/// Shows the form for more time.
///
/// # Errors
/// 404 for everybody but the renter; 409 when the rental is over.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
) -> Result<Response, Failure> {
    let rental = rented(&app, &member, contract).await?;
    let now = member.visit.now;
    if !rental.runs(now) {
        return Err(ContractRefusal::Over.into());
    }
    if rental.pending.as_ref().is_some_and(|pending| now < pending.lapses_at) {
        // It waits to be paid: that is said there.
        return Ok(Redirect::to(&format!("/rentals/{contract}")).into_response());
    }
    Ok(page(&ExtensionPage::new(&app, &member, contract, &rental)))
}

/// Asks for more time.
///
/// # Errors
/// 404 for everybody but the renter.
pub async fn request(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { fields: asked, id }: Form<Typed>,
) -> Result<Response, Failure> {
    let rental = rented(&app, &member, contract).await?;
    let requested = match asked.priced(&rental.started.offer) {
        Ok(Priced { term_s, .. }) => {
            let requested = contracts::request_extension(&app, contract, term_s, &member.by_form(id)).await;
            requested.map_err(|problem| (problem.status(), problem.detail().to_owned()))
        }
        Err(wrong) => Err((StatusCode::UNPROCESSABLE_ENTITY, wrong)),
    };
    match requested {
        Ok(requested) => {
            app.catch_up(requested.position).await;
            Ok(done(&format!("/rentals/{contract}#pay"), "extension"))
        }
        Err((status, wrong)) => {
            let form = ExtensionPage::new(&app, &member, contract, &rental);
            let again = ExtensionPage { asked, wrong: Some(wrong), ..form };
            Ok((status, page(&again)).into_response())
        }
    }
}

/// Pays for more time with a demo's coins.
///
/// # Errors
/// 404 for everybody but the renter, and outside of a demo; 409 when nothing waits to be paid.
pub async fn pay(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { .. }: Form<Nothing>,
) -> Result<Response, Failure> {
    let till = app.showcase.get().ok_or_else(|| Problem::not_found("page"))?;
    let rental = rented(&app, &member, contract).await?;
    let waits = rental.pending.as_ref().is_some_and(|pending| member.visit.now < pending.lapses_at);
    if !waits {
        return Err(ContractRefusal::ExtensionUnknown.into());
    }
    till.buy(member.account(), Purchase::Extension { contract }).await?;
    Ok(done(&format!("/rentals/{contract}"), "extending"))
}
