//! One visitor's connection: from the gateway's channel to the service and back.
//!
//! # Correctness
//! Each direction ends by itself: an end of file on one side is passed on, and the other direction goes on. When both have
//! ended, when the gateway closes the channel or when either side fails, both the channel and the connection are closed;
//! a failure reaches the service as a reset, never as an orderly end. A channel's halves close nothing by themselves, so
//! there is one place that closes, after whatever happened.

use std::{io, net::SocketAddr, time::Duration};

use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client::Msg};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::workload::Address;

/// How long a service may take to accept a connection.
const DIAL: Duration = Duration::from_secs(5);
/// What is read at once.
const BUFFER: usize = 32_768;

/// Reaches a service; says where it was found.
pub(super) async fn dial(target: &Address) -> io::Result<(TcpStream, SocketAddr)> {
    let service = timeout(DIAL, TcpStream::connect(target.as_str())).await??;
    service.set_nodelay(true)?;
    let address = service.peer_addr()?;
    Ok((service, address))
}

/// Carries both directions to their end, or until `cut`; `header` goes in front of what the visitor says.
pub(super) async fn carry(
    channel: Channel<Msg>,
    mut service: TcpStream,
    header: &[u8],
    cut: &CancellationToken,
) -> io::Result<()> {
    let (from, to) = channel.split();
    let done = tokio::select! {
        done = both(from, &to, &mut service, header) => done,
        () = cut.cancelled() => aborted(),
    };
    if done.is_err() {
        // What is lost must not look complete. Where that fails, the connection is gone already.
        let _ = service.set_zero_linger();
    }
    // The session may be gone, and the channel with it.
    let _ = to.close().await;
    done
}

fn aborted<T>() -> io::Result<T> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

async fn both(
    from: ChannelReadHalf,
    to: &ChannelWriteHalf<Msg>,
    service: &mut TcpStream,
    header: &[u8],
) -> io::Result<()> {
    let (reading, mut writing) = service.split();
    writing.write_all(header).await?;
    let (inward, outward) = (inward(from, writing), outward(reading, to));
    tokio::pin!(inward, outward);
    tokio::select! {
        ended = &mut inward => match ended? {
            Some(mut rest) => tokio::select! {
                sent = &mut outward => sent,
                () = closed(&mut rest) => aborted(),
            },
            None => aborted(),
        },
        sent = &mut outward => {
            sent?;
            if inward.await?.is_some() { Ok(()) } else { aborted() }
        }
    }
}

/// What the visitor says; gives the channel back at the visitor's end, nothing when the channel was closed.
async fn inward(mut from: ChannelReadHalf, mut to: WriteHalf<'_>) -> io::Result<Option<ChannelReadHalf>> {
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } => to.write_all(&data).await?,
            ChannelMsg::Eof => {
                to.shutdown().await?;
                return Ok(Some(from));
            }
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    Ok(None)
}

/// What the service says.
async fn outward(mut from: ReadHalf<'_>, to: &ChannelWriteHalf<Msg>) -> io::Result<()> {
    let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.eof().await.map_err(broken),
            n => to.data_bytes(buffer[..n].to_vec()).await.map_err(broken)?,
        }
    }
}

/// Waits until the gateway has closed the channel; nothing else may come after the visitor's end.
async fn closed(from: &mut ChannelReadHalf) {
    while !matches!(from.wait().await, None | Some(ChannelMsg::Close)) {}
}
