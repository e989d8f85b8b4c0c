//! The renter can log in, and the password is nowhere but in a hash.

use super::rented::{PASSWORD, Rented, USER};
use crate::kit::{
    engine::Engine,
    images::{BARE, Layer, RICH, bare},
    skip::skip,
};

/// The hash of `password` with the salt of the renter's line in /etc/shadow, made by another program.
async fn expected(rented: &Rented<'_>, password: &str) -> (String, String) {
    let shadow = rented.on_volume("etc/shadow");
    let prefix = format!("{USER}:");
    let line = shadow.lines().find(|l| l.starts_with(&prefix)).unwrap_or_else(|| panic!("{shadow:?}"));
    let hash = line.split(':').nth(1).unwrap().to_owned();
    let salt = hash.split('$').nth(2).unwrap();
    std::fs::write(rented.data().join("root/root/given"), format!("{password}\n")).unwrap();
    let (_, again) =
        rented.inside(&format!("busybox mkpasswd -m sha512 -P 0 -S '{salt}' < /root/given")).await;
    std::fs::remove_file(rented.data().join("root/root/given")).unwrap();
    (hash, again)
}

async fn the_login_works(rented: &Rented<'_>, password: &str) {
    let (hash, again) = expected(rented, password).await;
    assert!(hash.starts_with("$6$"), "{hash}");
    assert_eq!(hash, again);
    let passwd = rented.on_volume("etc/passwd");
    let line = passwd.lines().find(|l| l.starts_with("renter-1:")).unwrap();
    let fields: Vec<_> = line.split(':').collect();
    assert_eq!((fields[5], fields[6]), ("/home/renter-1", "/bin/sh"), "{line}");
    let (id, home) = (fields[2], fields[5]);
    let written = rented
        .inside_as(&format!("{id}:{}", fields[3]), &format!("cd {home} && echo x > file && id -un"))
        .await;
    assert_eq!(written, (true, "renter-1".into()), "{line}");
}

#[tokio::test]
async fn a_renter_can_log_in_to_an_image_with_users() {
    let Some(engine) = Engine::shared("a_renter_can_log_in_to_an_image_with_users") else { return };
    let mut rented = Rented::new(engine);
    rented.run().await.unwrap();
    the_login_works(&rented, PASSWORD).await;
    assert!(rented.on_volume("etc/shadow").contains("app:!:19000"), "others keep theirs");
    assert_eq!(rented.on_volume("etc/passwd").matches("\nrenter-1:").count(), 1);
    rented.remove().await;
}

#[tokio::test]
async fn a_renter_can_log_in_to_a_bare_busybox() {
    let Some(engine) = Engine::shared("a_renter_can_log_in_to_a_bare_busybox") else { return };
    let mut rented = Rented::with(engine, BARE, |_| {});
    rented.run().await.unwrap();
    the_login_works(&rented, PASSWORD).await;
    rented.remove().await;
}

