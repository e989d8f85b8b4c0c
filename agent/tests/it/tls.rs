//! TLS with every wall clock that a device may wake up with.

use std::{process::Output, sync::Arc};

use agent::{
    config::Config,
    heard::Why,
    server::{Server, Silent},
    tls::{Ca, Floor, Tls},
};
use domain::time::Time;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::kit::{
    agent::Device,
    server::{FakeServer, KEY},
};

/// A day after which no test's certificate begins unless it says so; later than any build of this program.
const TODAY: (i32, u8, u8) = (2060, 6, 1);

type Day = (i32, u8, u8);

fn day((year, month, day): Day) -> Time {
    Time::from_unix(date_time_ymd(year, month, day).unix_timestamp())
}

/// Certificates as one server shows them.
#[derive(Clone, Copy)]
struct Shown {
    name: &'static str,
    leaf: (Day, Day),
    /// The years of an authority in between, if there is one.
    between: Option<(Day, Day)>,
    /// Signed by itself instead.
    alone: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { name: "localhost", leaf: ((2060, 5, 1), (2060, 8, 1)), between: None, alone: false }
    }
}

fn params(name: &str, (from, to): (Day, Day)) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params
}

fn authority(name: &str, years: (Day, Day)) -> CertificateParams {
    let mut params = params(name, years);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// An authority of one's own, for a century.
fn own() -> CertifiedIssuer<'static, KeyPair> {
    let params = authority("our authority", ((2000, 1, 1), (2099, 1, 1)));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that shows these certificates and passes everything else on to `behind`, or says that it is ready.
async fn serve(root: &CertifiedIssuer<'_, KeyPair>, shown: Shown, behind: Option<&FakeServer>) -> String {
    let key = KeyPair::generate().unwrap();
    let mut leaf = params(shown.name, shown.leaf);
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut chain = Vec::new();
    if shown.alone {
        chain.push(leaf.self_signed(&key).unwrap().der().clone());
    } else if let Some(years) = shown.between {
        let issuer = authority("between", years);
        let issuer = CertifiedIssuer::signed_by(issuer, KeyPair::generate().unwrap(), root).unwrap();
        chain.push(leaf.signed_by(&key, &issuer).unwrap().der().clone());
        chain.push(issuer.der().clone());
    } else {
        chain.push(leaf.signed_by(&key, root).unwrap().der().clone());
    }
    listen(chain, key, behind.map(|server| server.url.trim_start_matches("http://").to_owned())).await
}

async fn listen(chain: Vec<CertificateDer<'static>>, key: KeyPair, behind: Option<String>) -> String {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                // A client that refuses the certificate hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if let Some(behind) = behind {
                    let mut plain = tokio::net::TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
                    return;
                }
                let mut buffer = [0; 4_096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            });
        }
    });
    url
}

fn secret() -> agent::config::Secret {
    serde_json::from_value(json!(KEY)).unwrap()
}

fn trusted(pem: &str) -> Ca {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    Ca::read(&path).unwrap()
}

/// A device: whom it trusts, its wall clock, and what the server signed last.
async fn ask(url: &str, pem: Option<&str>, wall: Time, floor: Floor) -> Result<(), String> {
    let tls = Tls { ca: pem.map(trusted), floor, wall: Arc::new(move || wall.unix()) };
    let server = Server::new(secret(), &tls).unwrap();
    server.ready(url).await.map_err(|Silent { why, .. }| {
        assert!(matches!(why, Why::Unreachable(_)), "{why}");
        why.to_string()
    })
}

