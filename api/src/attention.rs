//! The list of what a human should look at.

use crate::{
    app::App,
    clones::{CLONED, device_of},
    error::Problem,
};

/// Takes something off the list: somebody has seen to it. It comes back when its cause does.
///
/// # Errors
/// When the private store fails.
pub async fn seen_to(app: &App, subject: &str, what: &str) -> Result<(), Problem> {
    app.private.end_attention(subject, what).await?;
    if let Some(device) = device_of(subject) {
        app.reports.forget(device, what);
        if what == CLONED {
            app.clones.forget(&app.private, device).await?;
            app.feed.wake(device);
        }
    }
    tracing::info!(subject, what, "an operator saw to it");
    Ok(())
}