/// What adding a user takes on this machine, if it is a Debian.
fn debian() -> Result<Layer, String> {
    let listed = std::process::Command::new("sh")
        .args([
            "-c",
            "set -e; cd /; for f in usr/sbin/useradd usr/sbin/chpasswd bin/bash; do ls $f; ldd /$f | grep -o '/[^ ]*'; done
             ls lib/*-linux-gnu/security/pam_*.so; for f in lib/*-linux-gnu/security/pam_unix.so; do ldd /$f | grep -o '/[^ ]*'; done
             ls etc/pam.d/* etc/pam.conf etc/login.defs etc/nsswitch.conf etc/default/useradd",
        ])
        .output()
        .map_err(|e| e.to_string())?;
    if !listed.status.success() {
        return Err("this machine has no useradd and chpasswd of Debian's".into());
    }
    let mut layer = bare()?;
    layer.directory("etc", 0o755, 0).directory("home", 0o755, 0);
    layer.file("etc/passwd", 0o644, 0, b"root:x:0:0::/root:/bin/sh\n").file(
        "etc/group",
        0o644,
        0,
        b"root:x:0:\n",
    );
    layer.file("etc/shadow", 0o640, 42, b"root:*:19000::::::\n").file(
        "etc/gshadow",
        0o640,
        42,
        b"root:*::\n",
    );
    let paths: std::collections::BTreeSet<_> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|l| l.trim_start_matches('/').to_owned())
        .collect();
    for path in paths {
        let content = std::fs::read(format!("/{path}")).map_err(|e| format!("{path}: {e}"))?;
        layer.file(&path, 0o755, 0, &content);
    }
    Ok(layer)
}

#[tokio::test]
async fn a_renter_can_log_in_to_a_debian() {
    let name = "a_renter_can_log_in_to_a_debian";
    let Some(engine) = Engine::shared(name) else { return };
    let layer = match debian() {
        Ok(layer) => layer,
        Err(reason) => return skip(name, &reason),
    };
    layer.import(engine, "debian:1", &[]).await.unwrap();
    let mut rented = Rented::with(engine, "debian:1", |_| {});
    rented.run().await.unwrap();
    let shadow = rented.on_volume("etc/shadow");
    assert!(shadow.contains("renter-1:$y$"), "the image's own kind of hash: {shadow}");
    assert!(rented.on_volume("etc/gshadow").contains("renter-1:"), "made by useradd");
    assert!(rented.on_volume("etc/passwd").contains(":/home/renter-1:/bin/bash"), "a better shell");
    rented.remove().await;
}

#[tokio::test]
async fn the_password_is_neither_with_the_engine_nor_in_the_environment_nor_in_an_argument() {
    let name = "the_password_is_neither_with_the_engine_nor_in_the_environment_nor_in_an_argument";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::new(engine);
    rented.password = "a-password-to-look-for";
    rented.run().await.unwrap();
    let inspected = serde_json::to_string(&rented.inspect().await).unwrap();
    assert!(!inspected.contains(rented.password), "{inspected}");
    let (_, seen) = rented.inside("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | busybox strings").await;
    assert!(seen.contains("sleep") && !seen.contains(rented.password), "{seen}");
    for place in [rented.engine.files(), rented.data()] {
        let found =
            std::process::Command::new("grep").args(["-rlaF", rented.password]).arg(&place).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "in {}", place.display());
    }
    rented.remove().await;
}

#[tokio::test]
async fn another_password_is_set_and_the_same_one_only_once() {
    let Some(engine) = Engine::shared("another_password_is_set_and_the_same_one_only_once") else { return };
    let mut rented = Rented::with(engine, RICH, |_| {});
    rented.run().await.unwrap();
    let first = rented.on_volume("etc/shadow");
    rented.run().await.unwrap();
    assert_eq!(rented.on_volume("etc/shadow"), first);
    rented.password = "another";
    rented.run().await.unwrap();
    assert_ne!(rented.on_volume("etc/shadow"), first);
    the_login_works(&rented, "another").await;
    assert_eq!(rented.on_volume("etc/shadow").matches("renter-1:").count(), 1);
    rented.remove().await;
}

#[tokio::test]
async fn an_image_that_cannot_have_a_login_says_what_is_missing() {
    let Some(engine) = Engine::shared("an_image_that_cannot_have_a_login_says_what_is_missing") else {
        return;
    };
    let mut rented = Rented::with(engine, BARE, |_| {});
    rented.run().await.unwrap();
    assert!(rented.inside("rm /etc/shadow && mkdir /etc/shadow").await.0);
    rented.restarted(|_| {});
    let error = rented.run().await.unwrap_err().to_string();
    assert!(error.contains("/etc cannot be written"), "{error}");
    assert!(rented.inside("rm /etc/passwd && mkdir /etc/passwd").await.0);
    let error = rented.run().await.unwrap_err().to_string();
    assert!(error.contains("no shell can be started"), "{error}");
    rented.remove().await;
    let mut short =
        Rented::with(engine, BARE, |c| c.command = Some(["/bin/sh", "-c", "exit 7"].map(Into::into).into()));
    let error = short.run().await.unwrap_err().to_string();
    assert!(error.contains("ended with code 7") && error.contains("\"command\""), "{error}");
    short.remove().await;
}
