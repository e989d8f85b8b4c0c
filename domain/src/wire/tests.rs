use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::{envelope::Message, *};
use crate::{
    device::LeaseEnd,
    id::{ContractId, DeviceId, Epoch},
    key::{Digest, Nonce, PublicKey, Signature},
    offer::Hardware,
    time::Time,
};

const ME: DeviceId = DeviceId(Uuid::from_u128(7));
const OTHER: DeviceId = DeviceId(Uuid::from_u128(8));
const NOW: Time = Time::from_unix(1_700_000_000);

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

/// The server's keys.
fn root() -> SigningKey {
    key(1)
}

fn online() -> SigningKey {
    key(2)
}

fn certificate(key: &SigningKey, era: u32, by: &SigningKey) -> Signed {
    sign(&OnlineKey { v: VERSION, key: public(key), era, certified_at: NOW }, by)
}

/// As the server of `era` would say it.
fn said<T: Message>(message: &T, era: u32) -> ServerSigned {
    ServerSigned { certificate: certificate(&online(), era, &root()), message: sign(message, &online()) }
}

fn answer(verdict: Verdict) -> Answer {
    Answer {
        v: VERSION,
        device: ME,
        nonce: Nonce([5; 32]),
        server_time: NOW,
        owner_gen: 0,
        seq: 10,
        next_poll_s: 60,
        verdict,
        tombstones: vec![],
    }
}

fn run() -> Answer {
    answer(Verdict::Run {
        epoch: 3,
        until: Some(NOW),
        valid_for_s: 600,
        key_half: None,
        offline_resume: false,
        gateway: None,
    })
}

fn tombstone(device: DeviceId, epoch: Epoch) -> Tombstone {
    let contract = ContractId::of(device, epoch);
    Tombstone { v: VERSION, device, epoch, contract, ended_at: NOW, why: LeaseEnd::Expired }
}

/// What a device that asked with this nonce and heard of (era 2, seq 10, epoch 3) believes.
fn expect() -> Expect {
    Expect { root: public(&root()), device: ME, nonce: Nonce([5; 32]), era: 2, seq: 10, epoch: 3 }
}

fn refused(signed: &ServerSigned) -> WireError {
    signed.verify_answer(&expect()).expect_err("a device must not believe this")
}

#[test]
fn an_answer_to_the_question_that_was_asked_is_believed() {
    let (key, heard) = said(&run(), 2).verify_answer(&expect()).unwrap();
    assert_eq!((key.era, heard.get()), (2, &run()));
    assert_eq!(heard.into_inner(), run());
}

#[test]
fn an_answer_survives_the_way_over_the_wire() {
    let sent = said(&run(), 2);
    let bytes = serde_json::to_vec(&sent).unwrap();
    assert_eq!(ServerSigned::parse(&bytes), Ok(sent));
}

mod requests;

mod freshness {
    use super::*;

    #[test]
    fn an_answer_to_another_question_is_silence() {
        let replayed = Answer { nonce: Nonce([6; 32]), ..run() };
        assert_eq!(refused(&said(&replayed, 2)), WireError::Foreign("another question"));
    }

    #[test]
    fn an_answer_to_another_device_is_silence() {
        assert_eq!(
            refused(&said(&Answer { device: OTHER, ..run() }, 2)),
            WireError::Foreign("another device")
        );
    }

    #[test]
    fn an_older_sequence_number_or_era_is_silence_and_the_same_or_a_newer_one_is_not() {
        let older = WireError::Foreign("older than what was heard before");
        let heard = |era, seq| said(&Answer { seq, ..run() }, era).verify_answer(&expect()).map(drop);
        assert_eq!(heard(2, 9), Err(older.clone()));
        assert_eq!(heard(1, 11), Err(older.clone()));
        assert_eq!(heard(1, u64::MAX), Err(older));
        assert_eq!(heard(2, 10), Ok(()));
        assert_eq!(heard(2, 11), Ok(()));
        assert_eq!(heard(3, 0), Ok(()), "a server restored from a backup opens a new era");
    }

    #[test]
    fn an_epoch_too_far_ahead_is_silence() {
        let far = 3 + MAX_EPOCH_JUMP;
        for epoch in [far, far + 1, u32::MAX] {
            let verdicts = [
                Verdict::Run {
                    epoch,
                    until: None,
                    valid_for_s: 1,
                    key_half: None,
                    offline_resume: false,
                    gateway: None,
                },
                Verdict::Hold { epoch, why: HoldWhy::Ending },
                Verdict::Vacant { floor: epoch },
                Verdict::End { tombstone: said(&tombstone(ME, epoch), 2) },
            ];
            for verdict in verdicts {
                let heard = said(&answer(verdict), 2).verify_answer(&expect()).map(drop);
                let too_far = Err(WireError::Foreign("an epoch too far ahead"));
                assert_eq!(heard, if epoch == far { Ok(()) } else { too_far });
            }
        }
    }
}

