//! LUKS for real: `cryptsetup` on a file, where the kernel can; else in a virtual machine whose kernel can.

use std::{fs, os::unix::fs::FileExt, path::PathBuf, process::Command};

use agent::{
    decide::Label,
    keyring::VolumeKey,
    volume::{
        Job, Owner, Volume, VolumeError,
        luks::{Luks, System, header},
    },
};
use domain::{
    id::Epoch,
    key::PublicKey,
    wire::{KeyHalf, StepResult},
};
use serde_json::json;

use crate::kit::{
    agent::Device,
    machine,
    server::{FakeServer, KEY},
    signer::DEVICE,
    skip::skip,
};

/// What runs inside the virtual machine where it cannot run here.
const REAL: [&str; 4] = [
    "real_volume_is_prepared_sealed_opened_and_erased",
    "real_volume_of_somebody_else_is_refused",
    "real_volume_whose_formatting_was_cut_off_is_formatted_anew",
    "real_device_resumes_with_the_servers_half_and_erases_for_good",
];
const SIZE: u64 = 160 << 20;
const LETTER: &str = "a letter that nobody else may ever read";

/// Whether this kernel can, as this user.
fn can() -> bool {
    // The name may be there without a kernel behind it.
    fs::File::options().read(true).write(true).open("/dev/mapper/control").is_ok()
}

/// A file that stands for a partition, and its volume.
struct Medium {
    directory: tempfile::TempDir,
    name: String,
}

impl Medium {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::File::create(directory.path().join("medium")).unwrap().set_len(SIZE).unwrap();
        Self { directory, name: format!("berth-test-{name}-{}", std::process::id()) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("medium")
    }

    fn volume(&self) -> Luks {
        let system = System::new(self.path(), self.name.clone());
        Luks::new(self.path(), self.directory.path().join("mount"), Box::new(system))
    }

