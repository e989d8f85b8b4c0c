//! The certificate with which TLS is ended here.
//!
//! # Correctness
//! A certificate takes the place of the one before only when it is whole: its key belongs to it and it is for the names
//! below the domain. Connections use the one that is there when they begin.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context, ensure};
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The certificate that is used, once there is one.
#[derive(Debug)]
pub struct Certificate {
    domain: String,
    key: RwLock<Option<Arc<CertifiedKey>>>,
}

impl Certificate {
    /// None yet, for `*.<domain>`.
    #[must_use]
    pub fn none(domain: &str) -> Self {
        Self { domain: domain.to_owned(), key: RwLock::default() }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.key.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Uses a certificate from now on.
    ///
    /// # Errors
    /// When something is wrong with it; then the one before stays.
    pub fn install(&self, chain: &[u8], key: &[u8]) -> anyhow::Result<()> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| anyhow::anyhow!("the certificate is not PEM"))?;
        let leaf = chain.first().context("there is no certificate in it")?;
        let name = ServerName::try_from(format!("any.{}", self.domain)).context("the domain is none")?;
        let parsed = ParsedCertificate::try_from(leaf).context("the certificate cannot be read")?;
        verify_server_name(&parsed, &name)
            .with_context(|| format!("the certificate is not for *.{}", self.domain))?;
        // Nothing of a key stands in an error.
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|_| anyhow::anyhow!("the private key is not PEM"))?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .context("the private key does not belong to the certificate")?;
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// How TLS is spoken with it.
    ///
    /// # Errors
    /// Never, with the cryptography that is built in.
    pub fn server_config(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = config.with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A certificate and its key in files.
#[derive(Debug)]
pub struct Files {
    chain: PathBuf,
    key: PathBuf,
    seen: [u8; 32],
}

impl Files {
    /// These files.
    #[must_use]
    pub fn new(chain: PathBuf, key: PathBuf) -> Self {
        Self { chain, key, seen: [0; 32] }
    }

    /// Installs the certificate if the files changed since they were last looked at, and says whether they did.
    ///
    /// # Errors
    /// When they cannot be read or do not fit together; once for each change.
    pub async fn look(&mut self, certificate: &Certificate) -> anyhow::Result<bool> {
        let files = async { anyhow::Ok((read(&self.chain).await?, read(&self.key).await?)) };
        let files = files.await;
        let digest: [u8; 32] = match &files {
            Ok((chain, key)) => {
                Sha256::new().chain_update(Sha256::digest(chain)).chain_update(key).finalize()
            }
            Err(e) => Sha256::digest(format!("{e:#}")),
        }
        .into();
        if self.seen == digest {
            return Ok(false);
        }
        self.seen = digest;
        let (chain, key) = files?;
        let installed = certificate.install(&chain, &key);
        installed.with_context(|| format!("{} and {}", self.chain.display(), self.key.display()))?;
        Ok(true)
    }

    /// Looks at the files again and again.
    pub async fn watch(mut self, certificate: Arc<Certificate>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            match self.look(&certificate).await {
                Ok(false) => {}
                Ok(true) => tracing::info!("the gateway uses the new certificate"),
                Err(e) => tracing::error!(error = format!("{e:#}"), "the new certificate is not used"),
            }
        }
    }
}

async fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let bytes = async {
        ensure!(tokio::fs::metadata(path).await?.len() <= FILE_BYTES_MAX, "it is too large");
        Ok(tokio::fs::read(path).await?)
    };
    bytes.await.with_context(|| format!("{} cannot be read", path.display()))
}