mod signatures {
    use super::*;

    #[test]
    fn a_server_with_another_root_is_silence() {
        let certificate = certificate(&online(), 2, &key(9));
        let forged = ServerSigned { certificate, message: sign(&run(), &online()) };
        assert_eq!(refused(&forged), WireError::BadSignature("berth online key v1"));
    }

    #[test]
    fn an_online_key_that_the_root_did_not_certify_is_silence() {
        let forged =
            ServerSigned { certificate: certificate(&online(), 2, &root()), message: sign(&run(), &key(9)) };
        assert_eq!(refused(&forged), WireError::BadSignature("berth answer v1"));
        let own_word =
            ServerSigned { certificate: certificate(&key(9), 2, &key(9)), message: sign(&run(), &key(9)) };
        assert_eq!(refused(&own_word), WireError::BadSignature("berth online key v1"));
    }

    #[test]
    fn a_signature_made_for_one_kind_of_message_is_worth_nothing_for_another() {
        let certificate = certificate(&online(), 2, &root());
        let as_tombstone = sign(&tombstone(ME, 3), &online());
        let reused = ServerSigned { certificate: certificate.clone(), message: as_tombstone };
        assert_eq!(refused(&reused), WireError::BadSignature("berth answer v1"));

        let answered = said(&run(), 2);
        assert_eq!(
            answered.verify_tombstone(&public(&root()), ME).unwrap_err(),
            WireError::BadSignature("berth tombstone v1")
        );
        let swapped = ServerSigned { certificate: answered.message, message: certificate };
        assert_eq!(refused(&swapped), WireError::BadSignature("berth online key v1"));
    }

    #[test]
    fn a_payload_changed_in_one_byte_is_silence() {
        let good = said(&run(), 2);
        for i in (0..good.message.payload.len()).step_by(11) {
            let mut bytes = good.message.payload.clone().into_bytes();
            bytes[i] ^= 1;
            let Ok(payload) = String::from_utf8(bytes) else { continue };
            let message = Signed { payload, ..good.message.clone() };
            let forged = ServerSigned { message, ..good.clone() };
            assert_eq!(refused(&forged), WireError::BadSignature("berth answer v1"), "byte {i}");
        }
    }

    #[test]
    fn a_signature_or_certificate_changed_in_one_bit_is_silence() {
        let good = said(&run(), 2);
        for bit in (0..512).step_by(17) {
            let mut bytes = good.message.signature.0;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let message = Signed { signature: Signature(bytes), ..good.message.clone() };
            assert!(ServerSigned { message, ..good.clone() }.verify_answer(&expect()).is_err(), "bit {bit}");
        }
        let payload = good.certificate.payload.replace("\"era\":2", "\"era\":3");
        assert_ne!(payload, good.certificate.payload);
        let forged = ServerSigned { certificate: Signed { payload, ..good.certificate }, ..said(&run(), 2) };
        assert_eq!(refused(&forged), WireError::BadSignature("berth online key v1"));
    }

    #[test]
    fn bytes_that_are_no_point_on_the_curve_sign_nothing() {
        let bad = Expect { root: PublicKey([0xff; 32]), ..expect() };
        let heard = said(&run(), 2).verify_answer(&bad);
        assert_eq!(heard.unwrap_err(), WireError::BadSignature("berth online key v1"));
    }
}

mod forms {
    use super::*;

    #[test]
    fn an_unknown_version_is_silence() {
        assert_eq!(refused(&said(&Answer { v: 2, ..run() }, 2)), WireError::Version(2));
        assert_eq!(refused(&said(&Answer { v: 0, ..run() }, 2)), WireError::Version(0));
        let newer = OnlineKey { v: 9, key: public(&online()), era: 2, certified_at: NOW };
        let certificate = sign(&newer, &root());
        let message = sign(&run(), &online());
        assert_eq!(refused(&ServerSigned { certificate, message }), WireError::Version(9));
    }

