//! A connection to a device that HTTP is spoken on.
//!
//! # Correctness
//! A task drives the connection as long as it is held, and watches its lease: when that ends, the visitor's whole connection
//! is cut, whatever it is in the middle of.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Service,
    hub::{Hub, Origin},
    pages::Page,
    routes::{Dial, Found},
    settings::seconds,
};

/// How long a connection may take to be ready for the next request before another is opened.
const READY: Duration = Duration::from_secs(1);

/// A connection to the device behind one name.
pub(super) struct Upstream {
    subdomain: String,
    sender: SendRequest<Body>,
    ended: CancellationToken,
    _driver: AbortOnDropHandle<()>,
}

/// Why a request got no response.
pub(super) enum Failed {
    /// The device never saw it.
    Unsent(Request<Body>),
    /// Perhaps it did.
    Lost,
}

impl Upstream {
    /// Opens a connection for a visitor; `cut` is cancelled when its lease ends.
    pub(super) async fn open(
        hub: &Hub,
        dial: &Arc<dyn Dial>,
        subdomain: &str,
        from: &Origin,
        cut: &CancellationToken,
    ) -> Result<Self, Page> {
        let opening = async {
            let stream = dial.open(from.visitor).await.map_err(|e| refusal(&e))?;
            let mut builder = http1::Builder::new();
            let header_bytes = usize::try_from(hub.settings.max_header_bytes).unwrap_or(usize::MAX);
            builder.max_header_size(header_bytes).max_buf_size(header_bytes.max(super::http::BUFFER_BYTES));
            builder.handshake::<_, Body>(TokioIo::new(stream)).await.map_err(|_| Page::Broken)
        };
        let (ended, cut) = (dial.ended(), cut.clone());
        let opening = timeout(seconds(hub.settings.connect_s), opening);
        let Some(opened) = ended.run_until_cancelled(opening).await else {
            // The lease is over, or the device has come back by another tunnel.
            let over = matches!(hub.routes.find(subdomain, Service::Http), Found::Over | Found::Unknown);
            return Err(if over { Page::Over } else { Page::Away });
        };
        let (sender, connection) = opened.map_err(|_| Page::Late)??;
        let over = ended.clone();
        let driver = tokio::spawn(async move {
            let driven = async {
                if let Err(e) = connection.with_upgrades().await {
                    tracing::debug!(error = %e, "a connection to a device ended early");
                }
                // The visitor may still be reading what came.
                std::future::pending::<()>().await;
            };
            let mut driven = pin!(driven);
            tokio::select! {
                () = driven.as_mut() => {}
                () = over.cancelled() => cut.cancel(),
            }
            // The connection is dropped when the visitor's is.
            std::future::pending::<()>().await;
        });
        let _driver = AbortOnDropHandle::new(driver);
        Ok(Self { subdomain: subdomain.to_owned(), sender, ended, _driver })
    }

    /// Whether the next request for `subdomain` can be sent on it.
    pub(super) async fn fits(&mut self, subdomain: &str) -> bool {
        self.subdomain == subdomain
            && !self.ended.is_cancelled()
            && !self.sender.is_closed()
            && timeout(READY, self.sender.ready()).await.is_ok_and(|ready| ready.is_ok())
    }

    /// When its lease ends.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Sends a request and waits for the head of the response.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Failed> {
        self.sender.try_send_request(request).await.map_err(|mut e| match e.take_message() {
            Some(request) => Failed::Unsent(request),
            None => Failed::Lost,
        })
    }
}

fn refusal(e: &io::Error) -> Page {
    match e.kind() {
        io::ErrorKind::ConnectionRefused => Page::Refused,
        io::ErrorKind::TimedOut => Page::Late,
        io::ErrorKind::QuotaExceeded => Page::Busy,
        _ => Page::Broken,
    }
}
