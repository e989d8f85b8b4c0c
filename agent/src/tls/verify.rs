//! Judges a server's certificate when only a lower bound of the time is known.

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tracing::warn;

/// A chain is judged at so many times at most; more certificates than webpki follows in one.
const TIMES_MAX: usize = 12;

/// WebPKI's verifier, but a certificate that begins after the known time is judged at its beginning.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Empty until the system's authorities could be read.
    judge: OnceLock<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Trusts these authorities and nobody else.
    pub(super) fn of(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let judge = judge.context("\"ca\" names no authority that can be trusted")?;
        Ok(Self { judge: OnceLock::from(judge), provider: provider.clone() })
    }

    /// Trusts the system's authorities. They are read when the first server must be judged: most of a start's time would
    /// go into that otherwise, and a server without TLS needs none.
    pub(super) fn of_system(provider: &Arc<CryptoProvider>) -> Self {
        Self { judge: OnceLock::new(), provider: provider.clone() }
    }

    fn judge(&self) -> Result<&Arc<WebPkiServerVerifier>, Error> {
        if let Some(judge) = self.judge.get() {
            return Ok(judge);
        }
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            warn!(%error, "some of the system's certificate authorities cannot be read");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let none = |_| {
            let what = "this system knows no certificate authorities; install the package ca-certificates, \
                        or name your own with \"ca\" in agent.json";
            Error::General(what.into())
        };
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone());
        let judge = judge.build().map_err(none)?;
        Ok(self.judge.get_or_init(|| judge))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judge = self.judge()?;
        let mut at = now;
        let mut judged = judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        for _ in 1..TIMES_MAX {
            at = match &judged {
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before, ..
                })) if *not_before > at => *not_before,
                _ => break,
            };
            judged = judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at);
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
