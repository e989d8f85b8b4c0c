//! The ingress from outside: real sockets on the loopback, devices that are small servers, no tunnel.

mod acme;
mod ends;
mod fuzz;
mod http;
mod limits;
mod pages;
mod proxied;
pub mod tls;
mod upgrade;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::gateway::ingress::{Dial, Found, Ingress, Routes, Service, Settings, Stream, acme::Now};
use axum::Router;
use chrono::DateTime;
use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub const DOMAIN: &str = "berth.test";
/// Longer than anything takes, shorter than anybody waits.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A lease whose device listens on the loopback.
#[derive(Debug, Clone)]
pub struct Lease {
    pub device: SocketAddr,
    pub ended: CancellationToken,
    pub dialled: Arc<AtomicUsize>,
}

impl Lease {
    pub fn dialled(&self) -> usize {
        self.dialled.load(Ordering::SeqCst)
    }
}

impl Dial for Lease {
    fn open(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        self.dialled.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Box::new(TcpStream::connect(self.device).await?) as Box<dyn Stream>) })
    }

    fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

/// A way that fails, or never ends when there is no reason to fail.
struct Broken(Option<io::ErrorKind>, CancellationToken);

impl Dial for Broken {
    fn open(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async {
            match self.0 {
                Some(kind) => Err(kind.into()),
                None => std::future::pending().await,
            }
        })
    }

    fn ended(&self) -> CancellationToken {
        self.1.clone()
    }
}

#[derive(Default)]
struct Names(Mutex<HashMap<(String, Service), Found>>);

impl Routes for Names {
    fn find(&self, subdomain: &str, service: Service) -> Found {
        let names = self.0.lock().unwrap();
        let found = names.get(&(subdomain.to_owned(), service)).cloned();
        let other = names.keys().any(|(name, _)| name == subdomain);
        found.unwrap_or(if other { Found::NoService } else { Found::Unknown })
    }
}

/// An ingress that serves until it is dropped.
pub struct Gate {
    pub http: SocketAddr,
    pub tls: SocketAddr,
    names: Arc<Names>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _stop: DropGuard,
    pub folder: tempfile::TempDir,
}

impl Gate {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            domain: DOMAIN.into(),
            http: "127.0.0.1:0".into(),
            tls: "127.0.0.1:0".into(),
            ..Settings::default()
        };
        change(&mut settings);
        let (names, folder) = (Arc::new(Names::default()), tempfile::tempdir().unwrap());
        let now: Now = Arc::new(DateTime::default);
        let ingress = Ingress::open(settings, names.clone(), folder.path(), now).await.unwrap();
        let (http, tls) = (ingress.http_address().unwrap(), ingress.tls_address().unwrap());
        let stop = CancellationToken::new();
        let server = tokio::spawn(ingress.serve(stop.clone()));
        Self { http, tls, names, server, _stop: stop.clone().drop_guard(), stop, folder }
    }

    /// Lets `name` lead somewhere.
    pub fn set(&self, name: &str, service: Service, found: Found) {
        self.names.0.lock().unwrap().insert((name.to_owned(), service), found);
    }

    /// A way that fails as told.
    pub fn set_broken(&self, name: &str, kind: Option<io::ErrorKind>) -> CancellationToken {
        let ended = CancellationToken::new();
        self.set(name, Service::Http, Found::Here(Arc::new(Broken(kind, ended.clone()))));
        ended
    }

    /// Leases a name to a device.
    pub fn lease(&self, name: &str, service: Service, device: SocketAddr) -> Lease {
        let lease = Lease { device, ended: CancellationToken::new(), dialled: Arc::default() };
        self.set(name, service, Found::Here(Arc::new(lease.clone())));
        lease
    }

    /// A browser that finds every name here.
    pub fn visitor(&self, name: &str) -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().no_proxy().resolve(&host(name), self.http);
        builder.timeout(PATIENCE).build().unwrap()
    }

    pub fn url(&self, name: &str, path: &str) -> String {
        format!("http://{}:{}{path}", host(name), self.http.port())
    }

    /// Tells it to stop and waits until it did.
    pub async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.server).await.expect("it does not stop").unwrap();
    }
}

pub fn host(name: &str) -> String {
    format!("{name}.{DOMAIN}")
}

/// A device with a web server.
pub async fn web(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    address
}

/// A device that treats each of its connections as told.
pub async fn raw<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// A device that answers each request with the bytes of it, as they came.
pub async fn mirror() -> SocketAddr {
    raw(|mut stream| async move {
        let mut seen = Vec::new();
        while read_some(&mut stream, &mut seen).await > 0 {
            if whole(&seen) {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", seen.len());
                stream.write_all(&[head.as_bytes(), &seen].concat()).await.unwrap();
                seen.clear();
            }
        }
    })
    .await
}

/// Whether a request without a body, or with one in chunks or of a given length, has come to its end.
fn whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => body.len() >= length.trim().parse().unwrap(),
        None if head.contains("transfer-encoding: chunked") => body.ends_with("0\r\n\r\n"),
        None => true,
    }
}

async fn read_some(stream: &mut TcpStream, into: &mut Vec<u8>) -> usize {
    stream.read_buf(into).await.unwrap_or(0)
}

/// Sends bytes as they are, and reads until the connection is closed.
pub async fn say(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until something is so.
pub async fn until(what: impl Fn() -> bool) {
    let so = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, so).await.expect("it never came to be so");
}
