//! A server in a process of its own: killed at the worst moment, and trusting some mail servers and others not.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use api::{
    app::DataDir,
    clock::Clock,
    config::Config,
    mail::{Letter, To, queue},
};
use projections::private::Private;

use super::A_LOOK;
use crate::{
    app::TestApp,
    crash::BERTH,
    ingress::tls::Authority,
    receiver::until,
    sink::{Encrypts, Mood, Sink},
};

/// The part of a server that sends mail.
struct Steward(Child);

impl Steward {
    /// Trusts the authorities of a file.
    fn new(data: &DataDir, smtp: &str, trusted: &Path) -> Self {
        let mut command = Command::new(BERTH);
        command.args(["serve", "--listen", "127.0.0.1:0", "--roles", "steward", "--data"]).arg(data.path());
        command.env("BERTH_MAIL_SMTP", smtp).env("BERTH_MAIL_FROM", "berth@berth.example");
        command.env("SSL_CERT_FILE", trusted).env("BERTH_LOG", "error").env_remove("SSL_CERT_DIR");
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stopped server with one mail, `a`, that could not be sent.
async fn unsent() -> TestApp {
    let mut config = Config::default();
    config.mail.smtp.0 = "smtp://127.0.0.1:1".into();
    let mut test = TestApp::in_folder(config, Clock::System).await;
    let (to, letter) = (To::Address("ada@example.org".into()), Letter::ConfirmAddress { token: "t".into() });
    queue(&test.app, "a", to, letter).await.unwrap();
    test.stop().await;
    test
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_read_when_the_server_was_killed_is_not_sent_again() {
    let (test, sink) = (unsent().await, Sink::new().await);
    let (data, url, nobody) = (test.data(), sink.url(), Path::new("/dev/null"));
    sink.mood(Mood::TakesAfter(Duration::from_secs(30)));
    let steward = Steward::new(&data, &url, nobody);
    sink.wait_for(1).await;
    drop(steward);
    sink.mood(Mood::Takes);
    let private = Private::open(&data.private()).await.unwrap();
    assert_eq!(private.mail_outcome("a").await.unwrap(), None);
    let _steward = Steward::new(&data, &url, nobody);
    until(|| "an outcome".into(), async || private.mail_outcome("a").await.unwrap().is_some()).await;
    assert_eq!(private.mail_outcome("a").await.unwrap().as_deref(), Some("in_doubt"));
    assert_eq!(private.attention().await.unwrap()[0].subject, "mail-a");
    tokio::time::sleep(A_LOOK).await;
    assert_eq!(sink.arrived().len(), 1);
    private.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_is_given_the_password_and_mails_only_when_its_certificate_is_trusted() {
    let (trusted, other, dir) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let file = |name: &str| dir.path().join(name);
    std::fs::write(file("trusted"), trusted.0.pem()).unwrap();
    std::fs::write(file("other"), other.0.pem()).unwrap();
    let acceptor = trusted.server("localhost");
    for (encrypts, scheme) in
        [(Encrypts::Always(acceptor.clone()), "smtps"), (Encrypts::WhenAsked(acceptor), "smtp")]
    {
        let test = unsent().await;
        let (data, sink) = (test.data(), Sink::with(encrypts).await);
        let url = format!("{scheme}://berth:p%40ss-of-the-sink@localhost:{}", sink.port());

        let steward = Steward::new(&data, &url, &file("other"));
        until(|| "a try".into(), async || sink.asked() > 0).await;
        tokio::time::sleep(A_LOOK).await;
        drop(steward);
        assert!(sink.arrived().is_empty(), "it was told to whom it must not trust");
        let _steward = Steward::new(&data, &url, &file("trusted"));
        assert_eq!(sink.wait_for(1).await[0].subject(), "Confirm your address");
    }
}
