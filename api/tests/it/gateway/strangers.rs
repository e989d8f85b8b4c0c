//! Whoever else comes: slow, many, wrong, and never let past the door.

use std::{net::SocketAddr, time::Duration};

use russh::{Disconnect, keys::PrivateKeyWithHashAlg};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use super::{
    device::{Serves, bring_up, knock, log_in},
    kit::{Gate, PATIENCE, eventually, free_port},
    visit::{answers, connect, echo, ends, slow_line, standing},
};

const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";

/// A connection from another of this machine's addresses.
async fn stranger(to: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_strangers_who_dawdle_keep_no_device_out_and_are_let_go_after_the_grace() {
    let gate = Gate::tuned(|settings| settings.grace = Duration::from_secs(6)).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let mut strangers = Vec::new();
    // More than one address may have at once, in three ways.
    for n in 0..600 {
        let mut stream = stranger(gate.gateway.ssh, 2).await;
        let dawdle = async move {
            match n % 3 {
                0 => ends(&mut stream).await,
                1 => {
                    let _ = stream.write_all(BANNER).await;
                    ends(&mut stream).await;
                }
                _ => {
                    for byte in BANNER.iter().chain([0; 1_000].iter()) {
                        if stream.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                        sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        };
        strangers.push(tokio::spawn(dawdle));
    }
    let coming = Instant::now();
    let remote = format!("{}:127.0.0.1:{}", lease.port, echo().await);
    let mut ssh = gate.ssh(&machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    assert!(coming.elapsed() < Duration::from_secs(5), "{:?}", coming.elapsed());
    assert!(answers(lease.port).await);
    // Whoever waited for a place and did not get one in time goes, and so does who had one.
    for stranger in strangers {
        timeout(PATIENCE, stranger).await.expect("a stranger stays").unwrap();
    }
    eventually(|| async { standing(gate.gateway.ssh.port()) == 1 }).await;
    assert!(ssh.is_running() && answers(lease.port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_proves_a_key_and_brings_no_tunnel_up_is_let_go_too() {
    let gate = Gate::tuned(|settings| settings.grace = Duration::from_secs(1)).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let done = gate.ssh(&machine, &["-N"]).done().await;
    assert_ne!(done.code, Some(0), "{done:?}");
    // Nobody who has one is let go.
    let device = bring_up(&gate, &machine, Serves::Echo).await;
    sleep(Duration::from_millis(1_500)).await;
    assert!(!device.is_closed() && answers(lease.port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_beyond_the_most_that_are_allowed_are_turned_away_and_the_others_stay() {
    let gate = Gate::with(|section| section.visitors_max = 8).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    let mut visitors = Vec::new();
    for _ in 0..4 {
        let mut visitor = connect(lease.port).await;
        visitor.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        timeout(PATIENCE, visitor.read_exact(&mut heard)).await.unwrap().unwrap();
        visitors.push(visitor);
    }
    // One address has half of the places at most; the rest is for others, the renter among them.
    for _ in 0..10 {
        assert!(!answers(lease.port).await);
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(([127, 0, 0, 1], lease.port).into()).await.unwrap();
    other.write_all(b"hello").await.unwrap();
    timeout(PATIENCE, other.read_exact(&mut [0; 5])).await.unwrap().unwrap();
    for visitor in &mut visitors {
        visitor.write_all(b"still").await.unwrap();
        let mut heard = [0; 5];
        timeout(PATIENCE, visitor.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(&heard, b"still");
    }
    drop(visitors);
    eventually(|| async { answers(lease.port).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rush_of_visitors_does_not_cost_a_slow_device_its_tunnel() {
    let gate = Gate::with(|section| section.visitors_max = 2_000).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let remote = format!("{}:127.0.0.1:{}", lease.port, echo().await);
    let mut ssh = gate.ssh(&machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    ssh.freeze(true);
    let rush: Vec<_> = (0..700).map(|_| tokio::spawn(answers(lease.port))).collect();
    eventually(|| async { gate.gateway.look()[0].visitors == 700 }).await;
    sleep(Duration::from_millis(500)).await;
    ssh.freeze(false);
    for visitor in rush {
        assert!(visitor.await.unwrap());
    }
    assert!(ssh.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_leaves_hundreds_of_visitors_unanswered_is_given_up() {
    let gate = Gate::with(|section| section.visitors_max = 2_000).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let device = bring_up(&gate, &machine, Serves::Nobody).await;
    let mut visitors = Vec::new();
    for _ in 0..300 {
        visitors.push(connect(lease.port).await);
    }
    eventually(|| async { gate.gateway.look()[0].visitors == 300 }).await;
    assert!(!device.is_closed());
    eventually(|| async { device.is_closed() }).await;
    // They waited as long as one waits for a service, and were let go.
    for visitor in &mut visitors {
        ends(visitor).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_visits_a_service_that_is_not_there_is_let_go_at_once() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let remote = format!("{}:127.0.0.1:{}", lease.port, free_port().await);
    let _ssh = gate.ssh(&machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    let asked = Instant::now();
    ends(&mut connect(lease.port).await).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    gate.until_up(&lease, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_device_may_ask_is_not_answered_before_a_key_is_proved() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    for what in 0..4 {
        let other = gate.machine(2);
        let mut client = knock(gate.gateway.ssh, gate.gateway.host_key, Serves::Echo).await.unwrap();
        let asks = async {
            match what {
                0 => client.tcpip_forward("localhost", u32::from(lease.port)).await.is_ok(),
                1 => client.channel_open_session().await.is_ok(),
                2 => client.channel_open_direct_tcpip("127.0.0.1", 1, "127.0.0.1", 1).await.is_ok(),
                _ => {
                    let key = PrivateKeyWithHashAlg::new(other.key.clone(), None);
                    let believed = client.authenticate_publickey("berth", key).await;
                    believed.is_ok_and(|believed| believed.success())
                        || client.tcpip_forward("localhost", u32::from(lease.port)).await.is_ok()
                }
            }
        };
        // No answer is one, too.
        let granted = timeout(Duration::from_secs(2), asks).await.unwrap_or(false);
        assert!(!granted, "{what}");
    }
    assert!(gate.gateway.look().iter().all(|seen| seen.heard.is_none()));
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    assert!(answers(lease.port).await);
}

/// A device far away, whose every step of the handshake takes longer than a keepalive: OpenSSH gives up when it is asked
/// for a sign of life before it has proved its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_a_slow_line_comes_up() {
    let gate = Gate::with(|section| section.keepalive_s = 1).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let far = slow_line(gate.gateway.ssh, Duration::from_millis(700)).await;
    let remote = format!("{}:127.0.0.1:{}", lease.port, echo().await);
    let near = gate.ssh_to(far, &machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    assert!(answers(lease.port).await);
    drop(near);
}

/// What keeps the line open may be a proxy on the way, or ill will; a device that went away would seem to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_says_goodbye_is_gone_even_if_its_line_stays_open() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let line = open_line(gate.gateway.ssh).await;
    let device = log_in(line, gate.gateway.host_key, &machine, Serves::Echo).await.unwrap().unwrap();
    device.tcpip_forward("localhost", 0).await.unwrap();
    assert!(answers(lease.port).await);
    device.disconnect(Disconnect::ByApplication, "goodbye", "en").await.unwrap();
    gate.until_up(&lease, false).await;
    eventually(|| async { standing(gate.gateway.ssh.port()) == 0 }).await;
}

/// A line whose far end stays open when the near one is closed.
async fn open_line(to: SocketAddr) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.split(), far.split());
        let there = async {
            let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
            std::future::pending::<()>().await;
        };
        let back = tokio::io::copy(&mut far_read, &mut near_write);
        let _ = tokio::join!(there, back);
    });
    at
}
