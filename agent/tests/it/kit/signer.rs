//! A server's keys.

use agent::heard::{Heard, Warrant, Why, Word};
use domain::{
    device::LeaseEnd,
    id::{ContractId, DeviceId, Epoch},
    key::{Nonce, PublicKey},
    time::Time,
    wire::{
        Answer, Expect, HoldWhy, Message, OnlineKey, ServerSigned, Signed, Tombstone, VERSION, Verdict, sign,
    },
};
use ed25519_dalek::SigningKey;
use rand::{TryCryptoRng, TryRng};
use uuid::Uuid;

/// The device of every test.
pub const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0x0001_d0d0));

/// A root key and the online key it certifies.
#[derive(Clone)]
pub struct Signer {
    root: SigningKey,
    online: SigningKey,
    certificate: Signed,
}

impl Signer {
    pub fn new(seed: u8) -> Self {
        let (root, online) =
            (SigningKey::from_bytes(&[seed; 32]), SigningKey::from_bytes(&[seed ^ 0x80; 32]));
        let key = PublicKey(online.verifying_key().to_bytes());
        let certificate =
            sign(&OnlineKey { v: VERSION, key, era: 1, certified_at: Time::from_unix(0) }, &root);
        Self { root, online, certificate }
    }

    pub fn root(&self) -> PublicKey {
        PublicKey(self.root.verifying_key().to_bytes())
    }

    pub fn answer(&self, answer: &Answer) -> ServerSigned {
        self.say(answer)
    }

    pub fn say<T: Message>(&self, message: &T) -> ServerSigned {
        ServerSigned { certificate: self.certificate.clone(), message: sign(message, &self.online) }
    }

    pub fn tombstone(&self, epoch: Epoch) -> ServerSigned {
        let tombstone = Tombstone {
            v: VERSION,
            device: DEVICE,
            epoch,
            contract: ContractId::of(DEVICE, epoch),
            ended_at: Time::from_unix(1_800_000_000 + i64::from(epoch)),
            why: LeaseEnd::Expired,
        };
        ServerSigned { certificate: self.certificate.clone(), message: sign(&tombstone, &self.online) }
    }

    pub fn warrant(&self, epoch: Epoch) -> Warrant {
        Warrant::open(&self.tombstone(epoch), &self.root(), DEVICE).unwrap()
    }

    /// A verified answer as the decision table sees it, out of a text such as `run 5` or `silence`.
    pub fn heard(&self, text: &str, until: Option<Time>, tombstones: &[Epoch]) -> Heard {
        let (kind, epoch) = text.split_once(' ').unwrap_or((text, "0"));
        let epoch: Epoch = epoch.parse().unwrap();
        let verdict = match kind {
            "silence" => return Heard::Silence(Why::NotAsked),
            "run" => Verdict::Run {
                epoch,
                until,
                valid_for_s: 60,
                key_half: None,
                offline_resume: false,
                gateway: None,
            },
            "hold" => Verdict::Hold { epoch, why: HoldWhy::UnderReview },
            "end" => Verdict::End { tombstone: self.tombstone(epoch) },
            "vacant" => Verdict::Vacant { floor: epoch },
            "stranger" => Verdict::Stranger,
            "moved" => Verdict::Moved { owner_gen: 1 },
            other => panic!("no verdict {other}"),
        };
        let nonce = Nonce([9; 32]);
        let answer = Answer {
            v: VERSION,
            device: DEVICE,
            nonce,
            server_time: Time::from_unix(1_800_000_000),
            owner_gen: 0,
            seq: 1,
            next_poll_s: 60,
            verdict,
            tombstones: tombstones.iter().map(|epoch| self.tombstone(*epoch)).collect(),
        };
        let expect = Expect { root: self.root(), device: DEVICE, nonce, era: 0, seq: 0, epoch: 0 };
        Heard::Word(Word::open(&self.answer(&answer), &expect).unwrap())
    }
}

/// Dice that always fall the same: what is sealed with them can be recorded.
pub struct SameDice;

impl TryRng for SameDice {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for SameDice {}
