//! The one place where the server reads the clock and throws dice.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::{DateTime, SubsecRound, Utc};
use domain::time::{Seconds, Time};
use rand::{Rng, TryCryptoRng, TryRng};
use uuid::Uuid;

/// The server's time: the system's, or one that only moves when told to.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's clock.
    System,
    /// Microseconds since 1970, moved by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start` until it is advanced.
    #[must_use]
    pub fn manual(start: Time) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.unix() * 1_000_000)))
    }

    /// Now, to the microsecond.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the server reads the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now().trunc_subsecs(6),
            Self::Manual(micros) => {
                DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }

    /// Now, to the second.
    #[must_use]
    pub fn time(&self) -> Time {
        Time::from_unix(self.now().timestamp())
    }

    /// Moves a manual clock on; a system clock moves by itself.
    pub fn advance(&self, seconds: Seconds) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(seconds.saturating_mul(1_000_000), Ordering::SeqCst);
        }
    }
}

/// Fills `bytes` from the operating system's randomness.
#[expect(clippy::disallowed_methods, reason = "the one place where the server throws dice")]
pub fn random(bytes: &mut [u8]) {
    rand::rng().fill_bytes(bytes);
}

/// The operating system's randomness, for whoever seals something.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dice;

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes(random_bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes(random_bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        random(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Dice {}

/// Random bytes.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}

/// A fresh id: UUID version 7 at the clock's time.
#[must_use]
pub fn fresh_id(clock: &Clock) -> Uuid {
    let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random_bytes()).into_uuid()
}

/// A secret of 256 bits in base64url, with a prefix that tells what it is for.
#[must_use]
pub fn fresh_secret(prefix: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()))
}