    #[test]
    fn a_message_that_is_too_long_is_not_read() {
        assert_eq!(ServerSigned::parse(&vec![b' '; MAX_MESSAGE + 1]), Err(WireError::TooLong));
        let many = (0..200).map(|_| said(&tombstone(ME, 1), 2)).collect();
        assert_eq!(refused(&said(&Answer { tombstones: many, ..run() }, 2)), WireError::TooLong);
    }

    #[test]
    fn what_is_not_an_envelope_is_not_read() {
        for text in ["", "{}", "null", "[]", "<html>login</html>", r#"{"certificate":1,"message":2}"#] {
            assert!(matches!(ServerSigned::parse(text.as_bytes()), Err(WireError::Malformed(_))), "{text}");
        }
        let mut extra = serde_json::to_value(said(&run(), 2)).unwrap();
        extra["more"] = true.into();
        let parsed = ServerSigned::parse(extra.to_string().as_bytes());
        assert!(matches!(parsed, Err(WireError::Malformed(_))));
    }

    #[test]
    fn a_signed_text_that_is_no_answer_is_silence() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Odd {
            v: u32,
        }
        impl Message for Odd {
            const CONTEXT: &'static str = Answer::CONTEXT;
        }
        assert!(matches!(refused(&said(&Odd { v: VERSION }, 2)), WireError::Malformed(_)));
    }
}

mod tombstones {
    use super::*;

    fn end(tombstone: ServerSigned) -> ServerSigned {
        said(&answer(Verdict::End { tombstone }), 2)
    }

    #[test]
    fn an_end_is_believed_with_this_devices_tombstone_also_of_an_older_era() {
        assert!(end(said(&tombstone(ME, 3), 2)).verify_answer(&expect()).is_ok());
        assert!(end(said(&tombstone(ME, 3), 1)).verify_answer(&expect()).is_ok());
    }

    #[test]
    fn another_devices_tombstone_makes_the_whole_answer_silence() {
        let foreign = WireError::Foreign("another device's tombstone");
        assert_eq!(refused(&end(said(&tombstone(OTHER, 3), 2))), foreign);
        let among = Answer { tombstones: vec![said(&tombstone(OTHER, 1), 2)], ..run() };
        assert_eq!(refused(&said(&among, 2)), foreign);
    }

    #[test]
    fn a_forged_tombstone_makes_the_whole_answer_silence() {
        let forged = ServerSigned {
            certificate: certificate(&online(), 2, &root()),
            message: sign(&tombstone(ME, 3), &key(9)),
        };
        let bad = WireError::BadSignature("berth tombstone v1");
        assert_eq!(refused(&end(forged.clone())), bad);
        assert_eq!(refused(&said(&Answer { tombstones: vec![forged], ..run() }, 2)), bad);
    }

    #[test]
    fn two_tombstones_have_two_digests() {
        assert_eq!(tombstone(ME, 1).digest(), tombstone(ME, 1).digest());
        assert_ne!(tombstone(ME, 1).digest(), tombstone(ME, 2).digest());
        assert_ne!(tombstone(ME, 1).digest(), tombstone(OTHER, 1).digest());
    }
}

mod receipts {
    use super::*;

    fn step(detail: &str) -> EraseStep {
        EraseStep { step: "remove files".into(), result: StepResult::Done, detail: detail.into() }
    }

    fn receipt(steps: Vec<EraseStep>) -> Receipt {
        let tombstone = tombstone(ME, 3).digest();
        let volume = "directory".into();
        Receipt { v: VERSION, device: ME, epoch: 3, tombstone, volume, steps, not_before: NOW }
    }

    fn verify(receipt: &Receipt) -> Result<Receipt, WireError> {
        SignedReceipt(sign(receipt, &key(4))).verify(&public(&key(4)), ME).map(Verified::into_inner)
    }

    #[test]
    fn a_receipt_is_believed_when_the_device_signed_it() {
        let good = receipt(vec![step("12 files")]);
        assert_eq!(verify(&good), Ok(good.clone()));
        let by_other = SignedReceipt(sign(&good, &key(5))).verify(&public(&key(4)), ME);
        assert_eq!(by_other.unwrap_err(), WireError::BadSignature("berth erasure receipt v1"));
        let of_other = verify(&Receipt { device: OTHER, ..good.clone() });
        assert_eq!(of_other, Err(WireError::Foreign("another device's receipt")));
        assert_eq!(verify(&Receipt { v: 2, ..good }), Err(WireError::Version(2)));
    }

