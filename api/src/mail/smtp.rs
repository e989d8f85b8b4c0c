//! A mail server.
//!
//! # Correctness
//! A mail is given in two steps: [`Smtp::prepare`] goes as far as the server's "go on", up to which nothing was sent, and
//! [`Smtp::hand_over`] gives the text and waits for the verdict. Only a "no" of the server in the second step means that the
//! mail was not taken; after anything else nobody knows. A password is only given over a connection that is encrypted, or
//! that the operator wants as it is.

mod server;

use std::time::Duration;

use lettre::{
    Message,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, MailParameter},
    },
};
use tokio::time::timeout;

pub use server::{Server, Tls};

use super::transport::{Failure, in_words};

/// How long each step may take.
const STEP: Duration = Duration::from_secs(30);
/// How long the server may take for its verdict: some look at every mail first.
const VERDICT: Duration = Duration::from_secs(300);
/// Mails over one connection: many servers stop at a hundred.
const MAX_CARRIED: u32 = 50;

/// A mail server, and the connection to it while there is one.
pub(super) struct Smtp {
    server: Server,
    hello: ClientId,
    open: Option<AsyncSmtpConnection>,
    carried: u32,
}

impl Smtp {
    /// A server that is told who we are by the domain that the mails come from.
    pub fn new(server: Server, domain: &str) -> Self {
        Self { server, hello: ClientId::Domain(domain.to_owned()), open: None, carried: 0 }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let Server { host, port, tls, login } = &self.server;
        let parameters = || TlsParameters::new_rustls(host.clone());
        let wrapped = (*tls == Tls::Wrapped).then(parameters).transpose()?;
        let at = (host.as_str(), *port);
        let mut open =
            AsyncSmtpConnection::connect_tokio1(at, Some(STEP), &self.hello, wrapped, None).await?;
        if *tls == Tls::Required || (*tls == Tls::IfOffered && open.can_starttls()) {
            open.starttls(parameters()?, &self.hello).await?;
        }
        if let Some((user, password)) = login {
            let credentials = Credentials::new(user.clone(), password.clone());
            open.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(open)
    }

    /// Goes as far as the server's "go on".
    ///
    /// # Errors
    /// When the server cannot be used, or says no.
    pub async fn prepare(&mut self, message: &Message) -> Result<(), Failure> {
        if self.carried >= MAX_CARRIED {
            self.rest().await;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                self.carried = 0;
                let opened = timeout(STEP * 2, self.connect()).await;
                let opened = opened.map_err(|_| Failure::Unreachable("no answer in time".into()))?;
                opened.map_err(|e| Failure::Unreachable(in_words(&e)))?
            }
        };
        let refused = match timeout(STEP, envelope(&mut open, message)).await {
            Ok(Ok(())) => {
                self.open = Some(open);
                return Ok(());
            }
            Ok(Err(e)) => Failure::Refused { why: in_words(&e), for_good: e.is_permanent() || e.is_client() },
            Err(_) => Failure::Refused { why: "no answer in time".into(), for_good: false },
        };
        let _ = timeout(STEP, open.abort()).await;
        Err(refused)
    }

    /// Gives the text of the mail that was prepared, and waits for the verdict.
    ///
    /// # Errors
    /// When the server says no, or nobody knows what it says.
    pub async fn hand_over(&mut self, message: &Message) -> Result<(), Failure> {
        let Some(mut open) = self.open.take() else {
            return Err(Failure::Refused { why: "nothing was prepared".into(), for_good: false });
        };
        match timeout(VERDICT, open.message(&message.formatted())).await {
            Ok(Ok(_)) => {
                (self.open, self.carried) = (Some(open), self.carried + 1);
                Ok(())
            }
            Ok(Err(e)) if e.is_permanent() || e.is_transient() => {
                let _ = timeout(STEP, open.abort()).await;
                Err(Failure::Refused { why: in_words(&e), for_good: e.is_permanent() })
            }
            Ok(Err(e)) => Err(Failure::InDoubt(in_words(&e))),
            Err(_) => Err(Failure::InDoubt("the server gave no verdict in time".into())),
        }
    }

    /// Ends the connection, if there is one.
    pub async fn rest(&mut self) {
        if let Some(mut open) = self.open.take() {
            let _ = timeout(STEP, open.abort()).await;
        }
    }
}

async fn envelope(open: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Error> {
    let envelope = message.envelope();
    let is_ascii = envelope.to().iter().chain(envelope.from()).all(|one| one.to_string().is_ascii());
    let options = if is_ascii { Vec::new() } else { vec![MailParameter::SmtpUtfEight] };
    open.command(Mail::new(envelope.from().cloned(), options)).await?;
    for to in envelope.to() {
        open.command(Rcpt::new(to.clone(), Vec::new())).await?;
    }
    open.command(Data).await.map(|_| ())
}
