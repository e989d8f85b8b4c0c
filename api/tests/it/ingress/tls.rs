//! TLS by name: passed to the device, ended here, or refused.

use std::{net::SocketAddr, path::Path, sync::Arc};

use api::gateway::ingress::{
    Found, Service,
    certificate::{Certificate, Files},
};
use futures_util::{SinkExt, StreamExt};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_tungstenite::tungstenite::Message;

use super::{DOMAIN, Gate, host, mirror, raw};

/// A certificate authority of the test's own.
pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Root");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, as PEM.
    pub fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &*self.0).unwrap().pem(), key.serialize_pem())
    }

    /// What a visitor who trusts it uses.
    pub fn visitor(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        config.with_root_certificates(roots).with_no_client_auth()
    }

    /// What a server of that name uses.
    pub fn server(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &*self.0).unwrap().der().clone()];
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
    }
}

/// What a client says first.
pub fn client_hello(name: &str) -> Vec<u8> {
    let config = Arc::new(Authority::new().visitor());
    let mut client = ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Shakes hands as a visitor of `name`.
pub async fn connect(
    address: SocketAddr,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn alert(gate: &Gate, config: ClientConfig, name: &str) -> AlertDescription {
    let refused = connect(gate.tls, config, name).await.unwrap_err();
    match refused.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        other => panic!("{other:?}"),
    }
}

/// A device that ends TLS itself and says everything back.
async fn secret_echo(authority: &Authority, name: &str) -> SocketAddr {
    let acceptor = authority.server(name);
    raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let (mut read, mut write) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_device_that_offers_it_ends_tls_itself() {
    let (gate, authority) = (Gate::open().await, Authority::new());
    gate.lease("b1", Service::Https, secret_echo(&authority, &host("b1")).await);
    let mut stream = connect(gate.tls, authority.visitor(), &host("b1")).await.unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let mut came = Vec::new();
    let write = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    tokio::join!(write, async { read.read_to_end(&mut came).await.unwrap() });
    assert!(came == sent);
}

#[tokio::test]
async fn openssl_is_passed_to_the_device_of_its_name() {
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: there is no openssl");
        return;
    }
    let (gate, authority) = (Gate::open().await, Authority::new());
    gate.lease("b1", Service::Https, secret_echo(&authority, &host("b1")).await);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, authority.0.pem()).unwrap();
    for (name, status) in [("b1", true), ("b2", false)] {
        let output = tokio::process::Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-CAfile"])
            .arg(&root)
            .args(["-verify_hostname", &host(name), "-servername", &host(name)])
            .args(["-connect", &gate.tls.to_string()])
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.success(), text.contains("unrecognized name")),
            (status, !status),
            "{text}"
        );
    }
}

#[tokio::test]
async fn who_cannot_be_served_gets_an_alert() {
    let (gate, authority) = (Gate::open().await, Authority::new());
    gate.lease("plain", Service::Http, mirror().await);
    gate.set("over", Service::Https, Found::Over);
    gate.set("away", Service::Https, Found::Away);
    for name in ["unknown", "plain", "over"] {
        let alert = alert(&gate, authority.visitor(), &host(name)).await;
        assert_eq!(alert, AlertDescription::UnrecognisedName, "{name}");
    }
    assert_eq!(alert(&gate, authority.visitor(), "127.0.0.1").await, AlertDescription::UnrecognisedName);
    assert_eq!(alert(&gate, authority.visitor(), "example.org").await, AlertDescription::UnrecognisedName);
    assert_eq!(alert(&gate, authority.visitor(), &host("away")).await, AlertDescription::InternalError);
}

/// Writes a certificate and its key where the settings look for them.
fn write(folder: &Path, (chain, key): (String, String)) {
    std::fs::write(folder.join("chain.pem"), chain).unwrap();
    std::fs::write(folder.join("key.pem"), key).unwrap();
}

#[tokio::test]
async fn tls_for_a_device_that_offers_only_http_is_ended_here() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    write(folder.path(), authority.issue(&format!("*.{DOMAIN}")));
    let gate = Gate::with(|settings| {
        settings.tls_certificate = folder.path().join("chain.pem").display().to_string();
        settings.tls_key = folder.path().join("key.pem").display().to_string();
    })
    .await;
    gate.lease("plain", Service::Http, mirror().await);
    gate.lease("own", Service::Https, secret_echo(&authority, &host("own")).await);
    gate.set("over", Service::Https, Found::Over);
    gate.set("over", Service::Http, Found::Over);
    let mut config = authority.visitor();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let ask = async |sni: &str, name: &str| {
        let mut stream = connect(gate.tls, config.clone(), &host(sni)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let get = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host(name));
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = ask("plain", "plain").await;
    assert!(answer.contains("x-forwarded-proto: https\r\n") && answer.contains("proto=https"), "{answer}");
    assert!(ask("over", "over").await.starts_with("HTTP/1.1 410 "));
    assert!(ask("plain", "over").await.starts_with("HTTP/1.1 421 "));
    assert_eq!(alert(&gate, config.clone(), &host("unknown")).await, AlertDescription::UnrecognisedName);
    // A WebSocket too.
    gate.lease("socket", Service::Http, super::upgrade::echo().await);
    let stream = connect(gate.tls, config.clone(), &host("socket")).await.unwrap();
    let url = format!("wss://{}/", host("socket"));
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    // Its own certificate rules.
    let own = connect(gate.tls, authority.visitor(), &host("own")).await.unwrap();
    let shown = own.get_ref().1.peer_certificates().unwrap()[0].clone();
    let files = std::fs::read(folder.path().join("chain.pem")).unwrap();
    let ours = rustls::pki_types::pem::PemObject::from_pem_slice(&files).unwrap();
    assert_ne!(shown, ours);
}

#[tokio::test]
async fn a_certificate_is_read_again_when_it_changes_and_only_if_it_is_sound() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let path = |name: &str| folder.path().join(name);
    let certificate = Arc::new(Certificate::none(DOMAIN));
    let mut files = Files::new(path("chain.pem"), path("key.pem"));
    assert!(files.look(&certificate).await.unwrap_err().to_string().contains("chain.pem"));
    assert!(!files.look(&certificate).await.unwrap() && !certificate.is_there());
    let name = format!("*.{DOMAIN}");
    write(folder.path(), authority.issue(&name));
    assert!(files.look(&certificate).await.unwrap() && certificate.is_there());
    assert!(!files.look(&certificate).await.unwrap());
    // Only one of the two files is new yet.
    std::fs::write(path("key.pem"), authority.issue(&name).1).unwrap();
    let wrong = format!("{:#}", files.look(&certificate).await.unwrap_err());
    assert!(wrong.contains("does not belong") && certificate.is_there(), "{wrong}");
    write(folder.path(), authority.issue("*.example.org"));
    let wrong = format!("{:#}", files.look(&certificate).await.unwrap_err());
    assert!(wrong.contains(&format!("is not for *.{DOMAIN}")), "{wrong}");
    write(folder.path(), authority.issue(&name));
    assert!(files.look(&certificate).await.unwrap());
}
