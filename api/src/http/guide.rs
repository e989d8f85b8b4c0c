//! Pages for whoever runs the server.

use axum::response::Html;

/// Selling on OpenBazaar: set-up, what each payment method means, and what needs a human.
pub async fn openbazaar() -> Html<&'static str> {
    Html(include_str!("guide/openbazaar.html"))
}
