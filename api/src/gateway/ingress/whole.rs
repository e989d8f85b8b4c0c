//! Bodies that do not look whole when they were broken off.
//!
//! # Correctness
//! When hyper drops a connection, a body that came on it just ends, and whoever passes it on would end it properly: an upload
//! or a download that was broken off would be taken for whole. So the token is cancelled before anything is dropped, and an
//! end that is seen after that never comes; the connection that waits for it is dropped too.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use super::upstream::Upstream;

/// A body that ends only if `broken` is not cancelled; `upstream` is closed with it, if it is its last.
pub(super) fn whole(body: Body, broken: CancellationToken, upstream: Option<Upstream>) -> Body {
    Body::new(Whole { body, broken, _upstream: upstream })
}

struct Whole {
    body: Body,
    broken: CancellationToken,
    _upstream: Option<Upstream>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            _ if self.broken.is_cancelled() => Poll::Pending,
            end => Poll::Ready(end),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
