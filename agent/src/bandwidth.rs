//! How fast the way from the server is, measured once in a while by downloading a little.
//!
//! Nobody's lease depends on it: what cannot be measured in time is left out.

use std::time::{Duration, Instant};

use crate::server::Server;

/// So many bytes are asked for; less is taken when [`TAKE`] is over first.
const BYTES: u64 = 4 << 20;
/// How long bytes are counted.
const TAKE: Duration = Duration::from_secs(2);
/// A registration is held up no longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// Measures kbit/s from the server to this device; none when it cannot be measured, and never after more than 3 s.
pub async fn measure(server: &Server, address: &str) -> Option<u64> {
    tokio::time::timeout(PATIENCE, download(server, address)).await.ok().flatten()
}

async fn download(server: &Server, address: &str) -> Option<u64> {
    let mut body = server.bytes(address, BYTES).await.ok()?;
    // What came with the headers had been on its way already: the time starts after it.
    body.chunk().await.ok()??;
    let (begun, mut last, mut bytes) = (Instant::now(), Duration::ZERO, 0u64);
    let taken = async {
        while let Ok(Some(chunk)) = body.chunk().await {
            bytes = bytes.saturating_add(chunk.len() as u64);
            last = begun.elapsed();
            if bytes >= BYTES {
                break;
            }
        }
    };
    // Running out of time is the usual end on a slow line.
    let _ = tokio::time::timeout(TAKE, taken).await;
    rate(bytes, last)
}

/// kbit/s, to two digits: more would be noise, and would tell devices apart.
fn rate(bytes: u64, took: Duration) -> Option<u64> {
    let micros = u64::try_from(took.as_micros()).ok().filter(|micros| *micros > 0)?;
    let kbit_s = bytes.saturating_mul(8_000) / micros;
    let unit = 10u64.pow(kbit_s.checked_ilog10()?.saturating_sub(1));
    Some(kbit_s / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_to_two_digits_or_not_at_all() {
        let ms = Duration::from_millis;
        assert_eq!(rate(4 << 20, ms(335)), Some(100_000));
        assert_eq!(rate(250_000, ms(2_000)), Some(1_000));
        assert_eq!(rate(1_234, ms(1_000)), Some(9));
        assert_eq!(rate(4 << 20, Duration::from_micros(1)), Some(33_000_000_000));
        assert_eq!(rate(0, ms(10)), None);
        assert_eq!(rate(100, Duration::ZERO), None);
        assert_eq!(rate(1, ms(2_000)), None);
    }
}