    #[test]
    fn a_receipt_says_what_was_done_in_1_to_32_steps_of_short_texts() {
        let malformed = |steps| matches!(verify(&receipt(steps)), Err(WireError::Malformed(_)));
        assert!(malformed(vec![]));
        assert!(malformed(vec![step(""); MAX_STEPS + 1]));
        assert!(malformed(vec![step(&"x".repeat(MAX_STEP_TEXT + 1))]));
        assert!(!malformed(vec![step(&"x".repeat(MAX_STEP_TEXT)); MAX_STEPS]));
        let long = Receipt { volume: "x".repeat(MAX_STEP_TEXT + 1), ..receipt(vec![step("")]) };
        assert!(matches!(verify(&long), Err(WireError::Malformed(_))));
    }

    #[test]
    fn a_receipt_padded_beyond_its_limit_is_refused_so_it_always_fits_into_an_event() {
        use crate::{device::EpochErased, event};
        let quotes = receipt(vec![step(&"\"".repeat(MAX_STEP_TEXT)); MAX_STEPS]);
        let padding = MAX_RECEIPT - event::canonical_json(&quotes).len();
        let payload = |spaces| {
            let text = String::from_utf8(event::canonical_json(&quotes)).unwrap();
            format!("{text}{}", "\n".repeat(spaces))
        };
        let signed = |payload: String| {
            let bytes = [Receipt::CONTEXT.as_bytes(), &[0], payload.as_bytes()].concat();
            let signature = Signature(ed25519_dalek::Signer::sign(&key(4), &bytes).to_bytes());
            SignedReceipt(Signed { payload, signature })
        };
        let full = signed(payload(padding));
        assert!(full.verify(&public(&key(4)), ME).is_ok());
        let event = event::canonical_json(&EpochErased { epoch: 3, receipt: full });
        assert!(event.len() <= event::MAX_PAYLOAD, "{}", event.len());
        let over = signed(payload(padding + 1)).verify(&public(&key(4)), ME);
        assert!(matches!(over, Err(WireError::Malformed(_))));
    }
}

mod key_halves {
    use super::*;

    #[derive(Clone)]
    struct Counting(u8);

    impl hpke::rand_core::TryRng for Counting {
        type Error = std::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            unreachable!("only bytes are asked for")
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            unreachable!("only bytes are asked for")
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            self.0 += 1;
            bytes.fill(self.0);
            Ok(())
        }
    }

    impl hpke::rand_core::TryCryptoRng for Counting {}

    #[test]
    fn a_half_opens_for_its_device_and_its_lease_only() {
        let half = KeyHalf::new([9; 32]);
        let sealed = half.seal(&public(&key(4)), ME, 3, &mut Counting(0)).unwrap();
        assert_eq!(KeyHalf::open(&sealed, &key(4), ME, 3), Some(half.clone()));
        assert_eq!(KeyHalf::open(&sealed, &key(5), ME, 3), None);
        assert_eq!(KeyHalf::open(&sealed, &key(4), OTHER, 3), None);
        assert_eq!(KeyHalf::open(&sealed, &key(4), ME, 4), None);
        for at in 0..sealed.0.len() {
            let mut damaged = sealed;
            damaged.0[at] ^= 1;
            assert_eq!(KeyHalf::open(&damaged, &key(4), ME, 3), None, "byte {at}");
        }
        assert_ne!(Some(sealed), half.seal(&public(&key(4)), ME, 3, &mut Counting(1)));
    }

    #[test]
    fn a_half_is_never_shown_and_its_commitment_tells_it_from_another() {
        let half = KeyHalf::new([9; 32]);
        assert_eq!(format!("{half:?}"), "KeyHalf(…)");
        assert_eq!(half.commitment(), KeyHalf::new([9; 32]).commitment());
        assert_ne!(half.commitment(), KeyHalf::new([8; 32]).commitment());
        assert_eq!(half.seal(&PublicKey([2; 32]), ME, 3, &mut Counting(0)), None, "no point of the curve");
    }

    #[test]
    fn a_poll_and_a_check_in_are_believed_from_the_key_they_name_only() {
        let check_in =
            CheckIn { v: VERSION, device_key: public(&key(4)), boot_id: Uuid::from_u128(1), count: 1 };
        let signed = |by: u8| SignedCheckIn(sign(&check_in, &key(by)));
        assert_eq!(signed(4).verify().unwrap().get(), &check_in);
        assert!(matches!(signed(5).verify(), Err(WireError::BadSignature(_))));
        let as_poll = SignedPoll(signed(4).0);
        assert!(matches!(as_poll.verify(), Err(WireError::BadSignature("berth poll v1"))));
    }
}
