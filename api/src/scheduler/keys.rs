//! Key halves of ended leases, and the record of their end.

use std::collections::HashSet;

use domain::{device::KeyEnd, event::SystemPart};
use projections::private::Attention;

use crate::{app::App, halves};

/// Rows read at once.
const PAGE: u32 = 500;

/// Destroys what is due, then records what was destroyed before a crash could be followed up.
pub(super) async fn destroy_due(app: &App) -> anyhow::Result<u64> {
    let mut tried = HashSet::new();
    let mut done = 0;
    loop {
        let mut rows = app.halves.due(app.clock.time(), PAGE).await?;
        rows.extend(app.halves.unrecorded(PAGE).await?);
        rows.retain(|row| tried.insert(*row));
        if rows.is_empty() || app.stop.is_cancelled() {
            return Ok(done);
        }
        for (device, epoch) in rows {
            let by = app.by_system(SystemPart::Scheduler, None);
            match halves::destroy(app, device, epoch, KeyEnd::AppealOver, &by).await {
                Ok(_) => done += 1,
                Err(problem) if problem.status().is_server_error() => return Err(problem.into()),
                Err(problem) => {
                    tracing::error!(%device, epoch, error = %problem, "a key half cannot be destroyed");
                    let (subject, what) = (format!("device-{device}"), "key half stays".into());
                    let (detail, since) = (problem.to_string(), app.clock.time());
                    app.private.call_attention(&Attention { subject, what, detail, since }).await?;
                }
            }
        }
    }
}
