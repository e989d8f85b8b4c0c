use std::{fs, os::unix::fs::PermissionsExt};

use domain::key::PublicKey;

use super::*;

fn owner(epoch: Epoch) -> Owner {
    let device = DeviceId(Uuid::from_u128(1));
    Owner { device, epoch, server: "http://127.0.0.1".into(), root: PublicKey([1; 32]) }
}

fn job(epoch: Epoch) -> Job<'static> {
    Job { device: DeviceId(Uuid::from_u128(1)), epoch, evidence: None, key: None, again: false }
}

fn volume() -> (tempfile::TempDir, Directory) {
    let directory = tempfile::tempdir().unwrap();
    let volume = Directory::new(&directory.path().join("volume"), Uuid::from_u128(9));
    (directory, volume)
}

#[test]
fn preparing_twice_touches_no_file() {
    let (_directory, mut volume) = volume();
    volume.prepare(&owner(1), None).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    volume.prepare(&owner(1), None).unwrap();
    assert_eq!(fs::read_to_string(volume.data().join("letter")).unwrap(), "hello");
    assert_eq!(volume.owner(), Ok(Some(owner(1))));
}

#[test]
fn no_call_in_the_name_of_another_lease_changes_anything() {
    let (_directory, mut volume) = volume();
    volume.prepare(&owner(1), None).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    assert!(matches!(volume.prepare(&owner(2), None), Err(VolumeError::Fenced { epoch: 2, .. })));
    assert!(matches!(volume.erase(0, &job(2)), Err(VolumeError::Fenced { .. })));
    assert!(matches!(volume.erase(1, &job(2)), Err(VolumeError::Fenced { .. })));
    assert!(volume.data().join("letter").exists());
    fs::write(volume.path.join(LABEL_FILE), "scribble").unwrap();
    assert_eq!(volume.label(), Label::Unreadable);
    assert!(matches!(volume.erase(0, &job(1)), Err(VolumeError::Fenced { .. })));
    assert!(volume.data().join("letter").exists());
}

#[test]
fn a_directory_with_files_of_somebody_else_is_refused() {
    let (directory, mut volume) = volume();
    fs::create_dir_all(directory.path().join("volume/lost+found")).unwrap();
    volume.prepare(&owner(1), None).unwrap();
    volume.erase(0, &job(1)).unwrap();
    volume.erase(1, &job(1)).unwrap();
    fs::write(directory.path().join("volume/photo"), "mine").unwrap();
    assert!(matches!(volume.prepare(&owner(2), None), Err(VolumeError::Occupied { .. })));
    assert_eq!(volume.label(), Label::Absent);
}

#[test]
fn the_label_goes_last() {
    let (_directory, mut volume) = volume();
    volume.prepare(&owner(1), None).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    assert!(matches!(volume.erase(1, &job(1)), Err(VolumeError::Occupied { .. })));
    let removed = volume.erase(0, &job(1)).unwrap();
    assert_eq!(removed, (Done, "removed 1 files with 5 bytes and 1 directories".into()));
    assert!(matches!(volume.erase(3, &job(1)), Err(VolumeError::NotErased { epoch: 1, .. })));
    assert_eq!(volume.erase(1, &job(1)).unwrap().0, Done);
    assert_eq!(volume.erase(1, &job(1)).unwrap().0, NothingThere);
    let evidence = volume.evidence();
    assert_eq!(volume.erase(3, &Job { evidence: evidence.as_ref(), ..job(1) }).unwrap().0, Done);
}

