//! The auditor's pages: what happened, who did it, when and why, and what it came to.
//!
//! # Shape
//! [`thing`] says what can be audited and which events are about it; [`timeline`] shows those, [`told`] puts each into
//! words, [`facts`] folds what it changed, [`event`] shows one in full, [`download`] hands out all of them; [`books`] adds
//! up the journal.
//!
//! # Correctness
//! Auditors read only: no form here posts. What is told is derived from the log by the rules of the domain, never kept.

pub mod books;
pub mod download;
pub mod event;
pub mod facts;
mod fields;
pub mod front;
pub mod thing;
pub mod timeline;
pub mod told;

use axum::{Router, routing::get};
use domain::account::Role;

use crate::{app::App, error::Problem, pages::visit::Member};

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/audit", get(front::show))
        .route("/audit/find", get(front::find))
        .route("/audit/events/{position}", get(event::show))
        .route("/audit/contracts/{contract}", get(timeline::contract))
        .route("/audit/devices/{device}", get(timeline::device))
        .route("/audit/orders/{marketplace}/{order}", get(timeline::order))
        .route("/audit/accounts/{account}", get(timeline::account))
        .route("/audit/settlements/{settlement}", get(timeline::settlement))
        .route("/audit/contracts/{contract}/history.jsonl", get(download::contract))
        .route("/audit/devices/{device}/history.jsonl", get(download::device))
        .route("/audit/orders/{marketplace}/{order}/history.jsonl", get(download::order))
        .route("/audit/accounts/{account}/history.jsonl", get(download::account))
        .route("/audit/settlements/{settlement}/history.jsonl", get(download::settlement))
}

/// Lets through whoever may see everything.
///
/// # Errors
/// 403 for all others.
fn authorise(member: &Member) -> Result<(), Problem> {
    member.require(&[Role::Auditor, Role::Operator])
}
