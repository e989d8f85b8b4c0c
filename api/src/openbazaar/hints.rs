//! What the node says by itself, over its websocket: reasons to look sooner, and nothing more.
//!
//! # Correctness
//! Frames are lost while nobody listens, come twice, and come before the node has noted what they say; every client's
//! words are sent to all. So a frame only names orders to look at, and nothing is believed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::Client,
    wire::{Notification, is_id},
};

/// Orders that wait to be looked at, at most: the list of sales has the others.
const MAX_WAITING: usize = 1_000;
/// The largest frame, in bytes.
const MAX_FRAME: usize = 1 << 20;
/// Waits before listening again.
const RETRY: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// Orders that something was said about.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<Vec<String>>,
    said: Notify,
}

/// A frame, as far as it matters.
#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(default)]
    notification: Notification,
    #[serde(default)]
    wallet: Paid,
}

/// Something was paid.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Paid {
    order_id: String,
}

impl Hints {
    /// The orders that something was said about since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something is said.
    pub async fn wait(&self) {
        self.0.said.notified().await;
    }

    fn heard(&self, text: &str) {
        let Ok(Frame { notification, wallet }) = serde_json::from_str(text) else { return };
        let order = notification.order_id + &notification.purchase_order_id + &wallet.order_id;
        let mut orders = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if is_id(&order) && orders.len() < MAX_WAITING {
            orders.push(order);
            self.0.said.notify_one();
        }
    }

    /// Listens until stopped.
    pub async fn listen(self, node: Client, stop: CancellationToken) {
        let Some(address) = node.url().strip_prefix("http").filter(|rest| rest.starts_with("://")) else {
            return tracing::info!("the node speaks TLS: it is asked again and again, and not listened to");
        };
        let url = format!("ws{address}/ws");
        let mut tries = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = self.hear(&url, &node) => match heard {
                    Ok(()) => tries = 0,
                    Err(e) => tracing::debug!(error = %e, "the node's websocket broke off"),
                },
            }
            let wait = RETRY[tries.min(RETRY.len() - 1)];
            tries += 1;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Listens until the connection ends.
    async fn hear(&self, url: &str, node: &Client) -> anyhow::Result<()> {
        let mut request = url.into_client_request()?;
        let (name, value) = node.credentials();
        let mut value = HeaderValue::from_str(&value)?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
        let config = WebSocketConfig::default().max_message_size(Some(MAX_FRAME));
        let (mut socket, _) = connect_async_with_config(request, Some(config), true).await?;
        tracing::debug!("listening to the node");
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message? {
                self.heard(&text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_only_names_an_order_to_look_at() {
        let hints = Hints::default();
        for frame in [
            r#"{"notification":{"orderId":"Qm1","type":"order","notificationId":"Qm9"}}"#,
            r#"{"notification":{"purchaseOrderId":"Qm2","type":"vendorDisputeTimeout"}}"#,
            r#"{"notification":{"orderId":"../../wallet/spend"}}"#,
            r#"{"walletUpdate":{"TBTC":{}}}"#,
            "not json",
        ] {
            hints.heard(frame);
        }
        assert_eq!(hints.take(), ["Qm1", "Qm2"]);
        assert!(hints.take().is_empty());
    }
}
