//! A server that was restored from a backup, as its devices see it.

use std::{fs, path::Path};

use api::{clock::Clock, config::Config, keys::Keys};
use domain::wire::{Expect, ServerSigned, WireError};

use crate::{
    app::TestApp,
    world::{Device, offer},
};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What the server says now, opened by a device that has heard `heard`, an era and a sequence number, before.
async fn hear(test: &TestApp, device: &Device, heard: (u32, u64)) -> Result<(u32, u64), WireError> {
    let poll = device.poll();
    let answer = test.post("/v1/device/poll", &device.key, &device.sign(&poll)).await.ok();
    let answer: ServerSigned = serde_json::from_value(answer).unwrap();
    let expect = Expect {
        root: test.app.keys.root(),
        device: device.id.parse().unwrap(),
        nonce: poll.nonce,
        era: heard.0,
        seq: heard.1,
        epoch: 1,
    };
    answer.verify_answer(&expect).map(|(online, answer)| (online.era, answer.get().seq))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_is_believed_once_it_opens_a_new_era() {
    let mut test = TestApp::in_folder(Config::default(), TestApp::clock_at_start()).await;
    let owner = test.account(&["owner"], None).await;
    let device = test.enrol(&owner).await;
    test.register(&device).await.ok();
    let (backup, data) = (tempfile::tempdir().unwrap(), test.data().path().to_owned());
    test.stop().await;
    copy(&data, backup.path());
    test.restart().await;
    test.put(&format!("/v1/devices/{}/offer", device.id), &owner.token, &offer()).await.ok();
    let heard = hear(&test, &device, (1, 0)).await.unwrap();

    test.stop().await;
    fs::remove_dir_all(&data).unwrap();
    copy(backup.path(), &data);
    test.restart().await;
    let refused = hear(&test, &device, heard).await;
    assert_eq!(refused, Err(WireError::Foreign("older than what was heard before")));

    test.stop().await;
    Keys::renew(&test.data().keys(), None, None, Clock::System.time()).unwrap();
    test.restart().await;
    let (era, seq) = hear(&test, &device, heard).await.unwrap();
    assert!(era == 2 && seq < heard.1, "{era} {seq}");
    // From now on the device holds the server to that era.
    assert_eq!(hear(&test, &device, (era, seq)).await, Ok((era, seq)));
    assert!(hear(&test, &device, (era + 1, 0)).await.is_err());
}
