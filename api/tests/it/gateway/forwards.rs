//! What stock OpenSSH can have forwarded, and everything it cannot.

use super::{
    kit::{Gate, free_port},
    visit::{ask, echo},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_serves_its_leased_port_with_a_stock_client() {
    let gate = Gate::start().await;
    let machine = gate.machine(1);
    let lease = gate.grant(&machine, 1).await;
    let service = echo().await;
    let _ssh = gate.ssh(&machine, &["-N", "-R", &format!("{}:127.0.0.1:{service}", lease.port)]);
    gate.until_up(&lease, true).await;
    assert_eq!(ask(lease.port, b"hello").await.unwrap(), b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_does_not_know_its_port_is_told() {
    let gate = Gate::start().await;
    let machine = gate.machine(2);
    let lease = gate.grant(&machine, 1).await;
    let service = echo().await;
    let ssh = gate.ssh(&machine, &["-N", "-v", "-R", &format!("0:127.0.0.1:{service}")]);
    gate.until_up(&lease, true).await;
    assert_eq!(ask(lease.port, b"hello").await.unwrap(), b"hello");
    let told = ssh.stop().await.err;
    assert!(told.contains(&format!("Allocated port {}", lease.port)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_lease_is_refused() {
    let gate = Gate::start().await;
    let (machine, other) = (gate.machine(3), gate.machine(4));
    let lease = gate.grant(&machine, 1).await;
    let others = gate.grant(&other, 1).await;
    let free = free_port().await;
    let socket = gate.dir.path().join("socket");
    let own = lease.port;
    let forward = |bound: &str| vec!["-N".to_owned(), "-R".to_owned(), format!("{bound}:127.0.0.1:1")];
    let options = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
    let refused: &[(&str, Vec<String>, &[&str])] = &[
        ("a command", options(&[]), &["whoami"]),
        ("a terminal", options(&["-tt"]), &[]),
        ("a shell", options(&["-T"]), &[]),
        ("a subsystem", options(&["-s"]), &["sftp"]),
        ("an agent and X11", options(&["-A", "-X"]), &["whoami"]),
        ("another's port", forward(&others.port.to_string()), &[]),
        ("a free port", forward(&free.to_string()), &[]),
        ("a low port", forward("22"), &[]),
        ("another's name", forward(&format!("{}:80", others.subdomain.as_str())), &[]),
        ("another address", forward(&format!("10.1.2.3:{own}")), &[]),
        ("a socket", forward(&socket.display().to_string()), &[]),
        ("a way elsewhere", options(&["-W", "127.0.0.1:1"]), &[]),
        ("a network", options(&["-w", "any:any", "-N"]), &[]),
    ];
    for (what, options, command) in refused {
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let done = gate.ssh_run(&machine, &options, command).done().await;
        assert_ne!(done.code, Some(0), "{what}: {done:?}");
        assert!(done.out.is_empty(), "{what}: {done:?}");
    }
    assert!(ask(free, b"x").await.is_err());
    assert!(gate.gateway.look().iter().all(|seen| seen.heard.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_holds_a_tunnel_opens_nothing_else() {
    let gate = Gate::start().await;
    let machine = gate.machine(5);
    let lease = gate.grant(&machine, 1).await;
    let (service, local) = (echo().await, free_port().await);
    // Local and dynamic forwards are opened by the client on its side; what they lead to is refused by the gateway.
    let (forward, dynamic) = (format!("{local}:127.0.0.1:{service}"), free_port().await.to_string());
    let remote = format!("{}:127.0.0.1:{service}", lease.port);
    let ssh = gate.ssh(&machine, &["-N", "-v", "-R", &remote, "-L", &forward, "-D", &dynamic]);
    gate.until_up(&lease, true).await;
    assert_eq!(ask(lease.port, b"still here").await.unwrap(), b"still here");
    assert!(ask(local, b"x").await.unwrap_or_default().is_empty());
    assert_eq!(ask(lease.port, b"still here").await.unwrap(), b"still here");
    let done = ssh.stop().await;
    assert!(done.err.contains("administratively prohibited"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_a_lease_and_a_password_are_refused() {
    let gate = Gate::start().await;
    let (machine, stranger) = (gate.machine(6), gate.machine(7));
    let lease = gate.grant(&machine, 1).await;
    let forward = format!("{}:127.0.0.1:1", lease.port);
    let done = gate.ssh(&stranger, &["-N", "-R", &forward]).done().await;
    assert!(done.err.contains("Permission denied (publickey)"), "{done:?}");
    let password = [
        "-N",
        "-o",
        "PubkeyAuthentication=no",
        "-o",
        "PreferredAuthentications=password,keyboard-interactive",
    ];
    let done = gate.ssh(&machine, &password).done().await;
    assert!(done.err.contains("Permission denied (publickey)"), "{done:?}");
    gate.until_up(&lease, false).await;
}
