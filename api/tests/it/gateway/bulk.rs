//! Much data at once, both ways.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    kit::{Gate, PATIENCE},
    visit::echo,
};

const BYTES: usize = 12_000_000;
const VISITORS: usize = 6;

/// Different for every visitor, and nowhere the same for long.
fn words(visitor: usize) -> Vec<u8> {
    let mut x = visitor as u64 + 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    (0..BYTES / 8).flat_map(|_| next()).collect()
}

/// Sends and reads the echo at the same time; who is slow reads nothing for a while, and then in small pieces.
async fn visit(port: u16, visitor: usize, slow: bool) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sent = words(visitor);
    let sending = sent.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sending).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut heard = Vec::with_capacity(BYTES);
    if slow {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut piece = [0; 777];
        while heard.len() < BYTES / 4 {
            let n = read.read(&mut piece).await.unwrap();
            assert!(n > 0, "visitor {visitor} is cut off");
            heard.extend_from_slice(&piece[..n]);
        }
    }
    read.read_to_end(&mut heard).await.unwrap();
    sending.await.unwrap();
    assert!(heard == sent, "visitor {visitor} heard {} bytes, or others", heard.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn much_data_arrive_unchanged_though_some_read_slowly() {
    let gate = Gate::start().await;
    let machine = gate.machine(8);
    let lease = gate.grant(&machine, 1).await;
    let service = echo().await;
    let _ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    let mut visits: JoinSet<_> = (0..VISITORS).map(|n| visit(lease.port, n, n % 3 == 0)).collect();
    while let Some(visited) = tokio::time::timeout(2 * PATIENCE, visits.join_next()).await.expect("they end")
    {
        visited.unwrap();
    }
}
