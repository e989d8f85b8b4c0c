//! The least that a proxy can do.

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};

use crate::process::Process;

/// As large as the gateway's.
const BUFFER: usize = 32 * 1024;

/// A proxy in a process of its own, and its port.
pub fn start(to: u16) -> (Process, u16) {
    let mut process = Process::again(&["serve-proxy", &to.to_string()]);
    let port = process.line().parse().expect("a port");
    (process, port)
}

/// Serves until killed.
pub fn serve(to: &str) {
    let to: u16 = to.parse().expect("a port");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it listens");
        println!("{}", listener.local_addr().expect("an address").port());
        while let Ok((mut visitor, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut service) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                let _ = visitor.set_nodelay(true).and(service.set_nodelay(true));
                let _ = copy_bidirectional_with_sizes(&mut visitor, &mut service, BUFFER, BUFFER).await;
            });
        }
    });
}
