//! Requests whose visitor waits to be told to go on (`Expect: 100-continue`).
//!
//! # Correctness
//! hyper tells the visitor to go on when his body is first asked for. So the body is not asked for before the device says to
//! go on, or has been silent for [`SILENCE`], as servers are that do not know of it; a device that refuses the request spares
//! its visitor the body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use hyper::{
    Request, StatusCode,
    body::{Body as HttpBody, Bytes, Frame, SizeHint},
    header::{EXPECT, HeaderValue},
};
use tokio_util::sync::CancellationToken;

/// How long a device may say nothing; browsers and curl wait as long themselves.
const SILENCE: Duration = Duration::from_secs(1);

/// Whether a visitor waits.
pub(super) fn waits<B: HttpBody>(request: &Request<B>) -> bool {
    let expect = request.headers().get(EXPECT);
    request.version() == hyper::Version::HTTP_11
        && expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        && !request.body().is_end_stream()
}

/// Makes a request wait; the token says that its body may come.
pub(super) fn hold(request: Request<Body>) -> (Request<Body>, CancellationToken) {
    let told = CancellationToken::new();
    let (go_on, begun) = (told.clone(), told.clone());
    let wait = Box::pin(async move {
        let _ = tokio::time::timeout(SILENCE, go_on.cancelled()).await;
        go_on.cancel();
    });
    let mut request = request.map(|body| Body::new(Held { body, wait: Some(wait) }));
    request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            told.cancel();
        }
    });
    (request, begun)
}

/// A body that is not asked for yet.
struct Held {
    body: Body,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