#[tokio::test]
async fn a_server_is_trusted_whatever_the_wall_clock_says_as_long_as_it_is_behind() {
    let root = own();
    let url = serve(&root, Shown::default(), None).await;
    for wall in [Time::from_unix(-1), Time::from_unix(0), day((2020, 1, 1)), day(TODAY)] {
        ask(&url, Some(&root.pem()), wall, Floor::default()).await.unwrap();
        ask(&url, Some(&root.pem()), wall, Floor::new(day((2059, 1, 1)))).await.unwrap();
    }
    let error = ask(&url, Some(&root.pem()), day((2106, 2, 7)), Floor::default()).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_renewed_after_the_last_signed_time_is_trusted_and_one_that_ended_before_it_is_not() {
    let root = own();
    let url = serve(&root, Shown::default(), None).await;
    let floor = Floor::new(day((2060, 3, 1)));
    ask(&url, Some(&root.pem()), Time::from_unix(0), floor.clone()).await.unwrap();
    floor.raise(day((2060, 7, 31)));
    ask(&url, Some(&root.pem()), Time::from_unix(0), floor.clone()).await.unwrap();
    floor.raise(day((2060, 8, 2)));
    let error = ask(&url, Some(&root.pem()), Time::from_unix(0), floor).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn a_signed_time_counts_for_a_client_that_lives_already() {
    let root = own();
    let url = serve(&root, Shown::default(), None).await;
    let floor = Floor::default();
    let tls = Tls { ca: Some(trusted(&root.pem())), floor: floor.clone(), wall: Arc::new(|| 0) };
    let server = Server::new(secret(), &tls).unwrap();
    server.ready(&url).await.unwrap();
    floor.raise(day((2061, 1, 1)));
    let other = serve(&root, Shown::default(), None).await;
    let Why::Unreachable(error) = server.ready(&other).await.unwrap_err().why else { panic!() };
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn every_certificate_of_a_chain_must_be_valid_at_one_time() {
    let root = own();
    let chain = async |leaf, between| {
        let url = serve(&root, Shown { leaf, between: Some(between), ..Shown::default() }, None).await;
        ask(&url, Some(&root.pem()), Time::from_unix(0), Floor::default()).await
    };
    let (spring, year) = (((2060, 3, 1), (2060, 6, 1)), ((2060, 1, 1), (2060, 12, 31)));
    let summer = ((2060, 5, 1), (2060, 9, 1));
    chain(spring, year).await.unwrap();
    chain(year, spring).await.unwrap();
    chain(spring, summer).await.unwrap();
    chain(summer, spring).await.unwrap();
    let autumn = ((2060, 9, 2), (2060, 12, 1));
    assert!(chain(autumn, spring).await.unwrap_err().contains("expired"));
    assert!(chain(spring, autumn).await.unwrap_err().contains("expired"));
}

#[tokio::test]
async fn only_the_time_is_judged_mildly() {
    let (root, other) = (own(), own());
    let named = Shown { name: "berth.example", ..Shown::default() };
    let old = Shown { leaf: ((2001, 1, 1), (2002, 1, 1)), ..Shown::default() };
    let alone = Shown { alone: true, ..Shown::default() };
    for (shown, trusted, said) in [
        (named, Some(root.pem()), "not valid for name"),
        (old, Some(root.pem()), "expired"),
        (alone, Some(root.pem()), "UnknownIssuer"),
        (Shown::default(), Some(other.pem()), "BadSignature"),
        // The system's authorities do not know ours.
        (Shown::default(), None, "UnknownIssuer"),
    ] {
        let url = serve(&root, shown, None).await;
        for wall in [Time::from_unix(0), day(TODAY)] {
            let error = ask(&url, trusted.as_deref(), wall, Floor::default()).await.unwrap_err();
            // Without any authority of the system's, that is what is said.
            assert!(error.contains(said) || error.contains("ca-certificates"), "{said}: {error}");
        }
    }
    let url = serve(&root, Shown::default(), None).await;
    let both = root.pem() + &other.pem();
    ask(&url, Some(&both), Time::from_unix(0), Floor::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_registers_over_https_with_an_authority_of_its_own() {
    let root = own();
    let server = FakeServer::start(1).await;
    // From next year on: to a correct clock, too, it has not begun.
    let url = serve(&root, Shown::default(), Some(&server)).await;
    let mut device = Device::new(&server);
    std::fs::write(device.config().with_file_name("our-ca.pem"), root.pem()).unwrap();
    device.configure(&json!({ "server": url, "key": KEY, "ca": "our-ca.pem" }));
    let said = |output: Output| {
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (sound, text) = said(tokio::task::block_in_place(|| device.run(&["check"])));
    assert!(sound && text.contains("is ready") && text.contains("knows the enrolment key"), "{text}");
    device.start();
    server.until_running(1).await;
    device.restart();
    server.until_polled(2).await;
    server.until_running(1).await;
    device.terminate();

    device.configure(&json!({ "server": url, "key": KEY }));
    let (sound, text) = said(tokio::task::block_in_place(|| device.run(&["check"])));
    let refused = text.contains("UnknownIssuer") || text.contains("ca-certificates");
    assert!(!sound && refused, "{text}");
    device.configure(&json!({ "server": url, "key": KEY, "ca": "other.pem" }));
    let (sound, text) = said(tokio::task::block_in_place(|| device.run(&["check"])));
    assert!(!sound && text.contains("other.pem does not exist"), "{text}");
    assert!(Config::load(&device.config()).is_err());
}
