//! An honest server that a machine reaches as long as it has power.

use std::sync::{Arc, Mutex, MutexGuard};

use agent::{
    heard::{Why, Word},
    record::Record,
    server::{Question, Silent, Uplink},
};
use async_trait::async_trait;
use domain::{
    id::{DeviceId, Epoch, GatewayName, Subdomain},
    key::PublicKey,
    time::Time,
    wire::{
        Answer, Expect, Grant, KeyHalf, PollRequest, Receipt, ServerSigned, SignedCheckIn, SignedReceipt,
        SignedRegistration, VERSION, Verdict,
    },
};

use super::disk::Machine;
use crate::kit::signer::{DEVICE, SameDice, Signer};

/// What the server holds for its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    None,
    Running(Epoch),
    Ended(Epoch),
}

/// Everything the server knows.
#[derive(Clone)]
pub struct Books {
    pub lease: Lease,
    pub floor: Epoch,
    pub device_key: Option<PublicKey>,
    pub receipts: Vec<Receipt>,
    pub polls: Vec<PollRequest>,
    pub seq: u64,
    /// The renter lets the device keep the key half.
    pub offline_resume: bool,
    /// The server's halves; gone once the receipt is there.
    pub halves: Vec<(Epoch, KeyHalf)>,
}

impl Books {
    fn ran(&self, epoch: Epoch) -> bool {
        self.polls.iter().any(|poll| poll.reported.running && poll.reported.epoch == epoch)
    }
}

/// The server, seen from one machine.
#[derive(Clone)]
pub struct Server {
    pub machine: Machine,
    signer: Signer,
    books: Arc<Mutex<Books>>,
}

/// The server's time never moves.
pub const NOW: Time = Time::from_unix(1_800_000_000);

impl Server {
    pub fn new(machine: Machine) -> Self {
        let books = Books {
            lease: Lease::None,
            floor: 0,
            device_key: None,
            receipts: Vec::new(),
            polls: Vec::new(),
            seq: 1,
            offline_resume: false,
            halves: Vec::new(),
        };
        Self { machine, signer: Signer::new(1), books: Arc::new(Mutex::new(books)) }
    }

    /// The same server for another machine, as it stands now.
    pub fn fork(&self, machine: Machine) -> Self {
        let books = Arc::new(Mutex::new(self.books().clone()));
        Self { machine, signer: self.signer.clone(), books }
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub fn root(&self) -> PublicKey {
        self.signer.root()
    }

    pub fn end(&self) {
        let mut books = self.books();
        let Lease::Running(epoch) = books.lease else { panic!("no lease runs") };
        (books.lease, books.seq) = (Lease::Ended(epoch), books.seq + 1);
    }

    /// A question that may be lost on its way, and whose answer may be.
    fn asked<T>(&self, answer: impl FnOnce(&mut Books) -> Result<T, Silent>) -> Result<T, Silent> {
        let lost = |_| Silent::from(Why::Unreachable("the power is off".into()));
        self.machine.op(|_| Ok(())).map_err(lost)?;
        let answered = answer(&mut self.books());
        self.machine.state().changes += 1;
        self.machine.op(|_| Ok(())).map_err(lost)?;
        answered
    }

    fn verdict(&self, books: &Books, poll: &PollRequest) -> Verdict {
        match books.lease {
            _ if books.device_key != Some(poll.device_key) => Verdict::Stranger,
            Lease::None => Verdict::Vacant { floor: books.floor },
            // It has nothing, and nothing of the lease was ever on it: it may begin again.
            Lease::Running(epoch) if poll.reported.epoch == 0 && !books.ran(epoch) => {
                Verdict::Vacant { floor: epoch - 1 }
            }
            Lease::Running(epoch) => {
                let half = books.halves.iter().find(|(of, _)| *of == epoch).map(|(_, half)| half);
                let key_half =
                    half.and_then(|half| half.seal(&poll.device_key, DEVICE, epoch, &mut SameDice));
                let until = Some(NOW.plus(86_400));
                Verdict::Run {
                    epoch,
                    until,
                    valid_for_s: 600,
                    key_half,
                    offline_resume: books.offline_resume,
                    gateway: None,
                }
            }
            Lease::Ended(epoch) => Verdict::End { tombstone: self.signer.tombstone(epoch) },
        }
    }
}

fn refused(status: u16) -> Silent {
    Why::Refused { status, detail: None }.into()
}

#[async_trait]
impl Uplink for Server {
    async fn root_key(&self, _: &str) -> Result<PublicKey, Silent> {
        self.asked(|_| Ok(self.signer.root()))
    }

