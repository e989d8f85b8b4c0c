//! Bytes that mean nothing, for a device that measures how fast it gets them.
//!
//! # Correctness
//! It costs the server next to nothing: one block of random bytes is made once and sent again and again without being
//! copied. At most [`AT_ONCE`] downloads are under way, each is over after [`PATIENCE`] even if the device stops reading,
//! and whoever comes at a bad moment is told so at once: no registration waits for a measurement.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::{auth::DeviceCaller, extract::Query};
use crate::{app::App, clock, error::Problem};

/// The most bytes of one download.
pub const MAX_BYTES: u64 = 8 << 20;
/// So many downloads at once: more would only measure each other.
const AT_ONCE: usize = 4;
/// A download is over after this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than the window of common compressions, so that a proxy in between cannot shrink it.
const BLOCK: usize = 256 * 1_024;

/// Room for downloads of one server.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Semaphore>);

impl Default for Slots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// How much.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BandwidthQuery {
    /// Bytes to send.
    #[param(minimum = 1, maximum = 8_388_608)]
    pub bytes: u64,
}

/// Sends bytes that mean nothing and cannot be compressed, so that the device can measure its bandwidth.
#[utoipa::path(get, path = "/v1/device/bandwidth", tag = "device", params(BandwidthQuery),
    security(("device_key" = [])),
    responses((status = 200, description = "The bytes", body = String, content_type = "application/octet-stream")))]
pub async fn send_bytes(
    State(app): State<App>,
    _caller: DeviceCaller,
    Extension(Slots(slots)): Extension<Slots>,
    Query(BandwidthQuery { bytes }): Query<BandwidthQuery>,
) -> Result<Response, Problem> {
    if !(1..=MAX_BYTES).contains(&bytes) {
        return Err(Problem::invalid(format!("bytes must be 1 to {MAX_BYTES}")));
    }
    let slot = slots.try_acquire_owned().map_err(|_| Problem::overloaded().retry_after(5))?;
    let (sender, receiver) = mpsc::channel(1);
    let stop = app.stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = tokio::time::timeout(PATIENCE, send(bytes, sender, slot)) => {}
        }
    });
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    Ok((headers, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

/// Hands over block by block; the slot is free again when the last one is taken.
async fn send(bytes: u64, to: mpsc::Sender<Result<Bytes, Infallible>>, _slot: OwnedSemaphorePermit) {
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        if to.send(Ok(block().slice(..length))).await.is_err() {
            return;
        }
        left -= length as u64;
    }
}

/// Always the same random bytes.
fn block() -> &'static Bytes {
    static ONCE: OnceLock<Bytes> = OnceLock::new();
    ONCE.get_or_init(|| {
        let mut bytes = vec![0; BLOCK];
        clock::random(&mut bytes);
        bytes.into()
    })
}
