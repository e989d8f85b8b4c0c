//! One visitor's connection that HTTP is spoken on.
//!
//! # Shape
//! hyper reads requests; each is looked up by its host, rewritten and sent on the [`Upstream`] of that host, which stays open
//! for the next; bodies stream through, both ways, unbuffered. When the connection switches protocols, both sides are taken
//! out of hyper and joined.
//!
//! # Correctness
//! Requests of one connection follow each other, so one upstream is enough. A request is sent a second time only when the
//! device cannot have acted on it: never seen, or without a body and safe. What is broken off never looks [`whole`], to
//! either side. All ends of a connection ([`Ends`]) drop it as a whole, with the upstream that it holds.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use hyper::{
    Request, Response, StatusCode, Uri, Version,
    body::{Body as _, Incoming},
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{
    Service, expect, headers,
    host::{self, Target},
    hub::{Hub, Origin},
    pages::{self, Page},
    routes::Found,
    settings::seconds,
    socket::Socket,
    stream::{Ends, Pulse, Watched, splice},
    upstream::{Failed, Upstream},
    whole::whole,
};

/// What hyper buffers of a connection, unless headers may be larger.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;
/// Headers of one request.
const HEADERS_MAX: usize = 128;

/// A connection whose protocol is switched.
struct Switch {
    visitor: OnUpgrade,
    device: OnUpgrade,
    ended: CancellationToken,
}

struct Visit {
    hub: Arc<Hub>,
    from: Origin,
    cut: CancellationToken,
    /// Cancelled before the connection is dropped.
    broken: CancellationToken,
    upstream: tokio::sync::Mutex<Option<Upstream>>,
    switch: Mutex<Option<Switch>>,
}

/// Serves a connection until it ends; `stream` is what is spoken on `socket`.
pub(super) async fn serve<S>(hub: Arc<Hub>, stream: S, socket: Socket, from: Origin)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let pulse = Pulse::new();
    let stream = TokioIo::new(Watched::new(stream, pulse.clone()));
    let (cut, broken) = (CancellationToken::new(), CancellationToken::new());
    let ends = Ends { ended: cut.clone(), kill: hub.kill.clone(), pulse, idle: hub.settings.idle(), socket };
    let (upstream, switch) = (tokio::sync::Mutex::default(), Mutex::default());
    let visit = Arc::new(Visit { hub: hub.clone(), from, cut, broken: broken.clone(), upstream, switch });
    let service = service_fn(|request| {
        let visit = visit.clone();
        async move { Ok::<_, Infallible>(visit.answer(request).await) }
    });
    let header_bytes = usize::try_from(hub.settings.max_header_bytes).unwrap_or(usize::MAX);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(seconds(hub.settings.headers_s))
        .max_header_size(header_bytes)
        .max_buf_size(header_bytes.max(BUFFER_BYTES))
        .max_headers(HEADERS_MAX)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut draining = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(e) = ended {
                    tracing::debug!(error = %e, "a visitor's connection ended early");
                    if e.is_user() {
                        // The device broke off in the middle of a body.
                        ends.socket.cut();
                    }
                }
                break;
            }
            () = ends.reached() => {
                broken.cancel();
                return;
            }
            () = hub.stop.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    broken.cancel();
    let switch = visit.switch.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Switch { visitor, device, ended }) = switch {
        let ends = Ends { ended, ..ends };
        let switched = tokio::select! {
            switched = async { tokio::try_join!(visitor, device) } => switched,
            () = ends.reached() => return,
        };
        if let Ok((visitor, device)) = switched {
            splice(TokioIo::new(visitor), TokioIo::new(device), &ends).await;
        }
    }
}

impl Visit {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let html = pages::reads_html(request.headers());
        self.pass(request).await.unwrap_or_else(|page| page.answer(html))
    }

    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Page> {
        let domain = &self.hub.settings.domain;
        let target = host::target(request.method(), request.uri(), request.headers(), domain)?;
        if self.from.sni.as_ref().is_some_and(|name| *name != target.subdomain) {
            return Err(Page::Misdirected);
        }
        let switch = headers::wanted(&request);
        let visitor = switch.is_some().then(|| hyper::upgrade::on(&mut request));
        let waits = expect::waits(&request);
        let mut request = self.rewrite(request, &target, switch.as_ref());
        let mut told = None;
        if waits {
            let (held, token) = expect::hold(request);
            (request, told) = (held, Some(token));
        }
        let mut slot = self.upstream.lock().await;
        let mut response = self.send(&mut slot, request, &target.subdomain).await?;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        headers::response(response.headers_mut(), switched);
        *response.version_mut() = Version::HTTP_11;
        if !switched {
            let ended = slot.as_ref().map(Upstream::ended).unwrap_or_default();
            let mut last = None;
            if told.is_some_and(|told| !told.is_cancelled()) {
                // The visitor keeps his body, so nobody knows what he sends next.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                last = slot.take();
            }
            return Ok(response.map(|body| whole(Body::new(body), ended, last)));
        }
        let (Some(visitor), Some(upstream)) = (visitor, slot.as_ref()) else {
            // Nobody asked for it.
            *slot = None;
            return Err(Page::Broken);
        };
        let device = hyper::upgrade::on(&mut response);
        let switch = Switch { visitor, device, ended: upstream.ended() };
        *self.switch.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch);
        Ok(response.map(|_| Body::empty()))
    }

    /// The request as the device gets it.
    fn rewrite(
        &self,
        request: Request<Incoming>,
        target: &Target,
        switch: Option<&HeaderValue>,
    ) -> Request<Body> {
        let (old, body) = request.into_parts();
        let mut request = Request::new(whole(Body::new(body), self.broken.clone(), None));
        *request.method_mut() = old.method;
        *request.uri_mut() =
            old.uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
        *request.headers_mut() = old.headers;
        headers::request(request.headers_mut(), self.from.visitor.ip(), self.from.scheme, target, switch);
        request
    }

    /// Sends a request on the connection that is open, or on a new one.
    async fn send(
        &self,
        slot: &mut Option<Upstream>,
        mut request: Request<Body>,
        subdomain: &str,
    ) -> Result<Response<Incoming>, Page> {
        let mut again = repeatable(&request);
        loop {
            let dial = match self.hub.routes.find(subdomain, Service::Http) {
                Found::Here(dial) => dial,
                other => {
                    *slot = None;
                    return Err(page(&other));
                }
            };
            let reused = match slot {
                Some(upstream) => upstream.fits(subdomain).await,
                None => false,
            };
            if !reused {
                // The old one is closed before another is opened: a lease may have few visitors.
                *slot = None;
                *slot = Some(Upstream::open(&self.hub, &dial, subdomain, &self.from, &self.cut).await?);
            }
            let Some(upstream) = slot.as_mut() else { return Err(Page::Broken) };
            let failed = match upstream.send(request).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            *slot = None;
            request = match failed {
                Failed::Unsent(request) if reused => request,
                Failed::Lost if reused => again.take().ok_or(Page::Broken)?,
                _ => return Err(Page::Broken),
            };
        }
    }
}

/// The same request again, when it is safe and has no body.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.method().is_safe() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Body::empty());
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    Some(again)
}

fn page(found: &Found) -> Page {
    match found {
        Found::Unknown => Page::Unknown,
        Found::Over => Page::Over,
        Found::Away => Page::Away,
        Found::NoService | Found::Here(_) => Page::NoService,
    }
}