    async fn poll(
        &self,
        record: &Record,
        root: PublicKey,
        _: Option<DeviceId>,
        question: &Question,
    ) -> Result<Word, Silent> {
        let request = question.signed.verify().unwrap().into_inner();
        let answer: ServerSigned = self.asked(|books| {
            books.polls.push(request.clone());
            Ok(self.signer.answer(&Answer {
                v: VERSION,
                device: DEVICE,
                nonce: request.nonce,
                server_time: NOW,
                owner_gen: 0,
                seq: books.seq,
                next_poll_s: 1,
                verdict: self.verdict(books, &request),
                tombstones: Vec::new(),
            }))
        })?;
        let (nonce, epoch) = (request.nonce, record.epoch());
        let expect = Expect { root, device: DEVICE, nonce, era: record.era, seq: record.seq, epoch };
        Ok(Word::open(&answer, &expect).expect("an honest answer is believed"))
    }

    async fn register(&self, _: &str, _: PublicKey, request: &SignedRegistration) -> Result<Grant, Silent> {
        let registration = request.verify().unwrap().into_inner();
        self.asked(|books| {
            let epoch = match books.lease {
                Lease::Ended(_) => return Err(refused(409)),
                Lease::Running(epoch) if books.device_key == Some(registration.device_key) => epoch,
                Lease::Running(_) => return Err(refused(409)),
                Lease::None => books.floor + 1,
            };
            if books.lease == Lease::None {
                let half = KeyHalf::new([u8::try_from(epoch).unwrap(); 32]);
                books.halves.push((epoch, half));
                books.seq += 1;
            }
            (books.lease, books.device_key) = (Lease::Running(epoch), Some(registration.device_key));
            Ok(Grant {
                device: DEVICE,
                server_key: self.signer.root(),
                epoch,
                gateway: GatewayName::new("local").unwrap(),
                host: "gateway.test".into(),
                port: 20_000,
                subdomain: Subdomain::of(DEVICE, epoch),
                user: "renter".into(),
                password: format!("secret-of-lease-{epoch}"),
            })
        })
    }

    async fn erased(&self, _: &str, receipt: &SignedReceipt) -> Result<(), Silent> {
        self.asked(|books| {
            let key = books.device_key.ok_or_else(|| refused(409))?;
            let receipt = receipt.verify(&key, DEVICE).unwrap().into_inner();
            assert_eq!(receipt.tombstone, self.signer.warrant(receipt.epoch).digest());
            match books.lease {
                Lease::Ended(epoch) if epoch == receipt.epoch => {
                    (books.lease, books.floor, books.seq) = (Lease::None, epoch, books.seq + 1);
                    books.halves.retain(|(of, _)| *of != epoch);
                    books.receipts.push(receipt);
                    Ok(())
                }
                _ if receipt.epoch <= books.floor => Ok(()),
                _ => Err(refused(409)),
            }
        })
    }

    async fn check_in(&self, _: &str, check_in: &SignedCheckIn) -> Result<(), Silent> {
        check_in.verify().unwrap();
        self.asked(|_| Ok(()))
    }

    async fn bandwidth(&self, _: &str) -> Option<u64> {
        None
    }
}
