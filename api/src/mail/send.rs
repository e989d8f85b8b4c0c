//! Sends what is due.
//!
//! # Correctness
//! One mail is on its way at a time, and one look ends before the next begins: what a look finds on its way has lost whoever
//! sent it, by a crash or because the store failed, and is in doubt. While the mail server cannot be used, mails wait as
//! they are, and it is asked again later and later; whatever has waited too long is given up.

use std::time::Duration;

use anyhow::Context;
use domain::time::{Seconds, Time};
use lettre::{Message, message::Mailbox};
use projections::private::{Attention, Mail, MailEnd};
use tokio_util::sync::CancellationToken;

use super::{
    Letter, To, address_of, compose, letter,
    message::{Form, message},
    transport::{Failure, Transport},
};
use crate::{app::App, logins};

/// How often is looked for what is due.
const POLL: Duration = Duration::from_millis(500);
/// Mails read at once.
const PAGE: u32 = 50;
/// Seconds until each further try of a mail that was refused; after the last it is given up.
const WAITS_S: [Seconds; 9] = [30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600];
/// Tries of a mail that was refused for good: some servers say so by mistake.
const MAX_TRIES_FOR_GOOD: u32 = 3;
/// Seconds for which a mail waits for a mail server that cannot be used.
const GIVE_UP_S: Seconds = 3 * 86_400;
/// Seconds until a mail server that cannot be used is asked again: at first, and at most.
const QUIET_S: (Seconds, Seconds) = (30, 600);
/// How often it must have been asked in vain before a human is called.
const CALL_AFTER: u32 = 3;

/// What a human is called for while no mail can leave.
const UNREACHABLE: (&str, &str) = ("mail", "mail server cannot be used");

/// How it is with the mail server.
#[derive(Debug, Default)]
struct Weather {
    /// When it is asked again.
    quiet_until: Option<Time>,
    /// How often it was asked in vain since it was last used.
    in_vain: u32,
    /// Whether it was used since this began.
    was_used: bool,
}

/// What came of one mail.
enum Came {
    /// The next one.
    On,
    /// No mail can leave now.
    Unreachable(String),
    /// The server stops.
    Stopped,
}

/// Sends until stopped.
pub(super) async fn run(app: &App, stop: &CancellationToken) {
    let (from, way) = match (app.config.mail.from(), app.config.mail.way(app.data.mail())) {
        (Ok(from), Ok(way)) => (from, way),
        (Err(e), _) | (_, Err(e)) => {
            tracing::error!(error = %format!("{e:#}"), "no mail can be sent");
            return;
        }
    };
    let transport = Transport::new(way, from.email.domain());
    let mut sender = Sender { app, stop, from, transport, weather: Weather::default() };
    loop {
        if let Err(e) = sender.look().await {
            tracing::error!(error = %format!("{e:#}"), "due mails cannot be sent; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(POLL) => {}
        }
    }
    sender.transport.rest().await;
}

struct Sender<'a> {
    app: &'a App,
    stop: &'a CancellationToken,
    from: Mailbox,
    transport: Transport,
    weather: Weather,
}

