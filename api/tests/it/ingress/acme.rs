//! A certificate ordered from an ACME server of the tests' own.

mod server;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use api::{
    clock::Clock,
    gateway::ingress::{
        Service, Settings,
        acme::{Acme, Now},
        certificate::Certificate,
    },
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{DOMAIN, Gate, PATIENCE, host, mirror, tls, tls::Authority};
use server::Server;

const DAY: i64 = 86_400;

/// A server, and what an operator has.
struct World {
    server: Arc<Server>,
    clock: Clock,
    folder: TempDir,
    settings: Settings,
}

impl World {
    /// Certificates must be valid by the clock of whoever verifies them, so the time begins with the real one.
    async fn new() -> Self {
        let clock = Clock::manual(Clock::System.time());
        let (root, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let path = |name: &str| folder.path().join(name);
        fs::write(path("root.pem"), root.0.pem()).unwrap();
        let server = Server::start(&root, clock.clone(), path("records")).await;
        let settings = Settings {
            domain: DOMAIN.into(),
            acme_dns_hook: path("hook").display().to_string(),
            acme_directory: server.url("/directory"),
            acme_contact: "me@berth.test".into(),
            acme_root: path("root.pem").display().to_string(),
            acme_dns_wait_s: 0,
            ..Settings::default()
        };
        let world = Self { server, clock, folder, settings };
        world.hook(
            "case $1 in\n\
             present) echo \"$2 $3\" >> records ;;\n\
             cleanup) grep -vxF \"$2 $3\" records > records.new || true; mv records.new records ;;\n\
             esac",
        );
        world
    }

    /// The operator's program. Another process writes it: one of this process's children could hold it open meanwhile,
    /// and then it cannot be run.
    fn hook(&self, script: &str) {
        let (source, hook) = (self.folder.path().join("hook.sh"), self.folder.path().join("hook"));
        fs::write(&source, format!("#!/bin/sh\nset -e\ncd {}\n{script}\n", self.folder.path().display()))
            .unwrap();
        let install = Command::new("install").args(["-m", "755"]).args([&source, &hook]).status();
        assert!(install.unwrap().success());
    }

    fn now(&self) -> Now {
        let clock = self.clock.clone();
        Arc::new(move || clock.now())
    }

    async fn acme(&self, certificate: &Arc<Certificate>) -> Acme {
        let folder = self.folder.path().join("acme");
        Acme::open(&self.settings, &folder, self.now(), certificate.clone()).await.unwrap()
    }

    fn records(&self) -> String {
        fs::read_to_string(self.folder.path().join("records")).unwrap_or_default()
    }
}

/// The certificate that is kept, and that nobody else may read it or the account.
fn kept(folder: &Path) -> CertificateDer<'static> {
    for file in [folder.join(format!("{DOMAIN}.pem")), folder.join("account.json")] {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    CertificateDer::from_pem_file(folder.join(format!("{DOMAIN}.pem"))).unwrap()
}

#[tokio::test]
async fn an_ingress_orders_a_certificate_and_serves_tls_with_it() {
    let world = World::new().await;
    let gate = Gate::with(|settings| {
        let ports = (settings.http.clone(), settings.tls.clone());
        *settings = world.settings.clone();
        (settings.http, settings.tls) = ports;
    })
    .await;
    gate.lease("b1", Service::Http, mirror().await);
    let connected = async {
        loop {
            let config = world.server.issuer.visitor();
            if let Ok(stream) = tls::connect(gate.tls, config, &host("b1")).await {
                break stream;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let mut stream = tokio::time::timeout(PATIENCE, connected).await.expect("there is no certificate");
    let get = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host("b1"));
    stream.write_all(get.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("x-forwarded-proto: https"), "{answer}");
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], kept(gate.folder.path()));
    assert_eq!((world.records().as_str(), world.server.issued()), ("", 1));
    drop(stream);
    gate.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_when_it_comes_near_its_end() {
    let world = World::new().await;
    let certificate = Arc::new(Certificate::none(DOMAIN));
    let mut acme = world.acme(&certificate).await;
    assert!(acme.renew_if_due().await.unwrap() && certificate.is_there());
    let folder = world.folder.path().join("acme");
    let first = kept(&folder);
    world.clock.advance((server::CERTIFICATE_DAYS - 31) * DAY);
    assert!(!acme.renew_if_due().await.unwrap());

    // Whoever starts again uses what is there, and its account.
    let certificate = Arc::new(Certificate::none(DOMAIN));
    let mut acme = world.acme(&certificate).await;
    assert!(certificate.is_there() && !acme.is_due());
    world.clock.advance(2 * DAY);
    assert!(acme.renew_if_due().await.unwrap() && !acme.is_due());
    assert_ne!(kept(&folder), first);
    assert_eq!((world.server.issued(), world.server.accounts(), world.records().as_str()), (2, 1, ""));
}

#[tokio::test]
async fn what_goes_wrong_is_said_and_the_certificate_before_stays() {
    let mut world = World::new().await;
    let certificate = Arc::new(Certificate::none(DOMAIN));
    let mut acme = world.acme(&certificate).await;
    acme.renew_if_due().await.unwrap();
    let before = kept(&world.folder.path().join("acme"));
    world.clock.advance(server::CERTIFICATE_DAYS * DAY);
    world.hook("echo 'first this' >&2; echo 'the zone is locked' >&2; exit 3");
    let wrong = format!("{:#}", acme.renew_if_due().await.unwrap_err());
    assert!(
        wrong.contains("present _acme-challenge.berth.test failed (exit status: 3): the zone is locked"),
        "{wrong}"
    );
    world.hook("true");
    let wrong = format!("{:#}", acme.renew_if_due().await.unwrap_err());
    assert!(wrong.contains("there is no such TXT record"), "{wrong}");
    assert!(certificate.is_there() && kept(&world.folder.path().join("acme")) == before);

    // An account that the server lost is replaced.
    world.server.lose_accounts();
    let wrong = format!("{:#}", acme.renew_if_due().await.unwrap_err());
    assert!(wrong.contains("nobody has this account"), "{wrong}");
    let wrong = format!("{:#}", acme.renew_if_due().await.unwrap_err());
    assert!(wrong.contains("there is no such TXT record") && world.server.accounts() == 1, "{wrong}");

    // A server that is not trusted, and one that is not there.
    world.settings.acme_root = String::new();
    let wrong = format!("{:#}", world.acme(&certificate).await.renew_if_due().await.unwrap_err());
    assert!(wrong.contains("the ACME server is not reached"), "{wrong}");
    world.settings.acme_directory = "https://127.0.0.1:1/directory".into();
    let wrong = format!("{:#}", world.acme(&certificate).await.renew_if_due().await.unwrap_err());
    assert!(wrong.contains("no account was opened at the ACME server"), "{wrong}");
    world.settings.acme_root = "/no/such/file".into();
    let opened = Acme::open(&world.settings, world.folder.path(), world.now(), certificate).await;
    assert!(format!("{:#}", opened.err().unwrap()).contains("/no/such/file is no root certificate"));
}
