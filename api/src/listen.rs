//! Accepting connections, with limits.
//!
//! # Shape
//! One loop accepts; every connection is a task that speaks HTTP/1.1 to the router.
//!
//! # Correctness
//! Nobody holds the server up: request headers must arrive within [`HEADERS`], which also ends idle keep-alive
//! connections; at most [`MAX_CONNECTIONS`] are open, and never so many that files of the stores cannot be opened. Further
//! ones wait in the kernel's queue, which is long enough for a whole fleet that comes back from a power cut at once: who
//! finds it full tries again only after a second, then three, then seven. A failed accept (out of files) is tried again after a pause, not in a busy loop.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, http::Request};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// Connections open at once, at most.
const MAX_CONNECTIONS: u64 = 20_000;
/// Connections that may wait to be accepted; the kernel allows `net.core.somaxconn` of them at most.
const QUEUE: u32 = 4_096;
/// Files kept free for the stores and for what runs beside the API.
const FILES_KEPT: u64 = 256;
/// How long a request's headers may take to arrive.
const HEADERS: Duration = Duration::from_secs(30);
/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Listens on an address such as `localhost:8080`: on the first of those that it stands for that can be listened on.
///
/// # Errors
/// When it can be listened on nowhere.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let listen = |address: SocketAddr| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // After a restart, connections of the server before may linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    };
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it stands for no address");
    for address in lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

/// Serves until stopped; then ends idle connections and waits for requests under way.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(limit()));
    let graceful = GracefulShutdown::new();
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => break,
            Ok(permit) = connections.clone().acquire_owned() => permit,
            else => break,
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, Peer(peer.ip().to_canonical())),
                Err(e) => {
                    tracing::warn!(error = %e, "a connection cannot be accepted; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        // Small answers must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is nobody's trouble.
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Connections that fit beside the stores' files, after the process's own limit was raised as far as it may be.
pub(crate) fn limit() -> usize {
    let mut files = getrlimit(Resource::Nofile);
    if files.current != files.maximum {
        let wanted = rustix::process::Rlimit { current: files.maximum, ..files };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            files = getrlimit(Resource::Nofile);
        }
    }
    let free = files.current.map_or(u64::MAX, |files| files.saturating_sub(FILES_KEPT).max(files / 2));
    usize::try_from(free.min(MAX_CONNECTIONS)).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn more_clients_than_a_short_queue_holds_wait_to_be_accepted() {
        let listener = bind("localhost:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts, and whoever finds the queue full would wait for a second or more.
        let mut waiting = Vec::new();
        for _ in 0..600 {
            let opened =
                tokio::time::timeout(Duration::from_secs(30), tokio::net::TcpStream::connect(address));
            waiting.push(opened.await.expect("the queue is full").unwrap());
        }
        assert!(bind("localhost").await.is_err() && bind(&address.to_string()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_its_headers_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Router::new(), stop.clone()));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(HEADERS * 2, client.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection is still open");
        stop.cancel();
        server.await.unwrap();
    }
}
