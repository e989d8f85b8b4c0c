//! `kill -9` at every moment the server can see, at many it cannot, and again and again: each ends in the right place.

use std::{fs, time::Duration};

use crate::kit::{
    agent::Device,
    server::{FakeServer, Lease, Moment},
};

/// Enough files for erasing to take a while.
const MANY: usize = 600;

/// Puts files on the volume of the running lease.
fn fill(device: &Device, files: usize) {
    for n in 0..files {
        let directory = device.data().join(format!("d{}", n % 30));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("f{n}")), "hello").unwrap();
    }
}

/// Lease 1 ended and was erased exactly once, lease 2 runs on an empty volume.
fn in_the_right_place(server: &FakeServer, device: &Device) {
    let world = server.world();
    assert_eq!(world.lease, Lease::Running(2));
    assert_eq!(world.registrations, 2, "a repeated registration is the same lease");
    assert_eq!(world.receipts.iter().map(|r| r.epoch).collect::<Vec<_>>(), [1]);
    assert_eq!(fs::read_dir(device.data()).unwrap().count(), 0);
    assert_eq!(
        fs::read_dir(device.volume()).unwrap().count(),
        3,
        "identity, label and the renter's directory"
    );
    let status = device.status();
    assert_eq!(
        (&status["state"], &status["epoch"], &status["label"]),
        (&"leased".into(), &2.into(), &2.into())
    );
}

async fn killed_at(moment: Moment, count: usize) {
    let server = FakeServer::start(1).await;
    let device = Device::new(&server);
    let agent = device.supervise();
    let (killer, mut seen) = (agent.killer(), 0);
    server.on_moment(move |now, _| {
        seen += usize::from(now == moment);
        if now == moment && seen == count {
            killer.kill();
        }
    });
    server.until_running(1).await;
    fill(&device, 30);
    server.end();
    server.until_running(2).await;
    assert!(agent.starts() >= 2, "{moment:?} {count} came");
    in_the_right_place(&server, &device);
}

#[tokio::test(flavor = "multi_thread")]
async fn power_lost_while_registering() {
    for moment in [Moment::RegisterAsked, Moment::RegisterGranted] {
        for count in 1..=2 {
            killed_at(moment, count).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_lost_while_polling() {
    for moment in [Moment::PollAsked, Moment::PollAnswered] {
        for count in 1..=5 {
            killed_at(moment, count).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_lost_while_sending_the_receipt() {
    for moment in [Moment::ReceiptAsked, Moment::ReceiptTaken] {
        killed_at(moment, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_lost_at_some_millisecond_of_erasing_and_starting_again() {
    for delay_ms in [0, 1, 2, 4, 6, 9, 13, 18, 25, 40, 80, 300, 500] {
        let server = FakeServer::start(1).await;
        let device = Device::new(&server);
        let agent = device.supervise();
        server.until_running(1).await;
        fill(&device, MANY);
        server.end();
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        agent.killer().kill();
        server.until_running(2).await;
        in_the_right_place(&server, &device);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_that_fails_again_and_again() {
    let server = FakeServer::start(1).await;
    let device = Device::new(&server);
    let agent = device.supervise();
    let ended = async {
        server.until("lease 1 is granted", |world| world.lease == Lease::Running(1)).await;
        while !device.data().is_dir() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fill(&device, MANY);
        server.end();
        server.until_running(2).await;
    };
    let outages = async {
        for n in 1u64.. {
            tokio::time::sleep(Duration::from_millis(15 * n)).await;
            agent.killer().kill();
        }
    };
    tokio::select! {
        () = ended => {}
        () = outages => {}
    }
    assert!(agent.starts() >= 3);
    in_the_right_place(&server, &device);
}
