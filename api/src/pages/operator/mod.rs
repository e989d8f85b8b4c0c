//! The operator's pages: what needs a human, and how the server is.
//!
//! # Shape
//! [`front`] counts what waits and shows the first of each; [`lists`] has the rest of devices and orders, [`settlements`]
//! of money, [`accounts`] of people, each with what can be done about it. [`health`] is how the server is.
//!
//! # Correctness
//! Every button is a command of the same services as the JSON API, which refuse what may not be. A form about a try or a
//! state names it, so one that is outdated changes nothing.

pub mod accounts;
pub mod front;
pub mod health;
pub mod lists;
pub mod people;
pub mod settlements;
pub mod steps;

use axum::{
    Router,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use domain::{account::Role, event::Position};
use projections::views::Page;
use serde::Deserialize;

use super::{failure::Failure, visit::Member};
use crate::{app::App, error::Problem, http::machine::in_range};

/// Rows on a page.
pub const SHOWN: usize = 25;

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/operator", get(front::show))
        .route("/operator/attention", get(front::attention).post(front::see_to))
        .route("/operator/settlements", get(settlements::list))
        .route("/operator/settlements/{settlement}", get(settlements::show))
        .route("/operator/settlements/{settlement}/start", post(steps::start))
        .route("/operator/settlements/{settlement}/settled", post(steps::settled))
        .route("/operator/settlements/{settlement}/manual", post(steps::by_hand))
        .route("/operator/settlements/{settlement}/failed", post(steps::failed))
        .route("/operator/settlements/{settlement}/quarantined", post(steps::quarantined))
        .route("/operator/settlements/{settlement}/resolution", post(steps::resolve))
        .route("/operator/devices", get(lists::lost))
        .route("/operator/devices/{device}/retirement", post(lists::retire))
        .route("/operator/contracts/{contract}/termination", post(lists::terminate))
        .route("/operator/erasures", get(lists::unerased))
        .route("/operator/orders", get(lists::refused))
        .route("/operator/accounts", get(accounts::list).post(accounts::open))
        .route("/operator/accounts/{account}", get(people::show))
        .route("/operator/accounts/{account}/roles", post(people::grant))
        .route("/operator/accounts/{account}/roles/{role}/revocation", post(people::revoke_role))
        .route("/operator/accounts/{account}/tokens", post(people::issue_token))
        .route("/operator/accounts/{account}/tokens/{token}/revocation", post(people::revoke_token))
}

/// Lets operators through.
///
/// # Errors
/// 403 for all others.
fn authorise(member: &Member) -> Result<(), Problem> {
    member.require(&[Role::Operator])
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
pub struct Part {
    /// Goes on after this one.
    after: Option<Position>,
}

impl Part {
    /// The newest first; one more than is shown, to see whether more follow.
    fn page(&self) -> Page {
        Page { after: in_range(self.after), newest_first: true, limit: SHOWN + 1 }
    }
}

/// Cuts rows to what is shown; answers with where the next ones begin.
fn cut<R>(rows: &mut Vec<R>, position: impl FnOnce(&R) -> Position) -> Option<Position> {
    let more = rows.len() > SHOWN;
    rows.truncate(SHOWN);
    rows.last().filter(|_| more).map(position)
}

/// Whether whoever sent a form can mend what was wrong with it.
fn mendable(problem: Problem) -> Result<(StatusCode, String), Failure> {
    let status = problem.status();
    if [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT].contains(&status) {
        Ok((status, problem.detail().to_owned()))
    } else {
        Err(problem.into())
    }
}

/// A page shown again with a form that was wrong.
fn again(mut response: Response, status: StatusCode) -> Response {
    *response.status_mut() = status;
    response
}

/// Lets a form through whose box "I am sure" is ticked.
fn require_sure(sure: &str) -> Result<(), Problem> {
    if sure == "yes" { Ok(()) } else { Err(Problem::invalid("tick the box that says you are sure")) }
}
