//! A data folder with enrolled and registered devices, made through the library.

use std::{path::Path, sync::Arc};

use api::{
    accounts,
    app::{App, DataDir},
    clock::Clock,
    config::Config,
    devices,
    roles::{Part, Roles},
    server::Server,
};
use domain::{
    account::Role,
    device::{Device as DeviceState, DeviceCommand},
    event::SystemPart,
    id::DeviceId,
    key::{Digest, PublicKey},
    offer::Hardware,
    wire::{Registration, SignedRegistration, VERSION, sign},
};
use ed25519_dalek::SigningKey;
use indicatif::ProgressBar;
use projections::private::Person;

use crate::Plan;

/// A device, from its own side.
#[derive(Debug)]
pub struct Known {
    /// Its id.
    pub id: DeviceId,
    /// Its enrolment key.
    pub enrolment: String,
    /// Its own key.
    pub key: SigningKey,
}

/// A data folder and whom it knows.
pub struct World {
    /// The devices.
    pub devices: Vec<Arc<Known>>,
    /// The root key that they pinned.
    pub root: PublicKey,
    folder: tempfile::TempDir,
}

impl World {
    /// Enrols and registers all devices; each holds a lease that nobody rents.
    pub async fn make(plan: &Plan) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Made in memory, where nothing waits for a disk, then put where the server will have it.
        let fast = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
        let fast = fast.expect("a folder");
        let mut config = Config::default();
        config.gateway.first_port = 1_024;
        config.gateway.last_port = u16::MAX;
        let data = DataDir::open(&fast.path().join("data")).expect("a data folder");
        let app = App::open(&data, config, Clock::System, |_| {}).await.expect("it opens");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        let server = Server::start(app.clone(), listener, &Roles::of(&[Part::Api, Part::Steward]))
            .await
            .expect("it starts");
        let by = app.by_system(SystemPart::Cli, None);
        let person = Person { name: "owner".into(), ..Person::default() };
        let owner = accounts::open(&app, person, vec![Role::Owner], &by).await.expect("an account");
        let bar = ProgressBar::new(plan.devices as u64);
        let mut devices = Vec::with_capacity(plan.devices);
        for number in 0..plan.devices {
            let by = app.by_system(SystemPart::Cli, None);
            let enrolled =
                devices::enrol(&app, owner, &format!("device {number}"), devices::Again::Refuse, &by)
                    .await
                    .expect("enrolled");
            let key = SigningKey::from_bytes(&Digest::of(&number.to_le_bytes()).0);
            let id = enrolled.device;
            devices::register(&app, id, registration(&key), &by).await.expect("registered");
            if plan.lost {
                let last_seen = app.clock.time();
                let give_up_at = last_seen.plus(86_400);
                let lost = DeviceCommand::ReportLost { epoch: 1, last_seen, give_up_at };
                app.executor.execute::<DeviceState>(&id, lost, &by).await.expect("given up");
            }
            devices.push(Arc::new(Known { id, enrolment: enrolled.key, key }));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let root = app.keys.root();
        server.stop().await.expect("it stops");
        let copied = std::process::Command::new("cp").arg("-a").args([data.path(), folder.path()]).status();
        assert!(copied.expect("cp").success());
        Self { devices, root, folder }
    }

    /// Where the data are.
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }
}

fn registration(key: &SigningKey) -> domain::wire::Verified<Registration> {
    let hardware = Hardware { memory_mib: 4_096, disk_mib: 65_536, cores: 4, ..Hardware::default() };
    let (device_key, config_hash) = (PublicKey(key.verifying_key().to_bytes()), Digest::of(b"config"));
    let registration = Registration { v: VERSION, device_key, config_hash, hardware };
    SignedRegistration(sign(&registration, key)).verify().expect("it was just signed")
}
