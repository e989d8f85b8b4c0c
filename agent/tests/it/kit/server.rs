//! A server with one device, honest unless told otherwise.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{
    id::{Epoch, GatewayName, Subdomain},
    key::{PublicKey, SealedHalf},
    time::{Seconds, Time},
    wire::{
        Answer, GatewayAddress, Grant, KeyHalf, PollRequest, ProvenGrant, Receipt, ServerSigned, SignedPoll,
        SignedReceipt, SignedRegistration, VERSION, Verdict,
    },
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;

use super::signer::{DEVICE, SameDice, Signer};

/// The enrolment key of every test.
pub const KEY: &str = "enrolment-key-of-the-tests";

/// What the server holds for its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    None,
    Running(Epoch),
    Ended(Epoch),
}

/// How a poll is answered.
#[derive(Clone)]
pub enum Mood {
    Honest,
    Status(u16),
    Body(Vec<u8>),
    /// Every answer is made by this, out of the question.
    Forge(Arc<dyn Fn(&PollRequest) -> ServerSigned + Send + Sync>),
    /// The connection hangs.
    Hang,
}

/// A place where something may happen while a call is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    PollAsked,
    PollAnswered,
    RegisterAsked,
    RegisterGranted,
    ReceiptAsked,
    ReceiptTaken,
}

type Hook = Box<dyn FnMut(Moment, &World) + Send>;

/// Everything the server knows.
pub struct World {
    pub signer: Signer,
    pub lease: Lease,
    pub floor: Epoch,
    pub seq: u64,
    pub until: Option<Time>,
    pub valid_for_s: Seconds,
    pub device_key: Option<PublicKey>,
    /// Whether `Run` carries the server's half of the volume key.
    pub halves: bool,
    pub mood: Mood,
    pub polls: Vec<PollRequest>,
    pub receipts: Vec<Receipt>,
    pub registrations: usize,
    pub answers: Vec<String>,
    /// Where tunnels end.
    pub gateway: Option<GatewayAddress>,
    /// The leased port.
    pub port: u16,
}

/// The server.
#[derive(Clone)]
pub struct FakeServer {
    pub url: String,
    world: Arc<Mutex<World>>,
    hook: Arc<Mutex<Option<Hook>>>,
    news: Arc<Notify>,
}

/// The time of every answer.
pub const NOW: Time = Time::from_unix(1_800_000_000);

