//! The agent under a service manager.

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use crate::kit::{agent::Device, server::FakeServer};

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_that_the_agent_is_up_lives_and_stops() {
    let server = FakeServer::start(1).await;
    let mut device = Device::new(&server);
    let path = device.config().with_file_name("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    device.start_with(&[("NOTIFY_SOCKET", path.as_os_str()), ("WATCHDOG_USEC", "20000000".as_ref())]);
    assert_eq!(hear(), "READY=1\n");
    assert_eq!(hear(), "WATCHDOG=1\n");
    assert_eq!(hear(), "WATCHDOG=1\n");
    device.terminate();
    assert_eq!(hear(), "STOPPING=1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_unit_is_the_one_in_the_repository_with_this_machines_paths() {
    let server = FakeServer::start(1).await;
    let device = Device::new(&server);
    let printed = device.run(&["unit"]);
    assert!(printed.status.success(), "{printed:?}");
    let printed = String::from_utf8(printed.stdout).unwrap();
    let (program, config) = (env!("CARGO_BIN_EXE_berth-agent"), device.config());
    let back = printed.replace(program, "/usr/bin/berth-agent");
    let places = format!(" {} {}\n", device.record().parent().unwrap().display(), device.volume().display());
    assert!(back.contains(&places), "the record and the volume must be there too: {back}");
    let back = back.replace(&places, "\n").replace(config.to_str().unwrap(), "/etc/berth/agent.json");
    assert_eq!(back, include_str!("../../berth-agent.service"));

    // Where systemd is installed, it is asked, too.
    let unit = device.config().with_file_name("berth-agent.service");
    std::fs::write(&unit, printed).unwrap();
    if let Ok(judged) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() {
        let said = String::from_utf8_lossy(&judged.stderr);
        assert!(judged.status.success() && !said.contains("berth-agent.service:"), "{said}");
    }
}
