//! What somebody rents: the list, one rental, its login, more time, its end, its data.

pub mod access;
pub mod data;
pub mod end;
pub mod extend;
pub mod list;
pub mod receipt;
pub mod show;

use axum::{
    Router,
    routing::{get, post},
};
use domain::{
    account::Role,
    contract::{ContractRefusal, Rental},
    id::ContractId,
    policy::EndedBy,
};

use super::visit::Member;
use crate::{app::App, error::Problem, http::contracts};

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/rentals", get(list::show))
        .route("/rentals/{contract}", get(show::show))
        .route("/rentals/{contract}/credentials", post(access::show))
        .route("/rentals/{contract}/extension", get(extend::show).post(extend::request))
        .route("/rentals/{contract}/payment", post(extend::pay))
        .route("/rentals/{contract}/end", get(end::show).post(end::end))
        .route("/rentals/{contract}/offline-resume", post(data::choose_offline_resume))
        .route("/rentals/{contract}/erasure", post(data::ask_erasure))
}

/// A rental for whoever may see it, and as whom somebody would end it: auditors see, and end nothing.
///
/// # Errors
/// 404 for everybody else.
async fn seen(
    app: &App,
    member: &Member,
    contract: ContractId,
) -> Result<(Rental, Option<EndedBy>), Problem> {
    let (rental, as_whom) = contracts::find(app, member, contract).await?;
    let sees = as_whom.is_some() || member.is(Role::Auditor);
    if sees { Ok((rental, as_whom)) } else { Err(ContractRefusal::Unknown.into()) }
}

/// A rental for its renter.
///
/// # Errors
/// 404 for everybody else.
async fn rented(app: &App, member: &Member, contract: ContractId) -> Result<Rental, Problem> {
    let (rental, as_whom) = contracts::find(app, member, contract).await?;
    if as_whom == Some(EndedBy::Renter) { Ok(rental) } else { Err(ContractRefusal::Unknown.into()) }
}
