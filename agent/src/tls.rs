//! TLS on a device that does not know what time it is.
//!
//! # Shape
//! [`Tls`] makes the configuration of the HTTP client: whom to trust ([`Ca`]: those that `agent.json` names and nobody
//! else, or the system's) and what is known of the time ([`Floor`]). `verify` judges a server's certificate by both.
//!
//! # Correctness
//! A device without a battery for its clock boots in 1970, or months behind. What is certain is only a lower bound: the
//! latest of the wall clock, the newest time that the server signed, and the day this program was built. So a certificate
//! that had expired by then has expired; one that begins later says nothing against itself, and is judged at its
//! beginning. A chain is accepted exactly when there is a time from the bound on at which all of it is valid. Nothing but
//! the time is judged more mildly, and no answer is believed for its certificate: it is signed by the pinned root key.
//!
//! A wall clock that is far ahead makes every certificate look expired. The agent then hears only silence, which never
//! erases anything; setting the clock ends it.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use domain::time::Time;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    time_provider::TimeProvider,
};

use crate::{
    clock,
    tree::{Disk, Tree},
};

mod verify;

/// The longest file of certificates, in bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

/// When this program was built, in seconds since 1970.
const BUILT: &str = env!("BERTH_AGENT_BUILT");

/// A time that is certainly reached; shared, and it only moves forward.
#[derive(Debug, Clone)]
pub struct Floor(Arc<AtomicI64>);

impl Floor {
    /// A floor at `time`, or at the build date if that is later.
    #[must_use]
    pub fn new(time: Time) -> Self {
        let built: i64 = BUILT.parse().unwrap_or(0);
        Self(Arc::new(AtomicI64::new(time.unix().max(built))))
    }

    /// Raises it to a time that the server signed; an earlier one changes nothing.
    pub fn raise(&self, time: Time) {
        self.0.fetch_max(time.unix(), Ordering::Relaxed);
    }

    /// Where it is.
    #[must_use]
    pub fn time(&self) -> Time {
        Time::from_unix(self.0.load(Ordering::Relaxed))
    }
}

impl Default for Floor {
    fn default() -> Self {
        Self::new(Time::default())
    }
}

/// Certificates of the authorities to trust instead of the system's.
#[derive(Clone, PartialEq, Eq)]
pub struct Ca(Vec<CertificateDer<'static>>);

impl Ca {
    /// Reads a PEM file of one or more certificates.
    ///
    /// # Errors
    /// When it cannot be read, or holds anything that cannot be trusted.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = Disk.read(path, CA_BYTES_MAX).with_context(|| format!("\"ca\": cannot read {shown}"))?;
        let bytes = bytes.with_context(|| {
            format!(
                "\"ca\": {shown} does not exist; name a PEM file, relative to agent.json, or leave \"ca\" out"
            )
        })?;
        let form = || {
            format!(
                "\"ca\": {shown} must hold PEM certificates, from -----BEGIN CERTIFICATE----- to its END line"
            )
        };
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().with_context(form)?;
        ensure!(!certificates.is_empty(), "{}; it holds none", form());
        let ca = Self(certificates);
        ca.roots().with_context(|| format!("\"ca\": {shown} holds a certificate that cannot be read"))?;
        Ok(ca)
    }

    fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        self.0.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
        Ok(roots)
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ca({} certificates)", self.0.len())
    }
}

/// A wall clock: seconds since 1970, right or wrong.
pub type Wall = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Whom to trust, and what is known of the time.
#[derive(Clone)]
pub struct Tls {
    /// The authorities to trust; the system's when none is named.
    pub ca: Option<Ca>,
    /// The time that is certainly reached.
    pub floor: Floor,
    /// The wall clock.
    pub wall: Wall,
}

impl Tls {
    /// With the system's wall clock.
    #[must_use]
    pub fn new(ca: Option<Ca>, floor: Floor) -> Self {
        Self { ca, floor, wall: Arc::new(clock::wall) }
    }

    /// The configuration of a client.
    ///
    /// # Errors
    /// When a named authority cannot be trusted.
    pub fn client(&self) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let clock = Arc::new(LowerBound { floor: self.floor.clone(), wall: self.wall.clone() });
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> anyhow::Result<verify::Verifier> {
        Ok(match &self.ca {
            Some(ca) => verify::Verifier::of(ca.roots()?, provider)?,
            None => verify::Verifier::of_system(provider),
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("ca", &self.ca).field("floor", &self.floor.time()).finish_non_exhaustive()
    }
}

/// The latest time that is certainly reached, if the wall clock is not ahead.
struct LowerBound {
    floor: Floor,
    wall: Wall,
}

impl TimeProvider for LowerBound {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (self.wall)().max(self.floor.time().unix());
        Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    }
}

impl fmt::Debug for LowerBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LowerBound").field(&self.floor.time()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_never_falls_and_is_never_before_the_build() {
        let floor = Floor::default();
        let built = floor.time();
        assert!(built > Time::from_unix(1_790_000_000));
        floor.raise(Time::from_unix(1));
        assert_eq!(floor.time(), built);
        let (later, shared) = (built.plus(1_000), floor.clone());
        shared.raise(later);
        assert_eq!(floor.time(), later);
        assert_eq!(Floor::new(later).time(), later);
    }

    #[test]
    fn the_time_is_the_latest_that_is_certain() {
        let floor = Floor::default();
        let now = floor.time().unix();
        let at = |wall: i64| {
            let clock = LowerBound { floor: floor.clone(), wall: Arc::new(move || wall) };
            clock.current_time().unwrap().as_secs()
        };
        let second = |time: i64| u64::try_from(time).unwrap();
        assert_eq!(at(-5), second(now));
        assert_eq!(at(0), second(now));
        assert_eq!(at(now + 7), second(now + 7));
    }
}
