//! The one place where the server reads the clock and throws dice.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use domain::time::{Seconds, Time};
use projections::postgres::{PgConnection, Postgres, PostgresError};
use rand::{Rng, TryCryptoRng, TryRng};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The server's time: the system's, or one that only moves when told to.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's clock.
    System,
    /// The system's clock, put right by this many microseconds: the clock of the database that nodes share.
    Shared(Arc<AtomicI64>),
    /// Microseconds since 1970, moved by hand.
    Manual(Arc<AtomicI64>),
}

/// How often a shared clock is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// An answer that took longer says too little about the time.
const PROMPT: TimeDelta = TimeDelta::milliseconds(500);
/// Tries to get a prompt answer before a server starts.
const TRIES: usize = 5;
/// A machine whose clock is this far off is named in the log.
const FAR_OFF: TimeDelta = TimeDelta::seconds(2);

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
            Self::Shared(off) => {
                (Utc::now() + TimeDelta::microseconds(off.load(Ordering::Relaxed))).trunc_subsecs(6)
            }
            Self::Manual(micros) => {
                DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }

    /// The clock of a database, so that nodes whose own clocks differ agree.
    ///
    /// # Errors
    /// When the database does not tell the time.
    pub async fn shared(database: &Postgres) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        for _ in 0..TRIES {
            if let Some(off) = difference(database, &mut connection).await? {
                return Ok(Self::Shared(Arc::new(AtomicI64::new(off))));
            }
        }
        anyhow::bail!("the database {} takes too long to tell the time", database.shown())
    }

    /// Keeps a shared clock right until stopped.
    pub async fn keep_right(&self, database: &Postgres, stop: CancellationToken) {
        let Self::Shared(kept) = self else { return };
        let mut connection = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let looked = async {
                let mut at = match connection.take() {
                    Some(at) => at,
                    None => database.connect().await?,
                };
                let found = difference(database, &mut at).await?;
                connection = Some(at);
                Ok::<_, PostgresError>(found)
            };
            match looked.await {
                Ok(Some(off)) => kept.store(off, Ordering::Relaxed),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the database did not tell the time"),
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

/// How many microseconds the database's clock is ahead of the system's; none when it took too long to answer.
#[expect(clippy::disallowed_methods, reason = "the one place where the server reads the clock")]
async fn difference(database: &Postgres, at: &mut PgConnection) -> Result<Option<i64>, PostgresError> {
    let asked = Utc::now();
    let there = database.time(at).await?;
    let answered = Utc::now();
    let took = answered - asked;
    let off = there - (asked + took / 2);
    if off.abs() > FAR_OFF {
        tracing::warn!(
            off_ms = off.num_milliseconds(),
            "this machine's clock is not the database's; that one counts"
        );
    }
    let prompt = took >= TimeDelta::zero() && took < PROMPT;
    Ok(prompt.then(|| off.num_microseconds()).flatten())
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
