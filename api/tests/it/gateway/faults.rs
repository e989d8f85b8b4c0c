//! Three faults of SSH libraries, each of which would freeze a device's tunnel: a reader that stops, data both ways at
//! once, and new keys in the middle of everything. See `.vendor/russh/CHANGES.md`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use api::gateway::ssh;
use russh::server::{self, Auth, PublicKeyOffer, Session, VerifiedPublicKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{sleep, timeout},
};

use super::{
    device::{Serves, bring_up, log_in},
    kit::{Gate, PATIENCE, eventually},
    visit::{answers, bulk, connect, echo, echo_or_flood, slow_line},
};

const MIB: usize = 1024 * 1024;

/// Far more than a window and all buffers of the system on the way: what is beyond would be held by the gateway.
const BOUND: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_stops_reading_holds_up_nobody_else() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let (service, given) = echo_or_flood().await;
    let _ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    let mut stopped = connect(lease.port).await;
    stopped.write_all(b">").await.unwrap();
    // The device sends as much as it may, then no more.
    let given = || given.load(Ordering::Relaxed);
    eventually(|| async {
        let before = given();
        sleep(Duration::from_millis(300)).await;
        before > 0 && given() == before
    })
    .await;
    assert!(given() < BOUND, "{} bytes were taken for nobody", given());
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(answers(lease.port).await);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_reading_holds_up_nobody_else() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let (service, _) = echo_or_flood().await;
    let _ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    let mut visitors = Vec::new();
    for _ in 0..4 {
        let mut visitor = connect(lease.port).await;
        visitor.write_all(b"<").await.unwrap();
        visitors.push(tokio::spawn(async move { while visitor.write_all(&[7; 32 * 1024]).await.is_ok() {} }));
    }
    let passed = || gate.gateway.look()[0].to_device;
    eventually(|| async {
        let before = passed();
        sleep(Duration::from_millis(300)).await;
        before > 1 << 20 && passed() == before
    })
    .await;
    assert!(passed() < BOUND, "{} bytes were taken for nobody", passed());
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(answers(lease.port).await);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    visitors.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_data_both_ways_at_once_never_stalls() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    for at_once in [1, 4, 16] {
        busy(lease.port, at_once, 48 * MIB).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_that_the_gateway_wants_lose_nothing() {
    let gate = Gate::tuned(|settings| settings.rekey_bytes = 3 * MIB).await;
    new_keys(&gate, &[], 48 * MIB).await;
}

/// Much more is under way when the gateway asks for new keys than one window of one channel.
#[tokio::test(flavor = "multi_thread")]
async fn new_keys_on_a_long_line_lose_nothing() {
    let gate = Gate::tuned(|settings| settings.rekey_bytes = 24 * MIB).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let far = slow_line(gate.gateway.ssh, Duration::from_millis(300)).await;
    let remote = format!("{}:127.0.0.1:{}", lease.port, echo().await);
    let mut ssh = gate.ssh_to(far, &machine, &["-N", "-R", &remote]);
    gate.until_up(&lease, true).await;
    busy(lease.port, 16, 64 * MIB).await;
    assert!(answers(lease.port).await && ssh.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_that_the_device_wants_lose_nothing() {
    new_keys(&Gate::start().await, &["-o", "RekeyLimit=3M"], 48 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_that_both_want_lose_nothing() {
    let gate = Gate::tuned(|settings| settings.rekey_bytes = 3 * MIB).await;
    new_keys(&gate, &["-o", "RekeyLimit=3M", "-c", "aes128-gcm@openssh.com"], 48 * MIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_between_two_of_a_kind_lose_nothing() {
    let gate = Gate::tuned(|settings| settings.rekey_bytes = 3 * MIB).await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let device = bring_up(&gate, &machine, Serves::Echo).await;
    let wants = async {
        loop {
            device.rekey_soon().await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = wants => {}
        () = busy(lease.port, 16, 48 * MIB) => {}
    }
    assert!(answers(lease.port).await);
}

/// What a session remembers of its channels, told when the client asks for a forward.
struct Remembers(Arc<AtomicUsize>);

impl server::Handler for Remembers {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn tcpip_forward(
        &mut self,
        _: &str,
        _: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.0.store(session.channel_count(), Ordering::Relaxed);
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_who_are_gone_are_forgotten_whoever_left_first() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let remembered = Arc::new(AtomicUsize::new(usize::MAX));
    let config = Arc::new(ssh::config((*machine.key).clone(), &gate.gateway.shared().settings));
    let handler = Remembers(remembered.clone());
    let (handle, device) = tokio::join!(
        async {
            let (stream, _) = listener.accept().await.unwrap();
            server::run_stream(config, stream, handler).await.unwrap().handle()
        },
        log_in(at, machine.public(), &machine, Serves::Says("hello".into())),
    );
    let device = device.unwrap().unwrap();
    for n in 0..2_000 {
        let opening = handle.channel_open_forwarded_tcpip("localhost", 80, "127.0.0.1", n);
        let mut visitor = opening.await.unwrap().into_stream();
        if n % 2 == 0 {
            let mut heard = String::new();
            timeout(PATIENCE, visitor.read_to_string(&mut heard)).await.unwrap().unwrap();
            assert_eq!(heard, "hello");
        }
    }
    eventually(|| async {
        device.tcpip_forward("localhost", 80).await.unwrap();
        remembered.load(Ordering::Relaxed) == 0
    })
    .await;
}

/// So many bytes in all, over so many connections at once.
async fn busy(port: u16, at_once: u8, bytes: usize) {
    let each = bytes / usize::from(at_once);
    let visitors: Vec<_> = (0..at_once).map(|i| tokio::spawn(bulk(port, each, i))).collect();
    for visitor in visitors {
        visitor.await.unwrap();
    }
}

/// A device with OpenSSH's client and these options, and 16 busy connections while keys are exchanged all the time.
async fn new_keys(gate: &Gate, options: &[&str], bytes: usize) {
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let log = gate.dir.path().join("log");
    let remote = format!("{}:127.0.0.1:{}", lease.port, echo().await);
    let mut all = vec!["-N", "-v", "-E", log.to_str().unwrap(), "-R", &remote];
    all.extend(options);
    let mut ssh = gate.ssh(&machine, &all);
    gate.until_up(&lease, true).await;
    busy(lease.port, 16, bytes).await;
    assert!(answers(lease.port).await && ssh.is_running());
    let exchanges = std::fs::read_to_string(&log).unwrap().matches("SSH2_MSG_NEWKEYS sent").count();
    assert!(exchanges > 5, "{exchanges} key exchanges are too few to say anything");
}
