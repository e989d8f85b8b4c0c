//! Noise on the SSH port: whatever comes, the gateway neither panics nor hangs nor believes it.
//!
//! Bytes are wrong in reproducible ways: a seed stands for one attempt. What comes over a real handshake is changed on
//! its way, so that the noise reaches every step of it; behind the first keys everything changed is refused by its MAC.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    device::{Serves, bring_up, log_in},
    kit::{Gate, PATIENCE, eventually},
    visit::{answers, standing},
};

/// Numbers that are as good as random, and the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % (n.max(1) as u64)).unwrap()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.roll().to_le_bytes()[0]).collect()
    }
}

/// What a packet of the handshake looks like: its length, its padding, its message.
fn packet(message: &[u8]) -> Vec<u8> {
    let padding = 8 - (5 + message.len()) % 8 + 8;
    let length = u32::try_from(1 + message.len() + padding).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(u8::try_from(padding).unwrap());
    packet.extend(message);
    packet.extend(vec![0; padding]);
    packet
}

fn noise(dice: &mut Dice) -> Vec<u8> {
    let banner = b"SSH-2.0-Noise_1\r\n".to_vec();
    let (n, huge) = (dice.below(3_000), dice.bytes(4));
    match dice.below(8) {
        // Nothing that anybody knows.
        0 => dice.bytes(n),
        // A banner that never ends, or many of them.
        1 => [b"SSH-2.0-".to_vec(), vec![b'x'; 100_000]].concat(),
        2 => b"hello\r\n".repeat(10_000),
        3 => [banner, dice.bytes(n)].concat(),
        // Lengths: huge, none, too little.
        4 => [banner, huge, dice.bytes(n)].concat(),
        5 => [banner, u32::try_from(dice.below(64)).unwrap().to_be_bytes().to_vec(), dice.bytes(n)].concat(),
        // Whole packets of every type, with rubbish in them.
        6 => {
            let packets = (0..20).map(|_| {
                let message = dice.below(300);
                packet(&dice.bytes(1 + message))
            });
            [vec![banner], packets.collect()].concat().concat()
        }
        // Lists of names whose lengths lie.
        _ => {
            let mut message = vec![20];
            message.extend(dice.bytes(16));
            for _ in 0..10 {
                let length = [0, 1, 40, u32::MAX, u32::MAX / 2][dice.below(5)];
                message.extend(length.to_be_bytes());
                let n = dice.below(60);
                message.extend(dice.bytes(n));
            }
            [banner, packet(&message)].concat()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_instead_of_a_handshake_ends_at_once_or_after_the_grace() {
    let gate = Gate::tuned(|settings| settings.grace = Duration::from_secs(5)).await;
    let (machine, other) = (gate.machine(1), gate.machine(2));
    let lease = gate.grant(&machine, 1).await;
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
    let ssh = gate.gateway.ssh;
    let attempts: Vec<_> = (0..400)
        .map(|seed| {
            tokio::spawn(async move {
                let bytes = noise(&mut Dice(seed));
                let mut stream = TcpStream::connect(ssh).await.unwrap();
                let (mut read, mut write) = stream.split();
                let sent = async {
                    let _ = write.write_all(&bytes).await;
                    if seed % 2 == 0 {
                        let _ = write.shutdown().await;
                    }
                };
                let heard = async {
                    let mut heard = Vec::new();
                    let _ = read.read_to_end(&mut heard).await;
                    heard.len()
                };
                let (heard, ()) = timeout(PATIENCE, async { tokio::join!(heard, sent) })
                    .await
                    .unwrap_or_else(|_| panic!("noise {seed} holds on"));
                assert!(heard < 64 * 1024, "noise {seed} is answered with {heard} bytes");
            })
        })
        .collect();
    for attempt in attempts {
        attempt.await.unwrap();
    }
    eventually(|| async { standing(ssh.port()) == 1 }).await;
    assert!(answers(lease.port).await);
    let lease = gate.grant(&other, 1).await;
    let _other = bring_up(&gate, &other, Serves::Echo).await;
    assert!(answers(lease.port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_changed_on_its_way_is_never_believed() {
    let gate = Gate::tuned(|settings| settings.grace = Duration::from_secs(5)).await;
    let machine = gate.machine(1);
    gate.grant(&machine, 1).await;
    let attempts: Vec<_> = (0..300)
        .map(|seed| {
            let (machine, host_key, to) = (machine.clone(), gate.gateway.host_key, gate.gateway.ssh);
            tokio::spawn(async move {
                let (at, changed) = tampered_line(to, seed).await;
                let come = log_in(at, host_key, &machine, Serves::Echo);
                let believed = timeout(PATIENCE, come)
                    .await
                    .unwrap_or_else(|_| panic!("handshake {seed} holds on"))
                    .is_ok_and(|device| device.is_some());
                let changed = changed.await.unwrap_or(false);
                assert!(!(changed && believed), "handshake {seed} was changed and believed");
                changed
            })
        })
        .collect();
    let mut changed = 0;
    for attempt in attempts {
        changed += usize::from(attempt.await.unwrap());
    }
    assert!(changed > 200, "{changed} changed handshakes are too few to say anything");
    eventually(|| async { standing(gate.gateway.ssh.port()) == 0 }).await;
    let _device = bring_up(&gate, &machine, Serves::Echo).await;
}

/// A line for one connection that changes what the client sends at one place, and whether it did.
async fn tampered_line(to: SocketAddr, seed: u64) -> (SocketAddr, tokio::task::JoinHandle<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let line = async move {
        let mut dice = Dice(seed);
        // The banner, the offer, the exchange and the first secret packets are about this long.
        let place = dice.below(1_800) + 24;
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(to).await.unwrap();
        let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.split(), far.split());
        let mut passed = 0;
        let mut changed = false;
        let there = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(n @ 1..) = near_read.read(&mut buffer).await {
                let mut bytes = buffer[..n].to_vec();
                if (passed..passed + n).contains(&place) {
                    changed = true;
                    change(&mut bytes, place - passed, &mut dice);
                }
                passed += n;
                if far_write.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            let _ = far_write.shutdown().await;
        };
        let back = async {
            let _ = tokio::io::copy(&mut far_read, &mut near_write).await;
            let _ = near_write.shutdown().await;
        };
        // Whatever ends first ends both.
        tokio::select! {
            () = there => {}
            () = back => {}
        }
        changed
    };
    (at, tokio::spawn(line))
}

fn change(bytes: &mut Vec<u8>, place: usize, dice: &mut Dice) {
    let n = dice.below(40) + 1;
    match dice.below(4) {
        0 => bytes[place] ^= 1 << dice.below(8),
        1 => bytes.truncate(place),
        2 => {
            bytes.splice(place..place, dice.bytes(n));
        }
        _ => {
            let end = (place + n).min(bytes.len());
            bytes.splice(place..end, dice.bytes(end - place).into_iter().map(|byte| byte | 1));
            bytes[place] ^= 0x80;
        }
    }
}