#[test]
fn neither_depth_nor_permissions_nor_links_keep_files_from_being_removed() {
    let (directory, mut volume) = volume();
    volume.prepare(&owner(1), None).unwrap();
    let outside = directory.path().join("outside");
    fs::write(&outside, "stays").unwrap();
    std::os::unix::fs::symlink(directory.path(), volume.data().join("link")).unwrap();
    let mut deep = volume.data();
    for _ in 0..12 {
        // Paths longer than the kernel takes come from moving trees into one another.
        let mut tree = volume.data().join("tree");
        for _ in 0..20 {
            tree.push("x".repeat(20));
        }
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("file"), "x").unwrap();
        let root = volume.data().join("x".repeat(20));
        if deep != volume.data() {
            fs::rename(volume.data().join("deep"), tree.join("deep")).unwrap();
        }
        deep = volume.data().join("deep");
        fs::rename(volume.data().join("tree"), &deep).unwrap();
        assert!(!root.exists());
    }
    let locked = volume.data().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::write(locked.join("file"), "x").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    volume.erase(0, &job(1)).unwrap();
    volume.erase(1, &job(1)).unwrap();
    assert!(volume.is_empty().unwrap());
    assert_eq!(fs::read_to_string(outside).unwrap(), "stays");
}

#[test]
fn a_volume_without_its_identity_was_taken_away_and_one_without_a_label_is_erased() {
    let (directory, mut volume) = volume();
    volume.prepare(&owner(1), None).unwrap();
    let evidence = volume.evidence();
    let job = Job { evidence: evidence.as_ref(), ..job(1) };
    for step in 0..4 {
        volume.erase(step, &job).unwrap();
    }
    assert_eq!(volume.erase(0, &job).unwrap().0, NothingThere, "a step may be repeated after the last");
    let (here, away) = (directory.path().join("volume"), directory.path().join("away"));
    fs::rename(&here, &away).unwrap();
    assert!(matches!(volume.erase(0, &job), Err(VolumeError::Missing(1))));
    fs::create_dir(&here).unwrap();
    assert!(matches!(volume.erase(0, &job), Err(VolumeError::Missing(1))));
}

#[test]
fn what_was_never_prepared_is_not_erased_but_left_to_whom_it_belongs() {
    let (directory, mut volume) = volume();
    fs::create_dir_all(directory.path().join("volume")).unwrap();
    fs::write(directory.path().join("volume/photo"), "mine").unwrap();
    assert!(matches!(volume.prepare(&owner(1), None), Err(VolumeError::Occupied { .. })));
    for step in 0..4 {
        assert_eq!(volume.erase(step, &job(1)).unwrap().0, NothingThere);
    }
    assert_eq!(fs::read_to_string(directory.path().join("volume/photo")).unwrap(), "mine");
}

#[test]
fn the_volume_of_another_device_is_not_ones_own_even_for_the_same_epoch() {
    let (_directory, mut volume) = volume();
    volume.prepare(&owner(1), None).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    let other = DeviceId(Uuid::from_u128(2));
    let theirs = Owner { device: other, ..owner(1) };
    assert!(matches!(volume.prepare(&theirs, None), Err(VolumeError::Fenced { .. })));
    assert!(matches!(volume.open(other, 1, None), Err(VolumeError::Fenced { .. })));
    for step in 0..2 {
        let job = Job { device: other, ..job(1) };
        assert!(matches!(volume.erase(step, &job), Err(VolumeError::Fenced { .. })), "{step}");
    }
    assert!(volume.data().join("letter").exists());
}

#[test]
fn damage_to_one_of_its_own_files_does_not_keep_a_volume_from_being_erased() {
    for damaged in [LABEL_FILE, IDENTITY_FILE] {
        let (_directory, mut volume) = volume();
        volume.prepare(&owner(1), None).unwrap();
        fs::write(volume.data().join("letter"), "hello").unwrap();
        let evidence = volume.evidence();
        fs::write(volume.path.join(damaged), "scribble").unwrap();
        let job = Job { evidence: evidence.as_ref(), ..job(1) };
        for step in 0..3 {
            volume.erase(step, &job).unwrap();
        }
        assert_eq!(volume.erase(3, &job).unwrap().0, Done, "{damaged}");
        assert!(!volume.data().exists());
    }
}