    fn contains(&self, text: &str) -> bool {
        let bytes = fs::read(self.path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        // A test that failed may have left it open.
        let _ = self.volume().close();
    }
}

fn key(n: u8) -> VolumeKey {
    VolumeKey::derive(&KeyHalf::new([n; 32]), &KeyHalf::new([n + 1; 32]), DEVICE, 1)
}

fn owner(epoch: Epoch) -> Owner {
    Owner { device: DEVICE, epoch, server: "http://127.0.0.1".into(), root: PublicKey([1; 32]) }
}

#[test]
fn real_volume_is_prepared_sealed_opened_and_erased() {
    if !can() {
        return;
    }
    let medium = Medium::new("life");
    let mut volume = medium.volume();
    assert_eq!((volume.label(), volume.problems()), (Label::Absent, Vec::new()));
    volume.prepare(&owner(1), Some(&key(1))).unwrap();
    assert!(volume.is_open());
    fs::write(volume.data().join("letter"), LETTER).unwrap();
    volume.prepare(&owner(1), Some(&key(1))).unwrap();
    assert_eq!(
        fs::read_to_string(volume.data().join("letter")).unwrap(),
        LETTER,
        "preparing twice is preparing once"
    );
    assert!(matches!(volume.prepare(&owner(2), Some(&key(2))), Err(VolumeError::Fenced { epoch: 2, .. })));

    volume.close().unwrap();
    assert!(!volume.is_open() && !volume.data().exists());
    assert!(!medium.contains(LETTER), "what lies there is noise");
    let mut volume = medium.volume();
    assert_eq!((volume.label(), volume.owner()), (Label::Epoch(1), Ok(Some(owner(1)))));
    assert!(matches!(volume.open(DEVICE, 1, None), Err(VolumeError::NoKey(1))));
    assert!(volume.open(DEVICE, 1, Some(&key(2))).is_err(), "another key opens nothing");
    volume.open(DEVICE, 1, Some(&key(1))).unwrap();
    assert_eq!(fs::read_to_string(volume.data().join("letter")).unwrap(), LETTER);

    let (evidence, right) = (volume.evidence(), key(1));
    let job = Job { device: DEVICE, epoch: 1, evidence: evidence.as_ref(), key: Some(&right), again: false };
    assert!(
        matches!(volume.erase(4, &job), Err(VolumeError::NotErased { .. })),
        "an open volume is not erased"
    );
    for step in 0..volume.steps().len() - 1 {
        let first = volume.erase(step, &job).unwrap();
        let again = volume.erase(step, &job).unwrap();
        eprintln!("{}: {first:?}, then {again:?}", volume.steps()[step]);
    }
    assert_eq!(volume.erase(4, &job).unwrap().0, StepResult::Done);
    assert_eq!(volume.label(), Label::Absent);
    assert!(volume.open(DEVICE, 1, Some(&key(1))).is_err());
    volume.prepare(&owner(2), Some(&key(2))).unwrap();
    assert!(!volume.data().join("letter").exists());
    volume.close().unwrap();
}

#[test]
fn real_volume_of_somebody_else_is_refused() {
    if !can() {
        return;
    }
    let medium = Medium::new("foreign");
    assert!(Command::new("mkfs.ext4").arg("-q").arg(medium.path()).status().unwrap().success());
    let error = medium.volume().prepare(&owner(1), Some(&key(1))).unwrap_err().to_string();
    assert!(error.contains("ext4") && error.contains("choose another"), "{error}");
    assert_eq!(medium.volume().problems().len(), 1);
}

#[test]
fn real_volume_whose_formatting_was_cut_off_is_formatted_anew() {
    if !can() {
        return;
    }
    let medium = Medium::new("torn");
    let format = |label: &str| {
        let key_file = medium.directory.path().join("key");
        fs::write(&key_file, key(1).reveal()).unwrap();
        let fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--luks2-metadata-size", "16k"];
        let mut command = Command::new("cryptsetup");
        command.args(["luksFormat", "--batch-mode", "--type", "luks2", "--label", label]).args(fast);
        assert!(command.arg("--key-file").arg(&key_file).arg(medium.path()).status().unwrap().success());
    };
    format(&header::label(1));
    assert_eq!(medium.volume().label(), Label::Epoch(1));
    assert!(
        matches!(medium.volume().open(DEVICE, 1, Some(&key(1))), Err(VolumeError::Fenced { .. })),
        "it holds no files yet"
    );
    // The second copy of the header had not reached the medium.
    let file = fs::OpenOptions::new().write(true).open(medium.path()).unwrap();
    file.write_all_at(&[0; 0x4000], 0x4000).unwrap();
    assert_eq!(medium.volume().label(), Label::Epoch(1));
    file.write_all_at(&[0xff; 8], 0x3000).unwrap();
    assert_eq!(medium.volume().label(), Label::Absent);
    let mut volume = medium.volume();
    volume.prepare(&owner(1), Some(&key(1))).unwrap();
    assert!(volume.is_open());
    volume.close().unwrap();
    format("somebody's");
    assert_eq!(medium.volume().label(), Label::Unreadable);
    assert!(matches!(medium.volume().prepare(&owner(1), Some(&key(1))), Err(VolumeError::Fenced { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn real_device_resumes_with_the_servers_half_and_erases_for_good() {
    if !can() {
        return;
    }
    let server = FakeServer::start(1).await;
    server.world().halves = true;
    let mut device = Device::new(&server);
    let medium = Medium::new("device");
    device.configure(&json!({
        "server": server.url, "key": KEY, "volume": { "kind": "luks", "path": medium.path() }
    }));
    let data = device.record().with_file_name("mount").join("data");
    device.start();
    server.until_running(1).await;
    fs::write(data.join("letter"), LETTER).unwrap();

    // The agent dies and comes back while the volume stays open.
    device.restart();
    server.until_polled(2).await;
    server.until_running(1).await;
    assert_eq!(fs::read_to_string(data.join("letter")).unwrap(), LETTER);

    // Told to stop, it leaves the volume to its workload; after a reboot nothing is open.
    device.kill();
    close_all();
    assert!(!data.exists() && !medium.contains(LETTER));
    server.world().halves = false;
    device.start();
    server
        .until("locked", |world| {
            world.polls.last().is_some_and(|p| !p.reported.running && p.reported.conflict.is_some())
        })
        .await;
    assert!(!data.exists(), "without the server's half it stays locked");
    server.world().halves = true;
    device.restart();
    server.until_running(1).await;
    assert_eq!(fs::read_to_string(data.join("letter")).unwrap(), LETTER);

    server.end();
    server.until_running(2).await;
    assert!(data.is_dir() && !data.join("letter").exists());
    let receipt = server.world().receipts[0].clone();
    assert_eq!(receipt.volume, "luks");
    let steps: Vec<_> = receipt.steps.iter().map(|s| s.step.as_str()).collect();
    assert_eq!(
        steps,
        [
            "stop workload",
            "destroy device half",
            "close volume",
            "erase key slots",
            "discard blocks",
            "overwrite ends",
            "verify erased"
        ]
    );
    assert!(receipt.steps.iter().all(|s| s.detail.len() > 5));
    eprintln!("{receipt:#?}");
    device.kill();
    close_all();
}

/// What a reboot does to mounts and mappings.
fn close_all() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for line in mounts.lines().filter(|line| line.contains("agent-data/mount")) {
        let at = line.split(' ').nth(1).unwrap();
        assert!(Command::new("umount").arg(at).status().unwrap().success());
    }
    for entry in fs::read_dir("/dev/mapper").unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        let name = name.to_str().unwrap();
        // The names that agents give, not those of the other tests here.
        if name
            .strip_prefix("berth-")
            .is_some_and(|rest| rest.len() == 12 && rest.chars().all(|c| c.is_ascii_hexdigit()))
        {
            assert!(Command::new("cryptsetup").args(["close", name]).status().unwrap().success());
        }
    }
}

#[test]
fn luks_works_here_or_in_a_virtual_machine() {
    if can() {
        return;
    }
    let said = match machine::run_tests("luks::real_") {
        Ok(said) => said,
        Err(why) => {
            let why = format!("this kernel has no device mapper, or not for this user, and {why}");
            REAL.iter().chain(&["luks_works_here_or_in_a_virtual_machine"]).for_each(|name| skip(name, &why));
            return;
        }
    };
    println!("{said}");
    assert!(said.contains("the tests inside ended with 0") && said.contains("4 passed; 0 failed"), "{said}");
}
