//! What a device may send for visitors who do not take it, and how what was cut off ends for them.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::gateway::ssh;
use russh::{
    Channel, ChannelId, ChannelMsg,
    server::{self, Auth, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    device::{Serves, bring_up, log_in},
    kit::{Gate, PATIENCE, eventually},
    visit::connect,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_asks_on_a_visitors_channel_is_refused_and_not_kept() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = refused.clone();
    let asks = Serves::with(move |mut channel| {
        let refused = counted.clone();
        async move {
            for _ in 0..100 {
                channel.set_env(true, "LOAD", "x".repeat(200_000)).await.unwrap();
                while !matches!(channel.wait().await, Some(ChannelMsg::Failure)) {}
                refused.fetch_add(1, Ordering::Relaxed);
            }
            channel.exec(false, "true").await.unwrap();
            channel.data(&b"done"[..]).await.unwrap();
            channel.eof().await.unwrap();
        }
    });
    let _device = bring_up(&gate, &machine, asks).await;
    let mut visitor = connect(lease.port).await;
    eventually(|| async { refused.load(Ordering::Relaxed) == 100 }).await;
    let mut heard = String::new();
    visitor.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "done");
}

/// Counts the packets that came on its channels.
struct Counts(Arc<AtomicUsize>, Option<Channel<server::Msg>>);

impl server::Handler for Counts {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<server::Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.1 = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn data(&mut self, _: ChannelId, _: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_packets_at_once_leave_others_their_turn() {
    const PACKETS: usize = 10_000;
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let config = Arc::new(ssh::config((*machine.key).clone(), &gate.gateway.shared().settings));
    let sent = Arc::new(Barrier::new(2));
    let all_sent = sent.clone();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            let seen = Arc::new(AtomicUsize::new(0));
            let handler = Counts(seen.clone(), None);
            let stream = TcpStream::from_std(stream).unwrap();
            let session = server::run_stream(config, stream, handler).await.unwrap();
            tokio::spawn(session);
            let another = tokio::spawn(async move {
                while seen.load(Ordering::Relaxed) == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // Meanwhile nothing is read: then all is there at once.
                all_sent.wait();
                let mut longest = 0;
                while seen.load(Ordering::Relaxed) < PACKETS {
                    let before = seen.load(Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    longest = longest.max(seen.load(Ordering::Relaxed) - before);
                }
                longest
            });
            another.await.unwrap()
        })
    });
    let device = log_in(at, machine.public(), &machine, Serves::Nobody).await.unwrap().unwrap();
    let channel = device.channel_open_session().await.unwrap();
    for _ in 0..PACKETS {
        channel.data(&b"x"[..]).await.unwrap();
    }
    // The last of them are still on their way to the socket.
    sleep(Duration::from_millis(200)).await;
    let longest = tokio::task::spawn_blocking(move || {
        sent.wait();
        server.join().unwrap()
    });
    let longest = timeout(PATIENCE, longest).await.unwrap().unwrap();
    assert!(longest < 1_000, "{longest} packets were handled at a stretch");
}
