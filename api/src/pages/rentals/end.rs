//! Ending a rental early, with what becomes of the money said first.
//!
//! # Correctness
//! The form carries the instant of the quote that was shown, and the end is at that instant or not at all: nobody gets less
//! than was shown. A quote that no longer stands is shown anew.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use domain::{contract::Rental, id::ContractId, policy::EndedBy, time::Time};
use serde::Deserialize;

use super::seen;
use crate::{
    app::App,
    contracts::{self, Quote},
    error::Problem,
    http::extract::Path,
    pages::{
        failure::Failure,
        form::Form,
        page::{Shell, done, page},
        show::filters,
        visit::Member,
    },
};

/// A quote that stands shorter than this cannot be read in time, in seconds.
const TOO_SHORT_S: i64 = 20;

/// What becomes of the money.
#[derive(Template)]
#[template(path = "rentals/end.html")]
pub struct EndPage {
    /// What is around it.
    pub shell: Shell,
    /// The rental.
    pub contract: ContractId,
    /// The device's title when it was rented.
    pub title: String,
    /// As whom it would be ended.
    pub as_whom: EndedBy,
    /// The quote; none when the rental is over.
    pub quote: Option<Quote>,
    /// What happened.
    pub wrong: Option<String>,
}

impl EndPage {
    async fn new(
        app: &App,
        member: &Member,
        contract: ContractId,
        (rental, as_whom): (&Rental, EndedBy),
        wrong: Option<String>,
    ) -> Result<Self, Problem> {
        let quote = match contracts::quote(app, contract, as_whom).await {
            Ok(quote) => Some(quote),
            Err(problem) if problem.status() == StatusCode::CONFLICT => None,
            Err(problem) => return Err(problem),
        };
        let title = rental.started.offer.title.clone();
        Ok(Self { shell: member.shell("End the rental"), contract, title, as_whom, quote, wrong })
    }

    /// Whether there is time to read a quote before it falls.
    #[must_use]
    pub fn is_hasty(&self) -> bool {
        self.quote.as_ref().is_some_and(|quote| quote.stands_until.since(quote.at) < TOO_SHORT_S)
    }
}

/// A rental, and as whom somebody may end it.
async fn endable(app: &App, member: &Member, contract: ContractId) -> Result<(Rental, EndedBy), Problem> {
    let (rental, as_whom) = seen(app, member, contract).await?;
    let watches = || Problem::forbidden("auditors see rentals, and end none");
    Ok((rental, as_whom.ok_or_else(watches)?))
}

/// Shows what would become of the money.
///
/// # Errors
/// 404 for everybody who is not part of it and no operator.
pub async fn show(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
) -> Result<Response, Failure> {
    let (rental, as_whom) = endable(&app, &member, contract).await?;
    if !rental.runs(member.visit.now) {
        return Ok(Redirect::to(&format!("/rentals/{contract}")).into_response());
    }
    Ok(page(&EndPage::new(&app, &member, contract, (&rental, as_whom), None).await?))
}

/// Which instant.
#[derive(Debug, Deserialize)]
pub struct At {
    /// The quote's, or `now`.
    #[serde(default)]
    quoted_at: String,
}

/// Ends a rental.
///
/// # Errors
/// As [`show`].
pub async fn end(
    State(app): State<App>,
    member: Member,
    Path(contract): Path<ContractId>,
    Form { fields: At { quoted_at }, id }: Form<At>,
) -> Result<Response, Failure> {
    let (rental, as_whom) = endable(&app, &member, contract).await?;
    let at = match quoted_at.as_str() {
        "now" => Ok(None),
        text => text
            .parse::<Time>()
            .map(Some)
            .map_err(|_| Problem::invalid("the form names no quote; look at this one")),
    };
    let ended = match at {
        Ok(at) => contracts::terminate(&app, contract, as_whom, at, &member.by_form(id)).await,
        Err(problem) => Err(problem),
    };
    match ended {
        Ok(ended) => {
            app.follow_up(ended.position).await;
            Ok(done(&format!("/rentals/{contract}"), "ended"))
        }
        Err(problem) if problem.status().is_client_error() => {
            let wrong = Some(problem.detail().to_owned());
            let again = EndPage::new(&app, &member, contract, (&rental, as_whom), wrong).await?;
            Ok((problem.status(), page(&again)).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}
