//! Whatever is not a valid, fresh answer to this device erases nothing.

use std::{fs, sync::Arc};

use agent::record::SLOT;
use domain::{
    id::DeviceId,
    key::Nonce,
    wire::{PollRequest, ReportedState, ServerSigned, Signed, Verdict},
};
use uuid::Uuid;

use crate::kit::{
    agent::Device,
    server::{FakeServer, Mood, World},
    signer::Signer,
};

/// Every way of not answering, each with a name.
fn moods(server: &FakeServer) -> Vec<(&'static str, Mood)> {
    type Forgery = fn(&World, &PollRequest) -> ServerSigned;
    let forge = |forgery: Forgery| {
        let server = server.clone();
        Mood::Forge(Arc::new(move |poll: &PollRequest| forgery(&server.world(), poll)))
    };
    let mut moods = vec![
        ("500", Mood::Status(500)),
        ("401", Mood::Status(401)),
        ("404", Mood::Status(404)),
        ("a captive portal", Mood::Body(b"<html>please log in</html>".to_vec())),
        ("nothing", Mood::Body(Vec::new())),
        ("something endless", Mood::Body(vec![b'['; 1 << 20])),
        (
            "another signer",
            forge(|world, poll| {
                let other = Signer::new(77);
                other.answer(&world.answer(poll, Verdict::End { tombstone: other.tombstone(2) }))
            }),
        ),
        (
            "another signer's tombstone",
            forge(|world, poll| {
                let tombstone = Signer::new(77).tombstone(2);
                world.signer.answer(&world.answer(poll, Verdict::End { tombstone }))
            }),
        ),
        (
            "a word to another device",
            forge(|world, poll| {
                let mut answer = world.answer(poll, Verdict::End { tombstone: world.signer.tombstone(2) });
                answer.device = DeviceId(Uuid::from_u128(99));
                world.signer.answer(&answer)
            }),
        ),
        (
            "an answer to another question",
            forge(|world, poll| {
                let mut answer = world.answer(poll, Verdict::End { tombstone: world.signer.tombstone(2) });
                answer.nonce = Nonce([0; 32]);
                world.signer.answer(&answer)
            }),
        ),
        (
            "an answer older than the last",
            forge(|world, poll| {
                let mut answer = world.answer(poll, Verdict::Vacant { floor: 2 });
                answer.seq = 0;
                world.signer.answer(&answer)
            }),
        ),
        (
            "a version of tomorrow",
            forge(|world, poll| {
                let mut answer = world.answer(poll, Verdict::End { tombstone: world.signer.tombstone(2) });
                answer.v = 2;
                world.signer.answer(&answer)
            }),
        ),
        (
            "an altered answer",
            forge(|world, poll| {
                let honest = world.signer.answer(&world.answer(poll, Verdict::Vacant { floor: 1 }));
                let payload = honest.message.payload.replace("\"floor\":1", "\"floor\":2");
                ServerSigned { message: Signed { payload, ..honest.message }, ..honest }
            }),
        ),
        (
            "a tombstone of the lease before",
            forge(|world, poll| {
                world
                    .signer
                    .answer(&world.answer(poll, Verdict::End { tombstone: world.signer.tombstone(1) }))
            }),
        ),
        (
            "vacant, with the tombstone of the lease before",
            forge(|world, poll| {
                let mut answer = world.answer(poll, Verdict::Vacant { floor: 2 });
                answer.tombstones = vec![world.signer.tombstone(1)];
                world.signer.answer(&answer)
            }),
        ),
        (
            "vacant",
            forge(|world, poll| world.signer.answer(&world.answer(poll, Verdict::Vacant { floor: 9 }))),
        ),
        ("stranger", forge(|world, poll| world.signer.answer(&world.answer(poll, Verdict::Stranger)))),
        (
            "moved",
            forge(|world, poll| world.signer.answer(&world.answer(poll, Verdict::Moved { owner_gen: 1 }))),
        ),
        (
            "another lease runs",
            forge(|world, poll| {
                let verdict = Verdict::Run {
                    epoch: 3,
                    until: None,
                    valid_for_s: 60,
                    key_half: None,
                    offline_resume: false,
                    gateway: None,
                };
                world.signer.answer(&world.answer(poll, verdict))
            }),
        ),
    ];
    let old: Vec<_> = server.world().answers.clone();
    assert!(old.iter().any(|answer| answer.contains("tombstone")), "an end is among the recorded answers");
    moods.extend(old.into_iter().map(|answer| ("a replayed answer", Mood::Body(answer.into_bytes()))));
    moods
}

