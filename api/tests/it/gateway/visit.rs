//! Services on devices, visitors who come to them, and what the system knows of their connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep, sleep_until, timeout},
};

use super::kit::PATIENCE;

/// Longer than anything that moves much data takes here.
pub const LONG: Duration = Duration::from_secs(120);

/// A service on a device: does this with everybody who comes.
pub async fn serve<F: Future + Send + 'static>(with: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F::Output: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(with(stream));
        }
    });
    port
}

/// Answers what it is sent.
pub async fn echo() -> u16 {
    serve(echoes).await
}

/// Says who it is, to everybody.
pub async fn says(name: String) -> u16 {
    serve(move |mut stream| {
        let name = name.clone();
        async move {
            let _ = stream.write_all(name.as_bytes()).await;
        }
    })
    .await
}

async fn echoes(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Answers what it is sent, but to `>` with data without end, and `<` is never read on. Counts what it gave out.
pub async fn echo_or_flood() -> (u16, Arc<AtomicU64>) {
    let given = Arc::new(AtomicU64::new(0));
    let counted = given.clone();
    let port = serve(move |mut stream| {
        let given = counted.clone();
        async move {
            let mut first = [0];
            if stream.peek(&mut first).await.is_err() {
                return;
            }
            match first[0] {
                b'>' => {
                    while let Ok(n) = stream.write(&[7; 32 * 1024]).await {
                        given.fetch_add(n as u64, Ordering::Relaxed);
                    }
                }
                b'<' => std::future::pending().await,
                _ => echoes(stream).await,
            }
        }
    })
    .await;
    (port, given)
}

pub async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// What a visitor of a port hears back.
pub async fn ask(port: u16, what: &[u8]) -> std::io::Result<Vec<u8>> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(what).await?;
        stream.shutdown().await?;
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        Ok(heard)
    };
    timeout(PATIENCE, asked).await.expect("nothing is heard")
}

/// Whether a visitor of a port is answered with the same.
pub async fn answers(port: u16) -> bool {
    ask(port, b"are you there").await.is_ok_and(|heard| heard == b"are you there")
}

/// Sends so many bytes to a port that echoes, while reading them back; they must be the same.
pub async fn bulk(port: u16, bytes: usize, seed: u8) {
    let (mut read, mut write) = connect(port).await.into_split();
    let sending = async move {
        let (mut sent, mut hash, mut n) = (0, Sha256::new(), u64::from(seed));
        while sent < bytes {
            // Unlike everything around it, so that nothing can be lost, doubled or swapped unnoticed.
            let packet: Vec<u8> = (0..4_096)
                .flat_map(|_| {
                    n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    n.to_be_bytes()
                })
                .collect();
            hash.update(&packet);
            write.write_all(&packet).await.unwrap();
            sent += packet.len();
        }
        write.shutdown().await.unwrap();
        hash.finalize()
    };
    let reading = async move {
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
        loop {
            match read.read(&mut buffer).await.unwrap() {
                0 => return hash.finalize(),
                n => hash.update(&buffer[..n]),
            }
        }
    };
    let both = async { tokio::join!(sending, reading) };
    let (sent, heard) = timeout(LONG, both).await.expect("it stalls");
    assert_eq!(sent, heard);
}

/// Connections at a port of this machine that stand, seen from the side that has the port. One that was closed may seem
/// to stand for a moment: a process that another test is just starting has it too, until it becomes what it shall be.
pub fn standing(port: u16) -> usize {
    in_state(port, "01")
}

/// Whether somebody listens on a port.
pub fn listening(port: u16) -> bool {
    in_state(port, "0A") > 0
}

fn in_state(port: u16, state: &str) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|line| line[1].ends_with(&local) && line[3] == state).count()
}

/// What is promised within a second holds within one.
#[track_caller]
pub fn within_a_second(what: &str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let started = Instant::now();
    async move {
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(1), "{what} takes longer than a second");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until a connection ends, however it does.
pub async fn ends(stream: &mut TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let ended = async { while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {} };
    timeout(PATIENCE, ended).await.expect("it does not end");
}

/// A line on which everything takes this long in each direction.
pub async fn slow_line(to: SocketAddr, takes: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = TcpStream::connect(to).await.unwrap().into_split();
            tokio::spawn(late(near_read, far_write, takes));
            tokio::spawn(late(far_read, near_write, takes));
        }
    });
    at
}

async fn late(mut from: OwnedReadHalf, mut into: OwnedWriteHalf, takes: Duration) {
    let (sender, mut under_way) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = under_way.recv().await {
            sleep_until(due).await;
            if into.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if sender.send((Instant::now() + takes, buffer[..n].to_vec())).is_err() {
            return;
        }
    }
}
