//! How an ACME server is talked to.

use std::{future::Future, pin::Pin, time::Duration};

use anyhow::Context;
use axum::body::{Body, to_bytes};
use hyper::{Request, Response, body::Bytes};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Certificate, redirect::Policy};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(60);
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client that trusts the system's authorities, or one root only.
#[derive(Debug, Clone)]
pub(super) struct Http(reqwest::Client);

impl Http {
    /// `root` is the path of a PEM file, or empty.
    pub(super) fn new(root: &str) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder().https_only(true).timeout(CALL).redirect(Policy::none());
        if !root.is_empty() {
            let roots = std::fs::read(root)
                .map_err(anyhow::Error::from)
                .and_then(|pem| Ok(Certificate::from_pem_bundle(&pem)?))
                .with_context(|| format!("{root} is no root certificate"))?;
            client = client.tls_certs_only(roots);
        }
        client = client.user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")));
        Ok(Self(client.build().context("the ACME server cannot be talked to")?))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let call = async {
                let (head, body) = request.into_parts();
                let body = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await?;
                let request = reqwest::Request::try_from(Request::from_parts(head, body))?;
                let response: Response<reqwest::Body> = client.execute(request).await?.into();
                let (head, body) = response.into_parts();
                let body = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await?;
                anyhow::Ok(BytesResponse { parts: head, body: Box::new(body) })
            };
            call.await.map_err(|e| Error::Other(e.into()))
        })
    }
}
