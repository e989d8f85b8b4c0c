//! Secrets and signatures, as Standard Webhooks has them.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::{app::App, clock::random_bytes};

/// What a webhook signs with: 256 bits that its receiver knows too.
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

fn context(webhook: Uuid) -> String {
    format!("webhook {webhook}")
}

impl Secret {
    /// A new one.
    #[must_use]
    pub fn fresh() -> Self {
        Self(random_bytes::<32>().to_vec())
    }

    /// As it is shown: `whsec_` and base64.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }

    /// As it is kept.
    #[must_use]
    pub fn seal(&self, app: &App, webhook: Uuid) -> Vec<u8> {
        app.keys.seal(&context(webhook), &self.0)
    }

    /// The secret that a webhook keeps.
    ///
    /// # Errors
    /// When the vault key is not the one that sealed it.
    pub fn unseal(app: &App, webhook: Uuid, sealed: &[u8]) -> anyhow::Result<Self> {
        app.keys.unseal(&context(webhook), sealed).map(Self)
    }

    /// The signature of a message: `v1,` and the base64 of its HMAC-SHA256.
    ///
    /// # Panics
    /// Never: a key may have any length.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_standard_webhooks_documents() {
        let secret = Secret(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        assert_eq!(secret.shown(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert!(!format!("{secret:?}").contains("MfKQ"));
        assert_ne!(Secret::fresh().shown(), Secret::fresh().shown());
    }
}
