//! The HTTP API: extract, authorise, command, execute, respond.
//!
//! # Shape
//! One file for each group of routes; a route's documentation stands on its handler, and `/openapi.json` is made of it.
//! Around all of them: [`frame`] (request ids, limits, headers) and [`idempotency`] (requests sent twice).

pub mod accounts;
pub mod answer;
pub mod auth;
pub mod bandwidth;
pub mod contracts;
pub mod data;
pub mod devices;
pub mod disputes;
pub mod enrolment;
pub mod event_stream;
pub mod events;
pub mod extract;
pub mod frame;
pub mod gateways;
pub mod guide;
pub mod history;
pub mod idempotency;
pub mod journal;
pub mod list;
pub mod machine;
pub mod market;
pub mod metrics;
pub mod offers;
pub mod openapi;
pub mod orders;
pub mod problems;
pub mod purses;
pub mod rentals;
pub mod roles;
pub mod schema;
pub mod settlements;
pub mod setup;
pub mod status;
pub mod steps;
pub mod timeline;
pub mod tokens;
pub mod treasury;
pub mod webhooks;

use axum::{Extension, Router, extract::DefaultBodyLimit, middleware, routing::get};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};
use utoipa_swagger_ui::SwaggerUi;

use crate::{app::App, pages};

/// The whole API over a running server.
pub fn router(app: App) -> Router {
    let (router, document) = documented().split_for_parts();
    let docs = SwaggerUi::new("/docs").external_url_unchecked("/openapi.json", openapi::finish(document));
    router
        .merge(docs)
        .route("/docs/openbazaar", get(guide::openbazaar))
        // Around what exists only: a path or method that does not is told so, whatever else is wrong with the request.
        .route_layer(middleware::from_fn_with_state(app.clone(), idempotency::once))
        .merge(pages::router(&app))
        .fallback_service(pages::elsewhere(&app))
        .method_not_allowed_fallback(frame::no_such_method)
        .layer(Extension(bandwidth::Slots::default()))
        .layer(DefaultBodyLimit::max(frame::MAX_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), frame::frame))
        .with_state(app)
}

/// The API's description, OpenAPI 3.1.
#[must_use]
pub fn document() -> serde_json::Value {
    openapi::finish(documented().into_openapi())
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(public()).merge(for_owners()).merge(for_rentals()).merge(for_operators())
}

fn public() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(market::search_market))
        .routes(routes!(market::price_term))
        .routes(routes!(market::server_key))
        .routes(routes!(setup::set_up))
        .routes(routes!(status::is_alive))
        .routes(routes!(status::is_ready))
        .routes(routes!(problems::list_problems))
        .routes(routes!(problems::explain_problem))
        .routes(routes!(machine::register))
        .routes(routes!(machine::poll))
        .routes(routes!(machine::check_in))
        .routes(routes!(machine::send_receipt))
        .routes(routes!(machine::device_events))
        .routes(routes!(bandwidth::send_bytes))
        .routes(routes!(gateways::lease_news))
        .routes(routes!(gateways::report_gateway).layer(DefaultBodyLimit::max(gateways::MAX_REPORT)))
}

fn for_owners() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(enrolment::enrol_device, devices::list_devices))
        .routes(routes!(devices::get_device, devices::rename_device, devices::retire_device))
        .routes(routes!(offers::publish_offer, offers::withdraw_offer))
        .routes(routes!(enrolment::replace_enrolment_key))
        .routes(routes!(enrolment::transfer_device))
        .routes(routes!(settlements::list_payouts))
        .routes(routes!(purses::list_held_payouts))
        .routes(routes!(purses::release_payouts))
}

fn for_rentals() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(orders::receive_order, orders::list_orders))
        .routes(routes!(orders::get_order))
        .routes(routes!(settlements::list_refunds))
        .routes(routes!(settlements::list_settlements))
        .routes(routes!(settlements::get_settlement))
        .routes(routes!(steps::start_settlement))
        .routes(routes!(steps::report_settled))
        .routes(routes!(steps::settle_by_hand))
        .routes(routes!(steps::report_failed))
        .routes(routes!(steps::report_quarantined))
        .routes(routes!(steps::resolve_settlement))
        .routes(routes!(contracts::list_contracts))
        .routes(routes!(contracts::get_contract))
        .routes(routes!(rentals::quote_refund))
        .routes(routes!(rentals::request_extension))
        .routes(routes!(rentals::terminate_rental))
        .routes(routes!(rentals::get_credentials))
        .routes(routes!(data::choose_offline_resume))
        .routes(routes!(data::ask_erasure))
        .routes(routes!(disputes::open_dispute))
        .routes(routes!(disputes::decide_dispute))
        .routes(routes!(journal::list_owed))
}

fn for_operators() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(events::list_events))
        .routes(routes!(event_stream::stream_events))
        .routes(routes!(history::contract_history))
        .routes(routes!(journal::list_journal))
        .routes(routes!(journal::list_balances))
        .routes(routes!(treasury::record_sweep))
        .routes(routes!(timeline::subject_timeline))
        .routes(routes!(accounts::open_account, accounts::list_accounts))
        .routes(routes!(accounts::get_account, accounts::change_account, accounts::erase_account))
        .routes(routes!(roles::grant_role))
        .routes(routes!(roles::revoke_role))
        .routes(routes!(tokens::issue_token, tokens::list_tokens))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(webhooks::add_webhook, webhooks::list_webhooks))
        .routes(routes!(webhooks::get_webhook, webhooks::remove_webhook))
        .routes(routes!(webhooks::rotate_webhook_secret))
        .routes(routes!(webhooks::enable_webhook))
        .routes(routes!(status::list_attention))
        .routes(routes!(status::end_attention))
        .routes(routes!(status::server_status))
        .routes(routes!(metrics::metrics))
        .routes(routes!(gateways::list_gateways))
        .routes(routes!(status::connector_status))
}
