//! Services on this device, of various manners.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    time::sleep,
};

/// What a service does with a connection.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Hears the visitor out, then answers with as many bytes of its own, then says what it heard.
    Polite,
    /// Answers every byte.
    Echo,
    /// Never reads and never ends.
    Deaf,
    /// Ends first, then hears the visitor out.
    Hasty,
}

/// A service on this device: its address, and what it heard of each visitor that ended.
pub struct Service {
    pub address: String,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Service {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let notes = heard.clone();
        tokio::spawn(async move {
            while let Ok((visitor, _)) = listener.accept().await {
                tokio::spawn(serve(visitor, manner, notes.clone()));
            }
        });
        Self { address, heard }
    }

    pub async fn until_heard(&self, count: usize) -> Vec<Vec<u8>> {
        let start = Instant::now();
        loop {
            let heard = self.heard.lock().await.clone();
            if heard.len() >= count {
                return heard;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "the service heard {} visitors", heard.len());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve(mut visitor: TcpStream, manner: Manner, notes: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut heard = Vec::new();
    match manner {
        Manner::Polite => {
            visitor.read_to_end(&mut heard).await.ok();
            visitor.write_all(&noise(heard.len(), 9)).await.ok();
        }
        Manner::Echo => {
            let (mut from, mut to) = visitor.split();
            tokio::io::copy(&mut from, &mut to).await.ok();
        }
        Manner::Deaf => std::future::pending().await,
        Manner::Hasty => {
            visitor.write_all(b"bye").await.ok();
            visitor.shutdown().await.ok();
            visitor.read_to_end(&mut heard).await.ok();
        }
    }
    notes.lock().await.push(heard);
}

/// Bytes that look like nothing in particular.
pub fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
