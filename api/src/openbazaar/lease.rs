//! One connector per wallet: the lease of leadership.
//!
//! # Correctness
//! A leader works only while its lease has time left, and takes it anew before each cycle. A leader that was frozen in
//! the middle of a call may still believe that it leads; no payment depends on it: each is started in the ledger by
//! exactly one server, and a payment that somebody else started is only looked for, never made again.

use domain::time::Time;
use uuid::Uuid;

use crate::app::App;

/// This server's hold on the node.
#[derive(Debug)]
pub(super) struct Lease {
    name: String,
    holder: Uuid,
    until: Option<Time>,
}

impl Lease {
    pub fn new(app: &App) -> Self {
        let name = format!("openbazaar {}", app.config.openbazaar.marketplace);
        Self { name, holder: app.fresh_id(), until: None }
    }

    /// Takes or keeps it; whether this server leads.
    pub async fn take(&mut self, app: &App) -> anyhow::Result<bool> {
        let (now, lease_s) = (app.clock.time(), app.config.openbazaar.lease_s);
        let fence = app.private.take_lease(&self.name, self.holder, now, lease_s).await?;
        if fence.is_some() != self.until.is_some() {
            tracing::info!(leads = fence.is_some(), fence, "leadership over the OpenBazaar node changed");
        }
        self.until = fence.map(|_| now.plus(lease_s));
        Ok(fence.is_some())
    }

    /// Whether it still holds; taken anew when half of it is over.
    pub async fn keep(&mut self, app: &App) -> anyhow::Result<bool> {
        let left = self.until.map_or(0, |until| until.since(app.clock.time()));
        if left * 2 > app.config.openbazaar.lease_s { Ok(true) } else { self.take(app).await }
    }

    /// Gives it back.
    pub async fn end(&self, app: &App) {
        if let Err(e) = app.private.end_lease(&self.name, self.holder, app.clock.time()).await {
            tracing::warn!(error = %e, "the lease of the OpenBazaar node was not given back; it runs out by itself");
        }
    }
}
