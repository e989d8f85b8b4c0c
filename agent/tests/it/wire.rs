//! One sample of every message, kept in `fixtures/wire`: what was said once is understood for ever.

use std::{fs, path::PathBuf};

use agent::heard::{Said, Word};
use domain::{
    id::{GatewayName, Subdomain},
    key::{Digest, Nonce, PublicKey, SealedHalf},
    offer::Hardware,
    time::Time,
    wire::{
        Answer, CheckIn, EraseStep, Expect, GatewayAddress, Grant, HoldWhy, KeyHalf, PollRequest,
        ProvenGrant, Receipt, Registration, Reported, ReportedState, ServerSigned, SignedCheckIn, SignedPoll,
        SignedReceipt, SignedRegistration, StepResult, VERSION, Verdict, sign,
    },
};
use ed25519_dalek::SigningKey;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::kit::signer::{DEVICE, SameDice, Signer};

const NONCE: Nonce = Nonce([7; 32]);
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAGxD29c";
const NOW: Time = Time::from_unix(1_795_338_000);

fn device_key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn public() -> PublicKey {
    PublicKey(device_key().verifying_key().to_bytes())
}

fn answer(verdict: Verdict) -> Value {
    let signer = Signer::new(1);
    let answer = Answer {
        v: VERSION,
        device: DEVICE,
        nonce: NONCE,
        server_time: NOW,
        owner_gen: 0,
        seq: 42,
        next_poll_s: 60,
        verdict,
        tombstones: vec![signer.tombstone(1)],
    };
    value(&signer.answer(&answer))
}

fn run(key_half: Option<SealedHalf>, offline_resume: bool) -> Verdict {
    Verdict::Run {
        epoch: 2,
        until: Some(NOW.plus(3_600)),
        valid_for_s: 600,
        key_half,
        offline_resume,
        gateway: None,
    }
}

/// Always the same: a recorded message cannot be sealed anew.
fn sealed_half() -> SealedHalf {
    KeyHalf::new([8; 32]).seal(&public(), DEVICE, 2, &mut SameDice).unwrap()
}

/// The same lease, with a tunnel.
fn run_with_gateway() -> Verdict {
    let mut verdict = run(None, false);
    if let Verdict::Run { gateway, .. } = &mut verdict {
        let host_key = PublicKey([3; 32]);
        *gateway = Some(GatewayAddress { host: "gateway.example".into(), port: 2_222, host_key });
    }
    verdict
}

fn value(message: &impl Serialize) -> Value {
    serde_json::to_value(message).unwrap()
}

fn samples() -> Vec<(&'static str, Value)> {
    let signer = Signer::new(1);
    let hardware = Hardware {
        memory_mib: 4_096,
        disk_mib: 29_000,
        processor: "Raspberry Pi 4 Model B".into(),
        cores: 4,
        bandwidth_kbit_s: None,
    };
    let registration = Registration {
        v: VERSION,
        device_key: public(),
        config_hash: Digest::of(b"configuration"),
        hardware,
    };
    let grant = Grant {
        device: DEVICE,
        server_key: signer.root(),
        epoch: 2,
        gateway: GatewayName::new("local").unwrap(),
        host: "gateway.example".into(),
        port: 20_000,
        subdomain: Subdomain::of(DEVICE, 2),
        user: "renter".into(),
        password: "a password".into(),
    };
    let signed = SignedRegistration(sign(&registration, &device_key()));
    let proven = ProvenGrant { proof: signer.say(&signed.proof(&grant)), grant: grant.clone() };
    let reported = Reported {
        state: ReportedState::Leased,
        epoch: 2,
        running: true,
        conflict: None,
        host_keys: Vec::new(),
    };
    let poll = PollRequest {
        v: VERSION,
        nonce: NONCE,
        device_key: public(),
        boot_id: Uuid::from_u128(6),
        reported,
        count: 0,
        saves: 0,
        seen_seq: 41,
        wait_s: 25,
        floor: NOW,
    };
    let host_keys = vec![HOST_KEY.into()];
    let with_host_keys =
        PollRequest { reported: Reported { host_keys, ..poll.reported.clone() }, ..poll.clone() };
    let check_in = CheckIn { v: VERSION, device_key: public(), boot_id: Uuid::from_u128(6), count: 3 };
    let step =
        |step: &str, result, detail: &str| EraseStep { step: step.into(), result, detail: detail.into() };
    let receipt = Receipt {
        v: VERSION,
        device: DEVICE,
        epoch: 2,
        tombstone: signer.warrant(2).digest(),
        volume: "directory".into(),
        steps: vec![
            step("stop workload", StepResult::NothingThere, "no workload is configured"),
            step("remove files", StepResult::Done, "removed 3 files with 15 bytes and 1 directories"),
            step("discard blocks", StepResult::Unsupported, "a directory has no blocks of its own"),
        ],
        not_before: NOW,
    };
    vec![
        ("registration", value(&SignedRegistration(sign(&registration, &device_key())))),
        ("grant", value(&grant)),
        ("grant-proven", value(&proven)),
        ("poll", value(&poll)),
        ("poll-signed", value(&SignedPoll(sign(&PollRequest { saves: 12, ..poll.clone() }, &device_key())))),
        ("poll-host-keys", value(&SignedPoll(sign(&with_host_keys, &device_key())))),
        ("check-in", value(&SignedCheckIn(sign(&check_in, &device_key())))),
        ("receipt", value(&SignedReceipt(sign(&receipt, &device_key())))),
        ("tombstone", value(&signer.tombstone(2))),
        ("answer-run", answer(run(None, false))),
        ("answer-run-sealed", answer(run(Some(sealed_half()), true))),
        ("answer-run-gateway", answer(run_with_gateway())),
        ("answer-hold", answer(Verdict::Hold { epoch: 2, why: HoldWhy::UnderReview })),
        ("answer-end", answer(Verdict::End { tombstone: signer.tombstone(2) })),
        ("answer-vacant", answer(Verdict::Vacant { floor: 2 })),
        ("answer-stranger", answer(Verdict::Stranger)),
        ("answer-moved", answer(Verdict::Moved { owner_gen: 1 })),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire").join(format!("{name}.json"))
}

fn kept<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// `BERTH_BLESS=1` writes the samples: only right for a message that is new.
#[test]
fn every_message_is_still_written_as_in_the_sample() {
    for (name, message) in samples() {
        let text = format!("{}\n", serde_json::to_string_pretty(&message).unwrap());
        if std::env::var_os("BERTH_BLESS").is_some() {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), &text).unwrap();
        }
        assert_eq!(fs::read_to_string(path(name)).unwrap(), text, "{name}");
    }
}

