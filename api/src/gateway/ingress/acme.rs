//! A certificate for `*.<domain>`, ordered by ACME (RFC 8555) and renewed before it ends.
//!
//! # Shape
//! [`Store`] keeps the account and the certificate, [`Hook`] writes and removes the DNS record that proves that the domain is
//! ours, [`Http`] talks to the server. One wildcard serves all names: a certificate for each lease would soon reach the
//! limits of public authorities.
//!
//! # Correctness
//! A certificate is stored before it is used, so one that was issued is never lost by a restart. The record is removed
//! however the order ends. After a failure the pauses grow, and stay below what authorities allow in an hour;
//! the certificate that is there is used meanwhile.

mod hook;
mod http;
mod store;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use tokio_util::sync::CancellationToken;

use self::{hook::Hook, http::Http, store::Store};
use super::{certificate::Certificate, settings::Settings, settings::seconds};

/// Says what time it is.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// How long before its end a certificate is renewed, if a third of its life is not shorter.
const BEFORE_END: TimeDelta = TimeDelta::days(30);
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(3_600);
/// The pause after the first failure; it doubles with each.
const RETRY: Duration = Duration::from_secs(5 * 60);
/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(12 * 3_600);
/// How long an order may take.
const ORDER: Duration = Duration::from_secs(15 * 60);
/// How long the records of an order that was broken off may take to be removed.
const CLEANUP: Duration = Duration::from_secs(10);
/// How long the server may take to look at the record, and to issue.
const POLL: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(180));

/// What a server says that does not know the account.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What keeps the certificate fresh.
pub struct Acme {
    domain: String,
    directory: String,
    contact: String,
    wait: Duration,
    hook: Hook,
    http: Http,
    store: Store,
    now: Now,
    certificate: Arc<Certificate>,
    valid: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// DNS records that were written and not removed: name and value.
    written: Vec<(String, String)>,
}

impl Acme {
    /// Uses the certificate that is kept in `folder`, if there is one.
    ///
    /// # Errors
    /// When the folder or the root certificate cannot be read.
    pub async fn open(
        settings: &Settings,
        folder: &Path,
        now: Now,
        certificate: Arc<Certificate>,
    ) -> anyhow::Result<Self> {
        let store = Store::open(folder)?;
        let mut acme = Self {
            domain: settings.domain.clone(),
            directory: settings.acme_directory.clone(),
            contact: settings.acme_contact.clone(),
            wait: seconds(settings.acme_dns_wait_s),
            hook: Hook::new((&settings.acme_dns_hook).into()),
            http: Http::new(&settings.acme_root)?,
            store,
            now,
            certificate,
            valid: None,
            written: Vec::new(),
        };
        if let Some(pem) = acme.store.certificate(&acme.domain)?
            && let Err(e) = acme.install(&pem)
        {
            tracing::warn!(error = format!("{e:#}"), "the stored certificate is not used; ordering another");
        }
        Ok(acme)
    }

    /// Renews the certificate whenever it is due.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut retry = RETRY;
        loop {
            let Some(renewed) = stop.run_until_cancelled(self.renew_if_due()).await else {
                let _ = tokio::time::timeout(CLEANUP, self.clean()).await;
                return;
            };
            let pause = match renewed {
                Ok(renewed) => {
                    if renewed {
                        tracing::info!(domain = self.domain, "the gateway has a new certificate");
                    }
                    retry = RETRY;
                    LOOK
                }
                Err(e) => {
                    let error = format!("{e:#}");
                    tracing::error!(error, again_in_s = retry.as_secs(), "no certificate could be ordered");
                    let pause = retry;
                    retry = RETRY_MAX.min(retry * 2);
                    pause
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Whether there is no certificate or it ends soon.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let Some((from, until)) = self.valid else { return true };
        (self.now)() >= until - BEFORE_END.min((until - from) / 3)
    }

    /// Orders a certificate if it is due, and says whether it did.
    ///
    /// # Errors
    /// When none could be had: says why.
    pub async fn renew_if_due(&mut self) -> anyhow::Result<bool> {
        if !self.is_due() {
            return Ok(false);
        }
        let ordered = tokio::time::timeout(ORDER, self.order()).await;
        self.clean().await;
        let pem = ordered.context("the order took too long")??;
        self.store.keep_certificate(&self.domain, &pem)?;
        self.install(&pem)?;
        Ok(true)
    }

    fn install(&mut self, pem: &str) -> anyhow::Result<()> {
        self.certificate.install(pem.as_bytes(), pem.as_bytes())?;
        self.valid = Some(store::validity(pem)?);
        Ok(())
    }

    /// A fresh key and its certificate chain, as PEM.
    async fn order(&mut self) -> anyhow::Result<String> {
        let account = self.account().await?;
        let names = [Identifier::Dns(format!("*.{}", self.domain))];
        let order = account.new_order(&NewOrder::new(&names)).await;
        if let Err(instant_acme::Error::Api(problem)) = &order
            && problem.r#type.as_deref() == Some(NO_ACCOUNT)
        {
            // The next order opens another.
            self.store.forget_account()?;
        }
        let mut order = order.context("no order was taken")?;
        self.prove(&mut order).await?;
        let key = order.finalize().await.context("the order was not finished")?;
        let chain = order.poll_certificate(&POLL).await.context("no certificate was issued")?;
        Ok(format!("{key}{chain}"))
    }

    async fn account(&self) -> anyhow::Result<Account> {
        let builder = || Account::builder_with_http(Box::new(self.http.clone()));
        if let Some(credentials) = self.store.account(&self.directory)? {
            return builder().from_credentials(credentials).await.context("the ACME server is not reached");
        }
        let contact = format!("mailto:{}", self.contact);
        let contacts = [contact.as_str()];
        let new = NewAccount {
            contact: if self.contact.is_empty() { &[] } else { &contacts },
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let created = builder().create(&new, self.directory.clone(), None).await;
        let (account, credentials) = created.context("no account was opened at the ACME server")?;
        self.store.keep_account(&self.directory, &credentials)?;
        Ok(account)
    }

    /// Removes the DNS records.
    async fn clean(&mut self) {
        while let Some((name, value)) = self.written.pop() {
            if let Err(e) = self.hook.call("cleanup", &name, &value).await {
                tracing::warn!(error = format!("{e:#}"), name, "a DNS record was not removed");
            }
        }
    }

    /// Proves that the domain is ours.
    async fn prove(&mut self, order: &mut Order) -> anyhow::Result<()> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("the order cannot be read")?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(ChallengeType::Dns01);
            let mut challenge = challenge.context("the ACME server does not take proof by DNS")?;
            let value = challenge.key_authorization().dns_value();
            let name = format!("_acme-challenge.{}", self.domain);
            self.written.push((name.clone(), value.clone()));
            self.hook.call("present", &name, &value).await?;
            tokio::time::sleep(self.wait).await;
            challenge.set_ready().await.context("the proof was not taken")?;
        }
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Err(e) if !matches!(e, instant_acme::Error::Api(_)) => {
                Err(e).context("the proof was not looked at")
            }
            _ => bail!("the DNS record was not accepted: {}", why(order).await),
        }
    }
}

/// What the server says of a proof that it did not accept.
async fn why(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return problem.to_string();
        }
    }
    "the ACME server does not say why".into()
}