/// How many devices share the moods; each starts once for every mood of its own.
const DEVICES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_but_a_fresh_tombstone_of_the_lease_erases_it() {
    let mut devices = tokio::task::JoinSet::new();
    for share in 0..DEVICES {
        devices.spawn(endures(share));
    }
    while let Some(ended) = devices.join_next().await {
        ended.unwrap();
    }
}

async fn endures(share: usize) {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    server.end();
    server.until_running(2).await;
    fs::write(device.letter(), "hello").unwrap();

    for (name, mood) in moods(&server).into_iter().skip(share).step_by(DEVICES) {
        server.world().mood = mood;
        device.restart();
        server.until_polled(2).await;
        let world = server.world();
        let last = world.polls.last().unwrap().reported.clone();
        assert_eq!((last.state, last.epoch, last.running), (ReportedState::Leased, 2, false), "{name}");
        assert_eq!((world.receipts.len(), world.registrations), (1, 2), "{name}");
        drop(world);
        assert_eq!(fs::read_to_string(device.letter()).unwrap(), "hello", "{name}");
    }
    server.world().mood = Mood::Honest;
    device.restart();
    server.until_running(2).await;
    server.end();
    server.until_running(3).await;
    assert!(!device.letter().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_with_a_label_is_sealed_and_rebuilt_by_the_servers_word_only() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    device.kill();
    let whole = fs::read(device.record()).unwrap();

    let mut rotten = whole.clone();
    for slot in [0, SLOT] {
        rotten[slot + 100] ^= 1;
    }
    for damage in [Vec::new(), rotten, b"berth-record 1 0\n{}".to_vec()] {
        for verdict in [None, Some(Verdict::Vacant { floor: 9 }), Some(Verdict::Stranger)] {
            fs::write(device.record(), &damage).unwrap();
            assert_eq!(device.status()["state"], "unknown");
            let signed = server.clone();
            server.world().mood = match verdict {
                None => Mood::Status(500),
                Some(verdict) => Mood::Forge(Arc::new(move |poll: &PollRequest| {
                    let world = signed.world();
                    world.signer.answer(&world.answer(poll, verdict.clone()))
                })),
            };
            device.start();
            server.until_polled(2).await;
            let last = server.world().polls.last().unwrap().reported.clone();
            assert_eq!((last.state, last.epoch, last.running), (ReportedState::Unknown, 1, false));
            device.kill();
            assert_eq!(fs::read(device.record()).unwrap(), damage, "an unreadable record is not replaced");
        }
    }
    server.world().mood = Mood::Honest;
    device.start();
    server.until_running(1).await;
    assert_eq!(fs::read_to_string(device.letter()).unwrap(), "hello");
    assert_eq!(device.status()["state"], "leased");
    assert_eq!(server.world().registrations, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_spoilt_slot_of_the_record_costs_nothing() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    device.kill();
    for slot in [0, SLOT] {
        let mut record = fs::read(device.record()).unwrap();
        record[slot + 100] ^= 1;
        fs::write(device.record(), &record).unwrap();
        device.start();
        server.until_polled(1).await;
        server.until_running(1).await;
        device.kill();
    }
    assert_eq!(fs::read_to_string(device.letter()).unwrap(), "hello");
    assert_eq!(server.world().registrations, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_cannot_be_read_seals_the_volume_whatever_is_heard() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    device.kill();
    fs::remove_file(device.record()).unwrap();
    fs::write(device.volume().join(".berth-lease"), "scribble").unwrap();
    server.end();
    device.start();
    server.until_polled(2).await;
    let last = server.world().polls.last().unwrap().reported.clone();
    assert_eq!((last.state, last.running), (ReportedState::Unknown, false));
    assert!(last.conflict.is_some() && device.letter().exists() && server.world().receipts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_without_a_label_registers_again_and_is_kept_aside() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    fs::create_dir_all(device.record().parent().unwrap()).unwrap();
    fs::write(device.record(), "scribble").unwrap();
    device.start();
    server.until_running(1).await;
    assert_eq!(server.world().polls[0].reported.state, ReportedState::Unknown);
    assert_eq!(fs::read_to_string(device.record().with_extension("unreadable")).unwrap(), "scribble");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_record_is_not_a_first_start() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    device.start();
    server.until_running(1).await;
    fs::write(device.letter(), "hello").unwrap();
    device.kill();
    fs::remove_file(device.record()).unwrap();
    server.end();
    device.start();
    server.until_running(2).await;
    assert_eq!(server.world().receipts.len(), 1);
    assert!(!device.letter().exists());
}
