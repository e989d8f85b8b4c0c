//! The pages: what people see and do in a browser.
//!
//! # Shape
//! Every page is a handler that asks the views, fills a struct and renders its template, which the compiler checks. Every
//! button is a form that posts, carries out one command through the same services as the JSON API, and leads back to a
//! page (303). [`visit`] recognises the visitor once per request; [`form`] reads what was sent; [`failure`] shows a "no"
//! as a page; [`live`] tells a page that it is outdated. Script only adds: everything works without it.
//!
//! # Correctness
//! A request that pages of another origin cause is refused by its Origin and Sec-Fetch-Site, hosts below the same domain
//! included; browsers keep the session's cookie back from other sites (SameSite); and every form of somebody signed in
//! carries a value that only his own pages know. Templates escape whatever they are given; the content policy allows neither inline script nor
//! style, nor anything of another host. Pages of somebody signed in are kept by no cache.

pub mod account;
pub mod assets;
pub mod audit;
pub mod chart;
pub mod devices;
pub mod earnings;
pub mod failure;
pub mod form;
pub mod live;
pub mod market;
pub mod operator;
pub mod page;
pub mod passkeys;
pub mod rentals;
pub mod show;
pub mod sign_in;
pub mod term;
pub mod visit;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use tower_http::csrf::CsrfLayer;

use crate::{app::App, error::Problem, http::frame};

/// Every page.
pub fn router(app: &App) -> Router<App> {
    let own = CsrfLayer::new().with_rejection_response(failure::foreign as fn(_) -> _);
    let own = match own.clone().add_trusted_origin(app.config.web.url.trim_end_matches('/')) {
        Ok(own) => own,
        // Without a URL of its own, the site is what browsers say they ask.
        Err(_) => own,
    };
    Router::new()
        .merge(sign_in::routes())
        .merge(account::routes())
        .merge(devices::routes())
        .merge(earnings::routes())
        .merge(audit::routes())
        .merge(operator::routes())
        .merge(market::routes())
        .merge(rentals::routes())
        .merge(passkeys::routes())
        .route("/live", get(live::stream))
        .layer(own)
        .layer(from_fn_with_state(app.clone(), visit::enter))
        .merge(assets::routes())
}

/// What answers to a path that is none.
pub fn elsewhere(app: &App) -> Router {
    let enter = from_fn_with_state(app.clone(), visit::enter);
    Router::new().fallback(no_such_path).layer(enter).with_state(app.clone())
}

/// The answer to a path that is none: a page for browsers, a problem for programs.
async fn no_such_path(request: Request) -> Response {
    let wants_page = |headers: &HeaderMap| {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        accept.is_some_and(|accept| accept.contains("text/html"))
    };
    let for_program = request.uri().path().starts_with("/v1/") || !wants_page(request.headers());
    let mut response = frame::no_such_path().await.into_response();
    if for_program {
        response.extensions_mut().remove::<Problem>();
    }
    response
}
