//! The power is cut at every operation of a device's life, and whatever had not reached the medium is lost or torn in
//! every telling way. After the reboot the device must come to rest in the right place.
//!
//! Safety: a running lease's data are there whenever its workload runs (S1), nothing of an ended one is (S2), what orders
//! answers never falls (S3), and an erasure that was begun ends in a receipt (S4). Liveness: the second lease runs after
//! few polls, whatever happened.

mod blocks;
mod disk;
mod server;
mod tree;

use std::{collections::HashSet, path::PathBuf, sync::Arc};

use agent::{
    config::Config,
    keyring::Keyring,
    record::{Held, Loaded, Record, Store},
    run::{Agent, Parts},
    tunnel::Tunnel,
    volume::{Volume, directory::Directory, luks::Luks},
    workload::Nothing,
};
use domain::wire::StepResult;
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use self::{
    disk::{Machine, Slots},
    server::{Lease, Server},
};

const LETTER: &str = "a letter of the first renter";
/// More polls than any life needs.
const POLLS_MAX: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Luks,
    /// A medium that takes no discard.
    PlainLuks,
}

/// When the first lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// After the renter wrote a letter.
    Used,
    /// As soon as it was granted, before anything was prepared.
    Granted,
    /// The owner erased it at the console first.
    Forsaken,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    kind: Kind,
    end: End,
    offline_resume: bool,
    /// The renter chooses otherwise before the lease ends.
    reconsider: bool,
}

/// One device and its server.
#[derive(Clone)]
struct Scene {
    life: Life,
    server: Server,
    /// Whether the letter is on the volume for good.
    written: bool,
    /// Whether the owner ever tried to erase it, and whether that was done.
    tried: bool,
    demanded: bool,
}

impl Scene {
    fn new(life: Life) -> Self {
        let machine = Machine::new();
        machine.state().blocks.plain = life.kind == Kind::PlainLuks;
        let server = Server::new(machine);
        server.books().offline_resume = life.offline_resume;
        Self { life, server, written: false, tried: false, demanded: false }
    }

    fn machine(&self) -> &Machine {
        &self.server.machine
    }

    fn data(&self) -> PathBuf {
        "/device/volume/data".into()
    }

    async fn boot(&self) -> Agent {
        let machine = self.machine().clone();
        let tree: Arc<dyn agent::tree::Tree> = Arc::new(machine.clone());
        let volume: Box<dyn Volume> = match self.life.kind {
            Kind::Directory => {
                Box::new(Directory::on(tree.clone(), "/device/volume".as_ref(), Uuid::from_u128(7)))
            }
            Kind::Luks | Kind::PlainLuks => {
                let blocks = Box::new(blocks::Device(machine.clone()));
                Box::new(Luks::new("/dev/stick".into(), "/device/mount".into(), blocks))
            }
        };
        Agent::assemble(Parts {
            config: config(&self.server),
            store: Store::over(Box::new(Slots(machine))),
            key: SigningKey::from_bytes(&[5; 32]),
            keyring: Keyring::new(tree, "/device/half".into()),
            volume,
            workload: Box::new(Nothing),
            uplink: Arc::new(self.server.clone()),
            boot_id: Uuid::from_u128(1),
            tunnel: Tunnel::new(SigningKey::from_bytes(&[5; 32]), None),
        })
        .await
    }

    fn shows_letter(&self) -> bool {
        let state = self.machine().state();
        match self.life.kind {
            Kind::Directory => state.tree.file(&self.data().join("letter")).is_some(),
            Kind::Luks | Kind::PlainLuks => state.blocks.shows(LETTER),
        }
    }

    fn write_letter(&mut self) {
        let mut state = self.machine().state();
        match self.life.kind {
            Kind::Directory => state.tree.put(&self.data().join("letter"), LETTER.as_bytes()),
            Kind::Luks | Kind::PlainLuks => state.blocks.put(LETTER),
        }
        drop(state);
        self.written = true;
    }

    fn record(&self) -> Loaded {
        Store::over(Box::new(Slots(self.machine().clone()))).load()
    }