impl Sender<'_> {
    /// Sends what is due.
    async fn look(&mut self) -> anyhow::Result<()> {
        for mail in self.app.private.started_mails().await? {
            self.in_doubt(&mail, "the server stopped while the mail was on its way").await?;
        }
        loop {
            let now = self.app.clock.time();
            if self.weather.quiet_until.is_some_and(|until| now < until) {
                return Ok(());
            }
            let due = self.app.private.due_mails(now, PAGE).await?;
            if due.is_empty() {
                self.transport.rest().await;
                return Ok(());
            }
            for mail in due {
                if self.stop.is_cancelled() {
                    return Ok(());
                }
                match self.send(&mail).await? {
                    Came::On => {}
                    Came::Unreachable(why) => return self.unreachable(why).await,
                    Came::Stopped => return Ok(()),
                }
            }
        }
    }

    /// Sends one mail, and writes down what came of it.
    async fn send(&mut self, mail: &Mail) -> anyhow::Result<Came> {
        let (app, id) = (self.app, mail.id);
        if app.clock.time().since(mail.due_at) >= GIVE_UP_S {
            self.give_up(mail, "it could not be sent in time").await?;
            return Ok(Came::On);
        }
        let message = match self.write(mail).await {
            Ok(Some(message)) => message,
            Ok(None) => {
                tracing::debug!(cause = mail.cause, "a mail has nobody to go to, or nothing to say");
                app.private.end_mail(id, MailEnd::Dropped, None, app.clock.time()).await?;
                return Ok(Came::On);
            }
            // Such as a key that does not open what it sealed: an operator must see it.
            Err(e) => return self.refused(mail, format!("it cannot be written: {e:#}"), false).await,
        };
        let prepared = tokio::select! {
            () = self.stop.cancelled() => return Ok(Came::Stopped),
            prepared = self.transport.prepare(&message) => prepared,
        };
        if let Err(failure) = prepared {
            return self.failed(mail, failure).await;
        }
        if self.transport.is_final() && !app.private.start_mail(id, app.clock.time()).await? {
            self.transport.rest().await;
            return Ok(Came::On);
        }
        match self.transport.hand_over(&mail.cause, &message).await {
            Ok(()) => {
                app.private.end_mail(id, MailEnd::Sent, None, app.clock.time()).await?;
                tracing::info!(cause = mail.cause, "a mail was sent");
                if self.weather.in_vain > 0 || !self.weather.was_used {
                    app.private.end_attention(UNREACHABLE.0, UNREACHABLE.1).await?;
                }
                self.weather = Weather { was_used: true, ..Weather::default() };
                Ok(Came::On)
            }
            Err(failure) => self.failed(mail, failure).await,
        }
    }

    /// The mail as it is now; none when there is nobody to send it to, or nothing to say.
    async fn write(&self, mail: &Mail) -> anyhow::Result<Option<Message>> {
        let (to, letter) = letter::unseal(self.app, &mail.cause, &mail.sealed)?;
        let holds_code = matches!(letter, Letter::ConfirmAddress { .. } | Letter::ResetPassword { .. });
        if holds_code && self.app.clock.time().since(mail.due_at) >= logins::CODE_S {
            return Ok(None);
        }
        let (name, address) = match to {
            To::Address(address) => (None, Some(address)),
            To::Account(account) => {
                let name = self.app.private.person(account).await?.map(|person| person.name);
                (name, address_of(self.app, account).await?)
            }
        };
        let Some(address) = address else { return Ok(None) };
        // Between quotation marks an address may hold anything, by its grammar.
        let plain = Some(address.trim()).filter(|address| !address.chars().any(char::is_control));
        let Some(Ok(address)) = plain.map(str::parse) else {
            tracing::info!(cause = mail.cause, "what is given as an address is none; no mail is sent there");
            return Ok(None);
        };
        let Some(text) = compose::compose(self.app, letter, name.as_deref()).await? else { return Ok(None) };
        let to = Mailbox::new(name, address);
        let form = if self.transport.is_final() { Form::Sent } else { Form::Read };
        message(&self.from, to, &text, &mail.cause, self.app.clock.now(), form).context("a header").map(Some)
    }

    async fn failed(&self, mail: &Mail, failure: Failure) -> anyhow::Result<Came> {
        match failure {
            Failure::Unreachable(why) => Ok(Came::Unreachable(why)),
            Failure::Refused { why, for_good } => self.refused(mail, why, for_good).await,
            Failure::InDoubt(why) => self.in_doubt(mail, &why).await.map(|()| Came::On),
        }
    }

    /// Writes down when the mail is tried again, or that it is given up.
    async fn refused(&self, mail: &Mail, why: String, for_good: bool) -> anyhow::Result<Came> {
        let (now, tries) = (self.app.clock.time(), mail.failures.saturating_add(1));
        let wait = WAITS_S.get(mail.failures as usize).filter(|_| !for_good || tries < MAX_TRIES_FOR_GOOD);
        tracing::warn!(
            cause = mail.cause,
            tries,
            error = why,
            given_up = wait.is_none(),
            "a mail was not taken"
        );
        match wait {
            Some(wait) => self.app.private.mail_refused(mail.id, &why, now.plus(*wait)).await?,
            None => self.give_up(mail, &format!("not taken by try {tries}: {why}")).await?,
        }
        Ok(Came::On)
    }

    /// Puts everything off.
    async fn unreachable(&mut self, why: String) -> anyhow::Result<()> {
        let (now, in_vain) = (self.app.clock.time(), self.weather.in_vain.saturating_add(1));
        let (first, most) = QUIET_S;
        let quiet = (first << self.weather.in_vain.min(8)).min(most);
        self.weather.in_vain = in_vain;
        self.weather.quiet_until = Some(now.plus(quiet));
        tracing::warn!(in_vain, quiet_s = quiet, error = why, "no mail can be sent; trying again");
        if in_vain >= CALL_AFTER {
            self.call(UNREACHABLE.0.into(), UNREACHABLE.1, why).await?;
        }
        Ok(())
    }

    async fn give_up(&self, mail: &Mail, why: &str) -> anyhow::Result<()> {
        let detail = format!("{why}; what it says is on the pages of whoever it is for");
        self.call(format!("mail-{}", mail.cause), "mail given up", detail).await?;
        let now = self.app.clock.time();
        Ok(self.app.private.end_mail(mail.id, MailEnd::GivenUp, Some(why), now).await?)
    }

    /// Nobody knows whether it was sent, so it is not sent again.
    async fn in_doubt(&self, mail: &Mail, why: &str) -> anyhow::Result<()> {
        tracing::error!(cause = mail.cause, error = why, "nobody knows whether a mail was sent");
        let detail = format!("it may have been sent or not, and is not sent again: {why}");
        self.call(format!("mail-{}", mail.cause), "mail in doubt", detail).await?;
        let now = self.app.clock.time();
        Ok(self.app.private.end_mail(mail.id, MailEnd::InDoubt, Some(why), now).await?)
    }

    async fn call(&self, subject: String, what: &str, detail: String) -> anyhow::Result<()> {
        let (what, since) = (what.to_owned(), self.app.clock.time());
        Ok(self.app.private.call_attention(&Attention { subject, what, detail, since }).await?)
    }
}
