//! The one place where the agent throws dice.

use domain::key::Nonce;
use uuid::Uuid;

/// `N` random bytes from the system.
#[expect(clippy::disallowed_methods, reason = "the one source of randomness of this binary")]
pub(crate) fn bytes<const N: usize>() -> [u8; N]
where
    rand::distr::StandardUniform: rand::distr::Distribution<[u8; N]>,
{
    rand::random()
}

/// A fresh challenge.
pub(crate) fn nonce() -> Nonce {
    Nonce(bytes())
}

/// A random id.
pub(crate) fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(bytes()).into_uuid()
}

/// Evenly out of `[0, 1)`.
pub(crate) fn unit() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}