    /// What the world does between two polls; whether the second lease runs.
    fn react(&mut self) -> bool {
        let (lease, last) = {
            let books = self.server.books();
            (books.lease, books.polls.last().map(|poll| poll.reported.clone()))
        };
        // What was reported before a reboot says nothing about a volume that is not open yet.
        let open = self.life.kind == Kind::Directory || self.machine().state().blocks.is_open();
        let runs = |epoch| open && last.as_ref().is_some_and(|r| r.running && r.epoch == epoch);
        match (lease, self.life.end) {
            (Lease::Running(1), End::Granted) => self.server.end(),
            (Lease::Running(1), End::Forsaken) if self.demanded => {
                let told = last.and_then(|r| r.conflict).is_some_and(|c| c.contains("owner erased"));
                if told {
                    self.server.end();
                }
            }
            (Lease::Running(1), _) if runs(1) && !self.written => self.write_letter(),
            (Lease::Running(1), _) if runs(1) => {
                assert!(self.tried || self.shows_letter(), "S1: a running lease's data are there");
                let mut books = self.server.books();
                if self.life.reconsider && books.offline_resume == self.life.offline_resume {
                    books.offline_resume = !self.life.offline_resume;
                    books.seq += 1;
                } else if self.life.end == End::Used {
                    drop(books);
                    self.server.end();
                }
            }
            (Lease::Running(2), _) if runs(2) => {
                assert!(!self.shows_letter(), "S2: nothing of an ended lease is seen");
                return true;
            }
            _ => {}
        }
        false
    }

    /// The owner's command at the console; the agent does not run meanwhile.
    async fn demand(&mut self) -> bool {
        let wanted = self.life.end == End::Forsaken && self.written && !self.demanded;
        if wanted {
            self.tried = true;
            // A demand that is cut off is repeated until it succeeds, as an owner would.
            self.demanded = self.boot().await.erase_on_demand().await.is_ok();
        }
        wanted
    }

    /// Lives until the second lease runs or the power fails; whether it runs.
    async fn live(&mut self) -> bool {
        let mut agent = self.boot().await;
        agent.start().await;
        for _ in 0..POLLS_MAX {
            if self.machine().is_cut() {
                return false;
            }
            if self.react() {
                return true;
            }
            if self.demand().await {
                agent = self.boot().await;
                agent.start().await;
            }
            agent.step().await;
        }
        let books = self.server.books();
        let polls: Vec<_> = books.polls.iter().rev().take(4).map(|p| p.reported.clone()).collect();
        panic!("not at rest after {POLLS_MAX} polls: {:?}, {polls:?}, {:?}", books.lease, self.record());
    }

    fn check_rest(&self) {
        let books = self.server.books();
        assert_eq!(books.receipts.iter().map(|r| r.epoch).collect::<Vec<_>>(), [1]);
        let receipt = &books.receipts[0];
        let last = receipt.steps.last().unwrap();
        // A record that was lost after the erasure finds nothing to erase, and says so.
        let right = [StepResult::Done, StepResult::NothingThere].contains(&last.result);
        assert!(last.step.starts_with("verify") && right, "{receipt:?}");
        let state = self.machine().state();
        for (path, bytes) in state.tree.all() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(LETTER) && !text.contains("lease-1"), "{} holds {text}", path.display());
        }
    }
}

fn config(server: &Server) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.json");
    let json =
        serde_json::json!({ "server": "http://127.0.0.1:9", "key": "key", "server_key": server.root() });
    std::fs::write(&path, json.to_string()).unwrap();
    Config::load(&path).unwrap()
}

/// What orders answers and owners, and never falls.
fn order(loaded: &Loaded) -> Option<(u32, u64, u32, i64)> {
    let of = |r: &Record| (r.era, r.seq, r.owner_gen, r.floor.unix());
    if let Loaded::Record(record) = loaded { Some(of(record)) } else { None }
}

