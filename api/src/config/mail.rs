//! The `[mail]` section.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use domain::time::Seconds;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::mail::Way;

/// Who sends mail when nothing is set: only good for files.
const NOBODY: &str = "Berth <berth@localhost>";

/// How people are told by mail.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// Who sends it, such as `Berth <berth@example.org>`; needed with `smtp`.
    pub from: String,
    /// The mail server, such as `smtps://user:password@mail.example.org` or `smtp://localhost`; empty for files in `folder`.
    pub smtp: Secret,
    /// Where mails are put as files while there is no `smtp`; empty for `mail` in the data folder.
    pub folder: String,
    /// What a renter is mailed when a rental starts: the password too (`mail`), or only where it is shown (`link`).
    pub credentials: Credentials,
    /// Seconds before its end at which a rental's renter is reminded, if it is more than twice as long; 0 for never.
    pub reminder_before_s: Seconds,
}

/// How renters get the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credentials {
    /// In the mail.
    Mail,
    /// On the page that the mail links to.
    Link,
}

/// Names of settings that are never shown.
pub(super) fn is_secret(name: &str) -> bool {
    name == "mail.smtp"
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            from: String::new(),
            smtp: Secret::default(),
            folder: String::new(),
            credentials: Credentials::Mail,
            reminder_before_s: 86_400,
        }
    }
}

impl Mail {
    /// Who sends it.
    ///
    /// # Errors
    /// When that is no mail address.
    pub fn from(&self) -> anyhow::Result<Mailbox> {
        let text = if self.from.is_empty() { NOBODY } else { &self.from };
        text.parse().with_context(|| {
            format!("mail.from must be a mail address such as `Berth <berth@example.org>`, not {text:?}")
        })
    }

    /// How it leaves this server; `files` is the folder unless another is set.
    ///
    /// # Errors
    /// When the mail server's URL cannot be used.
    pub fn way(&self, files: PathBuf) -> anyhow::Result<Way> {
        if self.smtp.0.is_empty() {
            let folder = if self.folder.is_empty() { files } else { PathBuf::from(&self.folder) };
            return Ok(Way::Folder(folder));
        }
        Ok(Way::Smtp(Box::new(self.smtp.0.parse().context("mail.smtp")?)))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.from()?;
        self.way(Path::new("mail").to_owned())?;
        ensure!(
            self.smtp.0.is_empty() || !self.from.is_empty(),
            "mail.smtp needs mail.from: who sends the mails, such as `Berth <berth@example.org>`"
        );
        ensure!(
            (0..=domain::offer::MAX_TERM_S).contains(&self.reminder_before_s),
            "mail.reminder_before_s must be 0 seconds to 10 years"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    fn with(pairs: &[(&str, &str)]) -> anyhow::Result<crate::config::Loaded> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        load(None, pairs.into_iter(), &[])
    }

    #[test]
    fn the_mail_servers_password_is_never_shown() {
        let loaded = with(&[
            ("BERTH_MAIL_SMTP", "smtps://berth:hunter2@mail.example.org"),
            ("BERTH_MAIL_FROM", "Berth <berth@example.org>"),
        ]);
        let loaded = loaded.unwrap();
        let way = loaded.config.mail.way("mail".into()).unwrap();
        let shown = format!("{:?} {:?} {way:?}", loaded.config, loaded.values);
        assert!(!shown.contains("hunter2") && shown.contains("(hidden)"), "{shown}");
    }

    #[test]
    fn a_wrong_setting_says_which_without_the_password() {
        let fails = |pairs: &[(&str, &str)]| {
            let why = format!("{:#}", with(pairs).unwrap_err());
            assert!(!why.contains("hunter2"), "{why}");
            why
        };
        let from = ("BERTH_MAIL_FROM", "berth@example.org");
        assert!(fails(&[("BERTH_MAIL_FROM", "Berth")]).contains("mail.from"));
        assert!(fails(&[("BERTH_MAIL_SMTP", "smtp://localhost")]).contains("mail.from"));
        for url in [
            "mail.example.org",
            "http://u:hunter2@mail.example.org",
            "smtps://u:hunter2@",
            "smtp://u:hunter2@h?tls=maybe",
        ] {
            assert!(fails(&[from, ("BERTH_MAIL_SMTP", url)]).contains("mail.smtp"), "{url}");
        }
        assert!(fails(&[("BERTH_MAIL_CREDENTIALS", "pigeon")]).contains("configuration"));
        assert!(fails(&[("BERTH_MAIL_REMINDER_BEFORE_S", "-1")]).contains("mail.reminder_before_s"));
        assert!(fails(&[("BERTH_WEB_URL", "berth.example")]).contains("web.url"));
        assert!(fails(&[("BERTH_WEB_URL", "https://berth.example/?a")]).contains("web.url"));
    }

    #[test]
    fn links_begin_with_the_url_that_people_reach_this_server_at() {
        let base = |url: &str| {
            crate::config::Web { url: url.into(), ..crate::config::Web::default() }.base("127.0.0.1:8080")
        };
        assert_eq!(base(""), "http://127.0.0.1:8080");
        assert_eq!(base("https://berth.example/"), "https://berth.example");
    }
}
