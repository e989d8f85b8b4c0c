//! Berth's gateway, in a process of its own.

use std::{net::SocketAddr, path::Path};

use api::{
    config,
    gateway::{Gateway, Settings, leases::News},
};
use russh::keys::ssh_key::public::{Ed25519PublicKey, KeyData};

use crate::{
    KEEPALIVE_S, lease,
    process::Process,
    sshd::{Server, folder},
};

/// A gateway with leases of the first devices.
pub fn start(leases: usize) -> Server {
    let folder = folder();
    let (process, address, host_key) = launch(folder.path(), "127.0.0.1:0", leases);
    Server { process, address, host_key, user: "berth".into(), first: 0, folder }
}

/// Kills it and starts it again where it was.
pub fn restart(server: &mut Server, leases: usize) {
    let before = server.address.to_string();
    server.process.kill();
    (server.process, server.address, server.host_key) = launch(server.folder.path(), &before, leases);
}

fn launch(folder: &Path, ssh: &str, leases: usize) -> (Process, SocketAddr, String) {
    let folder = folder.to_str().expect("a path");
    let mut process = Process::again(&["serve-gateway", folder, ssh, &leases.to_string()]);
    let address = process.line().parse().expect("an address");
    let host_key = process.line();
    (process, address, host_key)
}

/// Serves until killed.
pub fn serve(folder: &str, ssh: &str, leases: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let section = config::Gateway { keepalive_s: KEEPALIVE_S, ..config::Gateway::default() };
        let listener = api::listen::bind(ssh).await.expect("the port is free");
        let settings = Settings::new(&section).expect("settings");
        let gateway = Gateway::start(settings, Path::new(folder), listener).expect("it starts");
        let live = (0..leases.parse().expect("a number")).map(lease).collect();
        gateway.take(&News { source: uuid::Uuid::nil(), version: 0, whole: true, live, ended: vec![] });
        let host_key = russh::keys::PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(gateway.host_key.0)));
        println!("{}\n{}", gateway.ssh, host_key.to_openssh().expect("a key"));
        std::future::pending::<()>().await;
    });
}
