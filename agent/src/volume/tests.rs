use uuid::Uuid;

use super::*;

fn owner(epoch: Epoch) -> Owner {
    let device = DeviceId(Uuid::from_u128(1));
    Owner { device, epoch, server: "http://127.0.0.1".into(), root: PublicKey([1; 32]) }
}

fn volume() -> (tempfile::TempDir, Volume) {
    let directory = tempfile::tempdir().unwrap();
    let volume = Volume::new(&directory.path().join("volume"));
    (directory, volume)
}

#[test]
fn preparing_twice_touches_no_file() {
    let (_directory, volume) = volume();
    volume.prepare(&owner(1)).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    volume.prepare(&owner(1)).unwrap();
    assert_eq!(fs::read_to_string(volume.data().join("letter")).unwrap(), "hello");
    assert_eq!(volume.owner(), Ok(Some(owner(1))));
}

#[test]
fn no_call_in_the_name_of_another_lease_changes_anything() {
    let (_directory, volume) = volume();
    volume.prepare(&owner(1)).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    assert!(matches!(volume.prepare(&owner(2)), Err(VolumeError::Fenced { epoch: 2, .. })));
    assert!(matches!(volume.remove_files(2), Err(VolumeError::Fenced { .. })));
    assert!(matches!(volume.remove_label(2), Err(VolumeError::Fenced { .. })));
    assert!(volume.data().join("letter").exists());
    fs::write(volume.label_path(), "scribble").unwrap();
    assert_eq!(volume.label(), Label::Unreadable);
    assert!(matches!(volume.remove_files(1), Err(VolumeError::Fenced { .. })));
    assert!(volume.data().join("letter").exists());
}

#[test]
fn a_directory_with_files_of_somebody_else_is_refused() {
    let (directory, volume) = volume();
    fs::create_dir_all(directory.path().join("volume/lost+found")).unwrap();
    volume.prepare(&owner(1)).unwrap();
    volume.remove_files(1).unwrap();
    volume.remove_label(1).unwrap();
    fs::write(directory.path().join("volume/photo"), "mine").unwrap();
    assert!(matches!(volume.prepare(&owner(2)), Err(VolumeError::Occupied(_))));
    assert_eq!(volume.label(), Label::Absent);
}

#[test]
fn the_label_goes_last() {
    let (_directory, volume) = volume();
    volume.prepare(&owner(1)).unwrap();
    fs::write(volume.data().join("letter"), "hello").unwrap();
    assert!(matches!(volume.remove_label(1), Err(VolumeError::Occupied(_))));
    let removed = volume.remove_files(1).unwrap();
    assert_eq!(removed, Removed { files: 1, directories: 1, bytes: 5 });
    assert!(!volume.is_empty().unwrap());
    assert!(volume.remove_label(1).unwrap());
    assert!(!volume.remove_label(1).unwrap());
    assert!(volume.is_empty().unwrap());
}

#[test]
fn neither_depth_nor_permissions_nor_links_keep_files_from_being_removed() {
    let (directory, volume) = volume();
    volume.prepare(&owner(1)).unwrap();
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
    volume.remove_files(1).unwrap();
    volume.remove_label(1).unwrap();
    assert!(volume.is_empty().unwrap());
    assert_eq!(fs::read_to_string(outside).unwrap(), "stays");
}
