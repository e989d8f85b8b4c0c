//! Without a mail server, mails are files.

use std::{collections::BTreeMap, path::Path};

use super::{A_LOOK, Town};

/// The files by name, with what they hold.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_rental_is_a_file_for_each_thing_that_is_told() {
    let mut town = Town::new(|config| config.mail.smtp.0.clear()).await;
    let folder = town.test.data().mail();
    let (contract, password) = town.whole_story().await;
    for cause in ["rental", "ended", "erased"] {
        assert_eq!(town.ended(&format!("{cause}-{contract}")).await, "sent");
    }
    tokio::time::sleep(A_LOOK).await;
    let all = files(&folder);
    let kinds: Vec<_> = all.keys().map(|name| name.split('-').next().unwrap()).collect();
    assert_eq!(kinds, ["ended", "erased", "extended", "rental", "settled", "settled", "settled"]);
    let rental = &all[&format!("rental-{contract}.eml")];
    assert!(rental.contains(&password) && rental.contains("To: renter <rita@example.org>"), "{rental}");
    assert!(town.sink.arrived().is_empty());

    town.test.restart().await;
    town.read_again().await;
    assert_eq!(files(&folder), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_where_the_operator_wants_them_and_wait_while_they_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("post/mail");
    std::fs::write(dir.path().join("post"), "in the way").unwrap();
    let wanted = folder.display().to_string();
    let town = Town::new(|config| {
        config.mail.smtp.0.clear();
        config.mail.folder = wanted;
    });
    let town = town.await;
    let contract = town.rent(36_000, "6.00").await;
    town.caught_up().await;
    tokio::time::sleep(A_LOOK).await;
    std::fs::remove_file(dir.path().join("post")).unwrap();
    town.test.advance(30);
    assert_eq!(town.ended(&format!("rental-{contract}")).await, "sent");
    assert_eq!(files(&folder).len(), 1);
}
