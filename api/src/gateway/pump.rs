//! Carries a visitor's bytes to the device and back.
//!
//! # Correctness
//! Each direction ends by itself and passes its end on, so that a half-closed connection keeps its other half. The channel
//! is closed on every way out: otherwise the device would send on for ever. Everything ends at once when the tunnel is cut.
//! What the device did not end itself must not look whole: the visitor's connection is reset then, not closed.
//! What a visitor does not read stays in the channel's window, and holds up nobody else.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::atomic::{AtomicBool, Ordering},
};

use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, server::Msg};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};
use tokio_util::bytes::{Buf, Bytes, BytesMut};

use super::berth::Berth;

/// What is read of a visitor at once, in bytes: one packet.
const BUFFER: usize = 32 * 1024;
/// Packets written to a visitor at once.
const PACKETS: usize = 16;

/// Carries until both sides have ended, or one breaks off. `head` goes to the device before what the visitor sends.
pub async fn carry(
    berth: &Berth,
    visitor: TcpStream,
    channel: Channel<Msg>,
    head: Vec<u8>,
) -> io::Result<()> {
    let (read, write) = channel.split();
    let mut visitor = Visitor { stream: visitor, whole: AtomicBool::new(false) };
    let (from, into) = visitor.stream.split();
    let carried = tokio::try_join!(
        to_device(berth, from, &write, head),
        from_device(berth, read, into, &visitor.whole)
    );
    drop(visitor);
    // The session may be over already.
    let _ = write.close().await;
    carried.map(|_| ())
}

/// A connection that is reset when it is dropped, unless the device has said all that it had to say.
struct Visitor {
    stream: TcpStream,
    whole: AtomicBool,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if !*self.whole.get_mut() {
            // Without it the connection is closed all the same.
            let _ = self.stream.set_zero_linger();
        }
    }
}

fn broken(_: russh::Error) -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

async fn to_device(
    berth: &Berth,
    from: ReadHalf<'_>,
    channel: &ChannelWriteHalf<Msg>,
    head: Vec<u8>,
) -> io::Result<()> {
    if !head.is_empty() {
        channel.data_bytes(Bytes::from(head)).await.map_err(broken)?;
    }
    loop {
        // An idle visitor holds no memory.
        from.readable().await?;
        let mut buffer = BytesMut::with_capacity(BUFFER);
        let n = match from.try_read_buf(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        if n == 0 {
            return channel.eof().await.map_err(broken);
        }
        if let Some([limit, _]) = &berth.limits {
            limit.pass(n).await;
        }
        channel.data_bytes(buffer.freeze()).await.map_err(broken)?;
        berth.traffic.to_device.fetch_add(n as u64, Ordering::Relaxed);
    }
}

async fn from_device(
    berth: &Berth,
    mut channel: ChannelReadHalf,
    mut into: WriteHalf<'_>,
    whole: &AtomicBool,
) -> io::Result<()> {
    let mut packets = Packets::default();
    loop {
        let mut next = channel.wait().await;
        let mut ended = None;
        loop {
            match next {
                Some(ChannelMsg::Data { data }) => packets.0.push_back(data),
                Some(ChannelMsg::Eof) => ended = Some(false),
                // After its own end the device only ever closes; before, it breaks off.
                None | Some(ChannelMsg::Close) => ended = Some(true),
                Some(_) => {}
            }
            if ended.is_some() || packets.0.len() >= PACKETS {
                break;
            }
            match channel.try_wait() {
                None => break,
                more => next = more,
            }
        }
        let n = packets.remaining();
        if n > 0 {
            if let Some([_, limit]) = &berth.limits {
                limit.pass(n).await;
            }
            into.write_all_buf(&mut packets).await?;
            berth.traffic.from_device.fetch_add(n as u64, Ordering::Relaxed);
        }
        match ended {
            None => {}
            Some(false) => {
                into.shutdown().await?;
                whole.store(true, Ordering::Relaxed);
            }
            Some(true) => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

/// Packets that are written together.
#[derive(Debug, Default)]
struct Packets(VecDeque<Bytes>);

impl Buf for Packets {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |packet| packet)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let packets = self.0.iter().zip(slices.iter_mut());
        packets.map(|(packet, slice)| *slice = IoSlice::new(packet)).count()
    }

    fn advance(&mut self, mut n: usize) {
        while let Some(packet) = self.0.front_mut() {
            if n < packet.len() {
                return packet.advance(n);
            }
            n -= packet.len();
            self.0.pop_front();
        }
    }
}