impl FakeServer {
    pub async fn start(seed: u8) -> Self {
        let world = World {
            signer: Signer::new(seed),
            lease: Lease::None,
            floor: 0,
            seq: 1,
            until: Some(NOW.plus(86_400)),
            valid_for_s: 600,
            device_key: None,
            halves: false,
            mood: Mood::Honest,
            polls: Vec::new(),
            receipts: Vec::new(),
            registrations: 0,
            answers: Vec::new(),
            gateway: None,
            port: 20_000,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self {
            url,
            world: Arc::new(Mutex::new(world)),
            hook: Arc::new(Mutex::new(None)),
            news: Arc::new(Notify::new()),
        };
        let router = Router::new()
            .route("/readyz", get(|| async { "ready" }))
            .route("/v1/server-key", get(server_key))
            .route("/v1/device/events", get(feed))
            .route("/v1/device/poll", post(poll))
            .route("/v1/device/register", post(register))
            .route("/v1/device/erasures", post(erased))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Changes something and tells those who wait.
    pub fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        world.seq += 1;
        let done = change(&mut world);
        drop(world);
        self.news.notify_waiters();
        done
    }

    /// Ends the running lease.
    pub fn end(&self) -> Epoch {
        self.change(|world| {
            let Lease::Running(epoch) = world.lease else { panic!("no lease runs: {:?}", world.lease) };
            world.lease = Lease::Ended(epoch);
            epoch
        })
    }

    pub fn on_moment(&self, hook: impl FnMut(Moment, &World) + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    fn at(&self, moment: Moment) {
        if let Some(hook) = self.hook.lock().unwrap().as_mut() {
            hook(moment, &self.world());
        }
    }

    /// Waits until something holds; panics after 30 s, or what `BERTH_TEST_PATIENCE_S` says where all is slow.
    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let start = Instant::now();
        let patience = std::env::var("BERTH_TEST_PATIENCE_S").ok().and_then(|s| s.parse().ok()).unwrap_or(30);
        while !holds(&self.world()) {
            if start.elapsed() >= Duration::from_secs(patience) {
                let world = self.world();
                let last = world.polls.last().map(|poll| poll.reported.clone());
                panic!(
                    "not within {patience} s: {what}; lease {:?}, {} polls, last {last:?}",
                    world.lease,
                    world.polls.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the device reports that it runs a lease.
    pub async fn until_running(&self, epoch: Epoch) {
        self.until(&format!("lease {epoch} runs"), |world| {
            let running = |p: &PollRequest| p.reported.running && p.reported.epoch == epoch;
            world.polls.last().is_some_and(running)
        })
        .await;
    }

    /// Waits until `count` more polls came.
    pub async fn until_polled(&self, count: usize) {
        let before = self.world().polls.len();
        self.until("polled", |world| world.polls.len() >= before + count).await;
    }
}

impl World {
    pub fn answer(&self, poll: &PollRequest, verdict: Verdict) -> Answer {
        Answer {
            v: VERSION,
            device: DEVICE,
            nonce: poll.nonce,
            server_time: NOW,
            owner_gen: 0,
            seq: self.seq,
            next_poll_s: 1,
            verdict,
            tombstones: Vec::new(),
        }
    }

    fn half(&self, poll: &PollRequest, epoch: Epoch) -> Option<SealedHalf> {
        let half = KeyHalf::new([u8::try_from(epoch).unwrap(); 32]);
        self.halves.then(|| half.seal(&poll.device_key, DEVICE, epoch, &mut SameDice).unwrap())
    }

    fn verdict(&self, poll: &PollRequest) -> Verdict {
        let known = self.device_key == Some(poll.device_key);
        match self.lease {
            _ if !known => Verdict::Stranger,
            Lease::None => Verdict::Vacant { floor: self.floor },
            Lease::Running(epoch) => Verdict::Run {
                epoch,
                until: self.until,
                valid_for_s: self.valid_for_s,
                key_half: self.half(poll, epoch),
                offline_resume: false,
                gateway: self.gateway.clone(),
            },
            Lease::Ended(epoch) => Verdict::End { tombstone: self.signer.tombstone(epoch) },
        }
    }
}

fn authorised(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value.as_bytes() == format!("Bearer {KEY}").as_bytes())
}

fn refuse(status: StatusCode, title: &str) -> Response {
    (status, Json(json!({ "title": title }))).into_response()
}

async fn feed(headers: HeaderMap) -> Response {
    if !authorised(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "no such enrolment key");
    }
    Json(json!({ "items": [], "next": null })).into_response()
}

async fn server_key(State(server): State<FakeServer>) -> Response {
    let key = server.world().signer.root();
    Json(json!({ "server_key": key })).into_response()
}

async fn poll(
    State(server): State<FakeServer>,
    headers: HeaderMap,
    Json(poll): Json<SignedPoll>,
) -> Response {
    let poll = poll.verify().unwrap().into_inner();
    if !authorised(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "no such enrolment key");
    }
    server.world().polls.push(poll.clone());
    server.at(Moment::PollAsked);
    let mood = server.world().mood.clone();
    match mood {
        Mood::Honest => {}
        Mood::Status(status) => return refuse(StatusCode::from_u16(status).unwrap(), "out of order"),
        Mood::Body(body) => return body.into_response(),
        Mood::Forge(forge) => return Json(forge(&poll)).into_response(),
        Mood::Hang => std::future::pending().await,
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(u64::from(poll.wait_s.min(30)));
    loop {
        let news = server.news.notified();
        if poll.wait_s == 0 || server.world().seq > poll.seen_seq {
            break;
        }
        if tokio::time::timeout_at(end, news).await.is_err() {
            break;
        }
    }
    let answer = {
        let mut world = server.world();
        let answer = world.signer.answer(&world.answer(&poll, world.verdict(&poll)));
        world.answers.push(serde_json::to_string(&answer).unwrap());
        answer
    };
    server.at(Moment::PollAnswered);
    Json(answer).into_response()
}

async fn register(State(server): State<FakeServer>, headers: HeaderMap, body: Bytes) -> Response {
    if !authorised(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "no such enrolment key");
    }
    let request: SignedRegistration = serde_json::from_slice(&body).unwrap();
    let registration = request.verify().unwrap().into_inner();
    server.at(Moment::RegisterAsked);
    let epoch = {
        let mut world = server.world();
        let epoch = match world.lease {
            Lease::Ended(_) => return refuse(StatusCode::CONFLICT, "the previous lease is not erased"),
            Lease::Running(epoch) if world.device_key == Some(registration.device_key) => epoch,
            Lease::Running(_) => return refuse(StatusCode::CONFLICT, "another device key holds the lease"),
            Lease::None => {
                world.registrations += 1;
                world.floor + 1
            }
        };
        world.lease = Lease::Running(epoch);
        world.device_key = Some(registration.device_key);
        world.seq += 1;
        epoch
    };
    server.at(Moment::RegisterGranted);
    let (signer, port) = {
        let world = server.world();
        (world.signer.clone(), world.port)
    };
    let server_key = signer.root();
    let grant = Grant {
        device: DEVICE,
        server_key,
        epoch,
        gateway: GatewayName::new("local").unwrap(),
        host: "gateway.test".into(),
        port,
        subdomain: Subdomain::of(DEVICE, epoch),
        user: "renter".into(),
        password: format!("secret-of-lease-{epoch}"),
    };
    let proof = signer.say(&request.proof(&grant));
    Json(ProvenGrant { grant, proof }).into_response()
}

#[derive(Deserialize)]
struct Erasure {
    receipt: SignedReceipt,
}

async fn erased(State(server): State<FakeServer>, Json(erasure): Json<Erasure>) -> Response {
    server.at(Moment::ReceiptAsked);
    {
        let mut world = server.world();
        let receipt = erasure.receipt.verify(&world.device_key.unwrap(), DEVICE).unwrap().into_inner();
        if world.lease == Lease::Ended(receipt.epoch) {
            world.lease = Lease::None;
            world.floor = receipt.epoch;
            world.seq += 1;
            world.receipts.push(receipt);
        } else {
            assert_eq!(world.receipts.last(), Some(&receipt), "a receipt is repeated unchanged");
        }
    }
    server.at(Moment::ReceiptTaken);
    StatusCode::NO_CONTENT.into_response()
}