/// What decides how a found machine goes on.
fn fingerprint(scene: &Scene) -> String {
    let loaded = match scene.record() {
        Loaded::Record(mut record) => {
            record.floor = server::NOW;
            serde_json::to_string(&record).unwrap()
        }
        other => format!("{other:?}"),
    };
    let state = scene.machine().state();
    format!("{loaded} {:?} {}", state.tree.all(), state.blocks.all())
}

async fn survives_a_cut_at_every_operation(life: Life) {
    let mut whole = Scene::new(life);
    assert!(whole.live().await);
    whole.check_rest();
    let operations = whole.machine().count();
    let (mut tried, mut changes) = (0, None);
    for at in 1..=operations {
        let mut scene = Scene::new(life);
        scene.machine().cut_at(Some(at));
        if scene.live().await {
            break;
        }
        // Memory is lost anyway: where nothing changed since the last cut, nothing else is found.
        let now = scene.machine().state().changes;
        if changes.replace(now) == Some(now) {
            continue;
        }
        let before = order(&scene.record_now());
        let mut seen = HashSet::new();
        for found in scene.machine().outcomes() {
            let rotten = [found.with_rot(0), found.with_rot(1)];
            for (rot, machine) in std::iter::once((false, found)).chain(rotten.map(|machine| (true, machine)))
            {
                let mut after = Scene { server: scene.server.fork(machine), ..scene.clone() };
                if !seen.insert(fingerprint(&after)) {
                    continue;
                }
                // Both slots lost and the label gone: only a human can tell what became of a rented lease.
                if after.tried && matches!(after.record(), Loaded::Unreadable(_)) {
                    continue;
                }
                let found = order(&after.record());
                if let (Some(found), Some(before), false) = (found, before, rot) {
                    assert!(found >= before, "S3: {found:?} after {before:?}, cut at {at}");
                }
                let erasing =
                    matches!(after.record(), Loaded::Record(r) if matches!(r.held, Held::Erasing { .. }));
                let receipts = after.server.books().receipts.len();
                assert!(after.live().await, "{life:?} cut at {at}");
                after.check_rest();
                assert!(!erasing || after.server.books().receipts.len() > receipts || receipts == 1, "S4");
                tried += 1;
            }
        }
    }
    eprintln!("{life:?}: {operations} operations, {tried} different ways to wake up");
    assert!(tried > operations);
}

impl Scene {
    /// What the record was certain to hold when the power failed.
    fn record_now(&self) -> Loaded {
        let machine = self.machine().outcomes().swap_remove(0);
        Store::over(Box::new(Slots(machine))).load()
    }
}

const USED: Life = Life { kind: Kind::Directory, end: End::Used, offline_resume: false, reconsider: false };

#[tokio::test]
async fn a_directory_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(USED).await;
}

#[tokio::test]
async fn a_directory_whose_lease_ended_unheard_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(Life { end: End::Granted, ..USED }).await;
}

#[tokio::test]
async fn a_directory_that_its_owner_erases_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(Life { end: End::Forsaken, ..USED }).await;
}

#[tokio::test]
async fn a_luks_volume_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(Life { kind: Kind::Luks, ..USED }).await;
}

#[tokio::test]
async fn a_luks_volume_on_a_medium_without_discard_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(Life { kind: Kind::PlainLuks, ..USED }).await;
}

#[tokio::test]
async fn a_luks_volume_that_may_resume_offline_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(Life { kind: Kind::Luks, offline_resume: true, ..USED }).await;
}

#[tokio::test]
async fn a_luks_volume_whose_renter_reconsiders_survives_a_power_cut_at_any_operation() {
    let allowed = Life { kind: Kind::Luks, offline_resume: true, reconsider: true, ..USED };
    survives_a_cut_at_every_operation(allowed).await;
    survives_a_cut_at_every_operation(Life { offline_resume: false, ..allowed }).await;
}

#[tokio::test]
async fn a_luks_volume_whose_lease_ended_unheard_survives_a_power_cut_at_any_operation() {
    survives_a_cut_at_every_operation(Life { kind: Kind::Luks, end: End::Granted, ..USED }).await;
}