#[test]
fn every_kept_message_is_still_believed() {
    let root = Signer::new(1).root();
    let expect = Expect { root, device: DEVICE, nonce: NONCE, era: 1, seq: 42, epoch: 2 };
    let heard = |name: &str| Word::open(&kept::<ServerSigned>(name), &expect).unwrap();
    assert!(matches!(heard("answer-run").said(), Said::Run { epoch: 2, valid_for_s: 600, .. }));
    assert!(matches!(heard("answer-hold").said(), Said::Hold { epoch: 2, .. }));
    assert!(matches!(heard("answer-end").said(), Said::End(warrant) if warrant.epoch() == 2));
    assert_eq!(heard("answer-vacant").said(), &Said::Vacant { floor: 2 });
    assert_eq!(heard("answer-stranger").said(), &Said::Stranger);
    assert_eq!(heard("answer-moved").said(), &Said::Moved);
    assert!(heard("answer-moved").tombstone(1).is_some());
    assert_eq!(kept::<ServerSigned>("answer-run").addressee(&root), Ok(DEVICE));
    let receipt = kept::<SignedReceipt>("receipt").verify(&public(), DEVICE).unwrap();
    let tombstone = kept::<ServerSigned>("tombstone").verify_tombstone(&root, DEVICE).unwrap();
    assert_eq!(receipt.get().tombstone, tombstone.get().digest());
    assert_eq!(kept::<SignedRegistration>("registration").verify().unwrap().get().device_key, public());
    let Said::Run { key_half: Some(sealed), offline_resume: true, .. } = *heard("answer-run-sealed").said()
    else {
        panic!("the sealed half is missing");
    };
    assert_eq!(KeyHalf::open(&sealed, &device_key(), DEVICE, 2), Some(KeyHalf::new([8; 32])));
    assert_eq!(kept::<PollRequest>("poll").seen_seq, 41);
    assert_eq!(kept::<SignedPoll>("poll-signed").verify().unwrap().get().saves, 12);
    let Said::Run { gateway: Some(gateway), .. } = heard("answer-run-gateway").said().clone() else {
        panic!("the gateway is missing");
    };
    assert_eq!((gateway.host.as_str(), gateway.port), ("gateway.example", 2_222));
    let reported = kept::<SignedPoll>("poll-host-keys").verify().unwrap().into_inner().reported;
    assert_eq!(reported.host_keys, [HOST_KEY]);
    assert_eq!(kept::<SignedCheckIn>("check-in").verify().unwrap().get().count, 3);
    assert_eq!(kept::<Grant>("grant").port, 20_000);
    let registration = kept::<SignedRegistration>("registration");
    let proven = kept::<ProvenGrant>("grant-proven");
    assert_eq!(proven.clone().verify(&root, &registration), Ok(kept::<Grant>("grant")));
    let mut other = proven.clone();
    other.grant.password.push('x');
    assert!(other.verify(&root, &registration).is_err(), "another password is another grant");
    let elsewhere = SignedRegistration(sign(&kept::<PollRequest>("poll"), &device_key()));
    assert!(proven.verify(&root, &elsewhere).is_err(), "the answer to another question");
}
