//! Brings one webhook its events.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use domain::{
    event::{Position, Recorded},
    time::Seconds,
};
use projections::private::{Attention, FailedDelivery, Webhook};
use tokio_util::sync::CancellationToken;

use super::{
    concerns::concerns,
    send::{Delivery, Failure, Sender},
    sign::Secret,
};
use crate::{app::App, cloud_event::cloud_event};

/// Seconds until each further try of an event; after the last the webhook is disabled.
const WAITS_S: [Seconds; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
/// The longest time that a receiver may ask for with `Retry-After`, in seconds: nobody stops a webhook by mistake.
const MAX_WAIT_S: Seconds = 86_400;
/// Events read at once; each webhook that is behind holds so many in memory.
const PAGE: usize = 200;
/// Events of no concern after which the place in the log is written down; a restart looks at them again.
const MAX_UNWRITTEN: Position = 1_000;

/// Brings one webhook its events, in order.
pub(super) struct Courier {
    pub app: App,
    pub sender: Arc<Sender>,
    /// The webhook, as it was when this began.
    pub webhook: Webhook,
    /// The first position that was not looked at yet.
    pub seen: Arc<AtomicU64>,
    pub stop: CancellationToken,
}

impl Courier {
    /// Delivers until the log's end or the first failure. What goes wrong is tried again by the next courier.
    pub async fn go(self) {
        if let Err(e) = self.deliver().await {
            tracing::error!(webhook = %self.webhook.id, error = %e, "a webhook cannot go on; trying again");
        }
    }

    async fn deliver(&self) -> anyhow::Result<()> {
        let (id, private) = (self.webhook.id, &self.app.private);
        let (mut next, mut written) = (self.seen.load(Ordering::Relaxed), self.webhook.next);
        loop {
            let page = self.app.executor.log().read_all(next, PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for recorded in &page {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                if concerns(&self.app, &self.webhook, recorded).await? {
                    if !self.bring(recorded).await? {
                        return Ok(());
                    }
                    written = recorded.position + 1;
                }
                next = recorded.position + 1;
                self.seen.store(next, Ordering::Relaxed);
            }
            if next - written >= MAX_UNWRITTEN {
                private.webhook_passed(id, next).await?;
                written = next;
            }
        }
    }

    /// Tries to deliver an event; `false` when it was not delivered.
    async fn bring(&self, recorded: &Recorded) -> anyhow::Result<bool> {
        // It may have been removed, disabled, put off or given another secret meanwhile.
        let (current, now) = (self.app.private.webhook(self.webhook.id).await?, self.app.clock.time());
        let Some(webhook) = current.filter(|webhook| webhook.is_due(now)) else { return Ok(false) };
        let delivery = match self.delivery(&webhook, recorded) {
            Ok(delivery) => delivery,
            // Such as a secret that the server's key does not open: an operator must see it.
            Err(e) => {
                let failure = Failure { why: format!("{e:#}"), gone: false, retry_after_s: None };
                return self.failed(&webhook, recorded.position, failure).await.map(|()| false);
            }
        };
        let sent = tokio::select! {
            () = self.stop.cancelled() => return Ok(false),
            sent = self.sender.send(&webhook.url, delivery) => sent,
        };
        let (id, position, at) = (webhook.id, recorded.position, self.app.clock.time());
        match sent {
            Ok(()) => {
                tracing::debug!(webhook = %id, position, "an event was delivered");
                self.app.private.webhook_delivered(id, position + 1, at).await?;
                Ok(true)
            }
            Err(failure) => self.failed(&webhook, position, failure).await.map(|()| false),
        }
    }

    fn delivery(&self, webhook: &Webhook, recorded: &Recorded) -> anyhow::Result<Delivery> {
        let (id, at) = (recorded.event.id.0.to_string(), self.app.clock.time());
        let body = serde_json::to_vec(&cloud_event(recorded)?)?;
        let old = webhook.old_secret.iter().filter(|(_, until)| at < *until).map(|(sealed, _)| sealed);
        let sign =
            |sealed: &Vec<u8>| Ok(Secret::unseal(&self.app, webhook.id, sealed)?.sign(&id, at.unix(), &body));
        let all = [&webhook.sealed_secret].into_iter().chain(old).map(sign);
        let signature = all.collect::<anyhow::Result<Vec<_>>>()?.join(" ");
        Ok(Delivery { id, at, signature, body })
    }

    /// Writes down when the event is tried again, or that the webhook is disabled, which a human is told before.
    async fn failed(&self, webhook: &Webhook, position: Position, failure: Failure) -> anyhow::Result<()> {
        let (id, at, Failure { why: error, gone, retry_after_s }) =
            (webhook.id, self.app.clock.time(), failure);
        let wait = WAITS_S.get(webhook.failures as usize).filter(|_| !gone);
        let wait = wait.map(|wait| (*wait).max(retry_after_s.unwrap_or(0).min(MAX_WAIT_S)));
        let (failures, next_try_at) = (webhook.failures.saturating_add(1), wait.map(|wait| at.plus(wait)));
        if next_try_at.is_none() {
            let subject = format!("webhook-{id}");
            let detail = format!("event {position} was not delivered by try {failures}: {error}");
            let item = Attention { subject, what: "webhook disabled".into(), detail, since: at };
            self.app.private.call_attention(&item).await?;
        }
        tracing::warn!(webhook = %id, position, failures, error, disabled = next_try_at.is_none(),
            "an event was not delivered");
        let failed = FailedDelivery { position, failures, error, at, next_try_at };
        Ok(self.app.private.webhook_failed(id, &failed).await?)
    }
}
