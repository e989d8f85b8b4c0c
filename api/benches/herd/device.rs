//! One device: a connection, its questions, and what it was answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use domain::{
    key::{Nonce, PublicKey},
    time::Time,
    wire::{Expect, PollRequest, Reported, ReportedState, ServerSigned, SignedPoll, VERSION, sign},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::Known;

/// How long a connection may take to open, as the agent has it.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take on top of what the server was allowed to wait, as the agent has it.
const ANSWER: Duration = Duration::from_secs(20);

/// An answer that is still to be believed.
#[derive(Debug)]
pub struct Heard {
    nonce: Nonce,
    body: Vec<u8>,
}

impl Heard {
    /// Whether it is what this device asked for, signed under the pinned root key.
    pub fn holds(&self, device: &Known, root: PublicKey) -> bool {
        let expect = Expect { root, device: device.id, nonce: self.nonce, era: 0, seq: 0, epoch: 1 };
        ServerSigned::parse(&self.body).is_ok_and(|signed| signed.verify_answer(&expect).is_ok())
    }

    /// The answer's sequence number, not yet believed: the answer is opened after the clock was stopped.
    pub fn seq(&self) -> u64 {
        let text = String::from_utf8_lossy(&self.body);
        let digits = text.split_once("\\\"seq\\\":").map_or("0", |(_, rest)| rest);
        digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

/// A device's way to the server.
pub struct Line<'a> {
    device: &'a Known,
    address: SocketAddr,
    stream: Option<TcpStream>,
    asked: u64,
    buffer: Vec<u8>,
}

impl<'a> Line<'a> {
    /// Not connected yet.
    pub fn new(device: &'a Known, address: SocketAddr) -> Self {
        Self { device, address, stream: None, asked: 0, buffer: Vec::new() }
    }

    /// Asks; none when there was no answer in time. Also tells how long it took.
    pub async fn ask(&mut self, wait_s: u32, seen_seq: u64) -> (Option<Heard>, Duration) {
        self.asked += 1;
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(self.device.id.0.as_bytes());
        nonce[16..24].copy_from_slice(&self.asked.to_le_bytes());
        let request = request(self.device, Nonce(nonce), wait_s, seen_seq);
        let begun = Instant::now();
        let limit = Duration::from_secs(wait_s.into()) + ANSWER;
        let answered = tokio::time::timeout(limit, self.exchange(&request)).await.ok().flatten();
        if answered.is_none() {
            self.stream = None;
        }
        (answered.map(|body| Heard { nonce: Nonce(nonce), body }), begun.elapsed())
    }

    async fn exchange(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        if self.stream.is_none() {
            let stream = tokio::time::timeout(CONNECT, TcpStream::connect(self.address)).await.ok()?.ok()?;
            stream.set_nodelay(true).ok()?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut()?;
        stream.write_all(request).await.ok()?;
        self.buffer.clear();
        loop {
            if let Some(answer) = answer(&self.buffer) {
                return answer;
            }
            if stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// The question as bytes of HTTP.
fn request(device: &Known, nonce: Nonce, wait_s: u32, seen_seq: u64) -> Vec<u8> {
    let poll = PollRequest {
        v: VERSION,
        nonce,
        device_key: PublicKey(device.key.verifying_key().to_bytes()),
        boot_id: device.id.0,
        count: 0,
        saves: 0,
        reported: Reported {
            state: ReportedState::Leased,
            epoch: 1,
            running: true,
            conflict: None,
            host_keys: Vec::new(),
        },
        seen_seq,
        wait_s,
        floor: Time::default(),
    };
    let body = serde_json::to_string(&SignedPoll(sign(&poll, &device.key))).expect("JSON");
    let head = format!(
        "POST /v1/device/poll HTTP/1.1\r\nhost: berth\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        device.enrolment,
        body.len()
    );
    (head + &body).into_bytes()
}

/// The body once it is whole: none inside when the answer was a no.
fn answer(bytes: &[u8]) -> Option<Option<Vec<u8>>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.split_once("content-length: ")?.1.split("\r\n").next()?.parse::<usize>().ok()?;
    let body = bytes.get(end..end + length)?;
    Some(head.starts_with("http/1.1 200").then(|| body.to_vec()))
}
