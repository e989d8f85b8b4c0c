//! The market: what can be rented, and how.

pub mod ask;
pub mod device;
pub mod list;

use axum::{
    Router,
    routing::{get, post},
};

use crate::app::App;

/// The routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(list::show))
        .route("/market/{device}", get(device::show))
        .route("/market/{device}/rental", post(device::rent))
}
