//! The first words of a TLS connection, read without answering them.
//!
//! # Correctness
//! rustls puts the ClientHello together from segments and records, however it is split; every byte is kept to be said again.
//! At most [`HELLO_BYTES_MAX`] are.

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most that is read; with post-quantum keys a ClientHello has about 2 kB.
const HELLO_BYTES_MAX: usize = 64 * 1024;
/// What is read at once.
const CHUNK_BYTES: usize = 4 * 1024;

/// A fatal alert that says that nobody of this name is here.
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = alert(112);
/// A fatal alert that says that it cannot be done now.
pub(super) const INTERNAL_ERROR: [u8; 7] = alert(80);
/// A fatal alert that says that this is no ClientHello.
const DECODE_ERROR: [u8; 7] = alert(50);

const fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// How a connection begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The name that is asked for.
    pub(super) name: Option<String>,
    /// Everything that was read.
    pub(super) bytes: Vec<u8>,
}

/// Reads the ClientHello; when there is none, the alert to answer with, empty when the visitor left.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, Vec<u8>> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::new();
    let mut chunk = [0; CHUNK_BYTES];
    loop {
        let room = CHUNK_BYTES.min(HELLO_BYTES_MAX - bytes.len());
        if room == 0 {
            return Err(DECODE_ERROR.to_vec());
        }
        let count = stream.read(&mut chunk[..room]).await.unwrap_or(0);
        if count == 0 {
            return Err(Vec::new());
        }
        bytes.extend_from_slice(&chunk[..count]);
        let mut rest = &chunk[..count];
        while !rest.is_empty() {
            if !acceptor.read_tls(&mut rest).is_ok_and(|count| count > 0) {
                return Err(DECODE_ERROR.to_vec());
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok(Hello { name, bytes });
                }
                Ok(None) => {}
                Err((_, mut alert)) => {
                    let mut answer = Vec::new();
                    // Writing to memory does not fail.
                    let _ = alert.write_all(&mut answer);
                    return Err(if answer.is_empty() { DECODE_ERROR.to_vec() } else { answer });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
