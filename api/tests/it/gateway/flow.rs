//! What a device may send for visitors who do not take it, and how what was cut off ends for them.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::gateway::{
    ingress::{self, Ingress},
    names::Names,
    ssh,
};
use russh::{
    Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client,
    server::{self, Auth, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    device::{Serves, bring_up, log_in},
    kit::{Gate, PATIENCE, eventually},
    visit::{connect, echo_or_flood, standing},
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

/// Counts the packets that came on its channels, and hands the channels out.
struct Counts(Arc<AtomicUsize>, mpsc::UnboundedSender<Channel<server::Msg>>);

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
        self.1.send(channel).unwrap();
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
            let (channels, _channels) = mpsc::unbounded_channel();
            let handler = Counts(seen.clone(), channels);
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

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_sent_little_and_who_does_is_sent_more() {
    const KIB: usize = 1_024;
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let config = Arc::new(ssh::config((*machine.key).clone(), &gate.gateway.shared().settings));
    let (sender, mut channels) = mpsc::unbounded_channel();
    let ((), device) = tokio::join!(
        async {
            let (stream, _) = listener.accept().await.unwrap();
            let session = server::run_stream(config, stream, Counts(Arc::default(), sender));
            tokio::spawn(session.await.unwrap());
        },
        log_in(at, machine.public(), &machine, Serves::Nobody),
    );
    let device = device.unwrap().unwrap();
    let sends = device.channel_open_session().await.unwrap();
    let mut visitor = channels.recv().await.unwrap();
    let given = Arc::new(AtomicUsize::new(0));
    let counted = given.clone();
    let sending = tokio::spawn(async move {
        while sends.data_bytes(vec![7; 32 * KIB]).await.is_ok() {
            counted.fetch_add(32 * KIB, Ordering::Relaxed);
        }
    });
    let stopped = || async {
        eventually(|| async {
            let before = given.load(Ordering::Relaxed);
            sleep(Duration::from_millis(300)).await;
            before > 0 && given.load(Ordering::Relaxed) == before
        })
        .await;
    };
    stopped().await;
    assert_eq!(given.load(Ordering::Relaxed), 512 * KIB);
    let mut read = 0;
    while read < 64 * KIB * KIB {
        let Some(ChannelMsg::Data { data }) = timeout(PATIENCE, visitor.wait()).await.unwrap() else {
            continue;
        };
        read += data.len();
    }
    stopped().await;
    let waiting = given.load(Ordering::Relaxed) - read;
    assert!((3 * KIB * KIB..=4 * KIB * KIB).contains(&waiting), "{waiting} bytes wait");
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_takes_nothing_at_all_is_let_go() {
    let gate = Gate::tuned(|settings| settings.stuck = Duration::from_secs(1)).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let (service, _) = echo_or_flood().await;
    let _ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    let mut idle = connect(lease.port).await;
    let mut stuck = connect(lease.port).await;
    stuck.write_all(b">").await.unwrap();
    eventually(|| async { standing(lease.port) == 2 }).await;
    eventually(|| async { standing(lease.port) == 1 && gate.gateway.look()[0].visitors == 1 }).await;
    // Who has nothing to take stays.
    sleep(Duration::from_secs(2)).await;
    idle.write_all(b"still here").await.unwrap();
    timeout(PATIENCE, idle.read_exact(&mut [0; 10])).await.unwrap().unwrap();
}

/// Waits until its visitor has said a word and what follows, and says which.
async fn word(from: &mut ChannelReadHalf, end: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    while !said.ends_with(end) {
        match from.wait().await {
            Some(ChannelMsg::Data { data }) => said.extend_from_slice(&data),
            Some(_) => {}
            None => break,
        }
    }
    said
}

/// Ends a channel as it should, or breaks it off.
async fn finish(channel: &ChannelWriteHalf<client::Msg>, whole: bool) {
    // What was said before is on its way.
    sleep(Duration::from_millis(100)).await;
    if whole {
        channel.eof().await.unwrap();
    }
    channel.close().await.unwrap();
}

/// How a visitor's connection ends.
async fn end(visitor: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut heard = Vec::new();
    let read = timeout(PATIENCE, visitor.read_to_end(&mut heard)).await.expect("it does not end");
    read.map(|_| heard).map_err(|e| e.kind())
}

const RESET: Result<Vec<u8>, std::io::ErrorKind> = Err(std::io::ErrorKind::ConnectionReset);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_broke_off_does_not_look_whole_to_visitors_of_its_port() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let serves = Serves::with(|channel| async move {
        let (mut from, to) = channel.split();
        let said = word(&mut from, b".").await;
        to.data(&b"some"[..]).await.unwrap();
        if said == b"stay." {
            return std::future::pending().await;
        }
        finish(&to, said == b"whole.").await;
    });
    let device = bring_up(&gate, &machine, serves).await;
    let visit = async |what: &[u8]| {
        let mut visitor = connect(lease.port).await;
        visitor.write_all(what).await.unwrap();
        timeout(PATIENCE, visitor.read_exact(&mut [0; 4])).await.unwrap().unwrap();
        visitor
    };
    for _ in 0..10 {
        assert_eq!(end(&mut visit(b"whole.").await).await, Ok(vec![]));
        assert_eq!(end(&mut visit(b"broken.").await).await, RESET);
    }
    // The same when the tunnel is cut.
    let mut stays = visit(b"stay.").await;
    drop(device);
    assert_eq!(end(&mut stays).await, RESET);
    let device = bring_up(&gate, &machine, Serves::Echo).await;
    let mut stays = visit(b"echo").await;
    gate.end(&lease);
    assert_eq!(end(&mut stays).await, RESET);
    drop(device);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_broke_off_does_not_look_whole_to_visitors_of_its_name() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let shared = gate.gateway.shared().clone();
    let host = format!("{}.{}", lease.subdomain.as_str(), shared.settings.domain);
    let settings = ingress::Settings {
        domain: shared.settings.domain.clone(),
        http: "127.0.0.1:0".into(),
        tls: "off".into(),
        ..ingress::Settings::default()
    };
    let now: ingress::acme::Now = Arc::new(chrono::DateTime::default);
    let ingress = Ingress::open(settings, Arc::new(Names(shared)), gate.dir.path(), now).await.unwrap();
    let (http, stop) = (ingress.http_address().unwrap(), CancellationToken::new());
    tokio::spawn(ingress.serve(stop.clone()));
    let serves = Serves::with(|channel| async move {
        let (mut from, to) = channel.split();
        let said = String::from_utf8(word(&mut from, b"\r\n\r\n").await).unwrap();
        let head = if said.contains("websocket") {
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\n\r\n"
        };
        to.data(format!("{head}some").as_bytes()).await.unwrap();
        finish(&to, said.starts_with("GET /whole ")).await;
    });
    let device = bring_up(&gate, &machine, serves).await;
    device.tcpip_forward("localhost", 80).await.unwrap();
    let visit = async |path: &str, version: &str, headers: &str| {
        let mut visitor = TcpStream::connect(http).await.unwrap();
        let get = format!("GET /{path} HTTP/{version}\r\nhost: {host}\r\n{headers}\r\n");
        visitor.write_all(get.as_bytes()).await.unwrap();
        let heard = end(&mut visitor).await;
        heard.map(|heard| heard.ends_with(b"\r\n\r\nsome"))
    };
    let switch = "connection: upgrade\r\nupgrade: websocket\r\n";
    for _ in 0..10 {
        assert_eq!(visit("whole", "1.0", "").await, Ok(true));
        assert_eq!(visit("broken", "1.0", "").await, RESET.map(|_| false));
        assert_eq!(visit("broken", "1.1", "").await, RESET.map(|_| false));
        assert_eq!(visit("whole", "1.1", switch).await, Ok(true));
        assert_eq!(visit("broken", "1.1", switch).await, RESET.map(|_| false));
    }
    stop.cancel();
}
