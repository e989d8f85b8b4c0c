//! A service behind tunnels, and visitors of it.
//!
//! The first byte of a connection says what the visitor wants. Threads that block cost less than anything else would: the
//! load shares the processors with what is measured.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What is read and written at once, in bytes.
const CHUNK: usize = 128 * 1024;
/// How long a new load runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(250);
/// Nothing is waited for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which way data go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the device to its visitors.
    Down,
    /// From visitors to the device.
    Up,
}

/// A service, and what it has received.
pub struct Service {
    pub port: u16,
    received: Arc<AtomicU64>,
}

impl Service {
    /// Serves until the process ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
        let port = listener.local_addr().expect("an address").port();
        let received = Arc::new(AtomicU64::new(0));
        let counted = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                std::thread::spawn(move || serve(stream, &counted));
            }
        });
        Self { port, received }
    }

    /// Bytes per second over some connections to a port that leads here; `window` hears when the clock starts and stops.
    pub fn speed(
        &self,
        port: u16,
        way: Way,
        connections: usize,
        time: Duration,
        mut window: impl FnMut(),
    ) -> f64 {
        let seen = Arc::new(AtomicU64::new(0));
        let visitors: Vec<_> = (0..connections).map(|_| visit(port, way, seen.clone())).collect();
        let count = || match way {
            Way::Down => seen.load(Ordering::Relaxed),
            Way::Up => self.received.load(Ordering::Relaxed),
        };
        std::thread::sleep(WARM_UP);
        window();
        let (from, start) = (count(), Instant::now());
        std::thread::sleep(time);
        let (to, took) = (count(), start.elapsed());
        window();
        for (stream, _) in &visitors {
            let _ = stream.shutdown(Shutdown::Both);
        }
        visitors.into_iter().for_each(|(_, thread)| thread.join().expect("a visitor ends"));
        (to - from) as f64 / took.as_secs_f64()
    }
}

/// A connection that asks for something.
pub fn connect(port: u16, what: u8) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[what])?;
    Ok(stream)
}

/// Whether the service behind a port answers.
pub fn answers(port: u16) -> bool {
    connect(port, b'E').and_then(|mut stream| stream.read_exact(&mut [0])).is_ok()
}

fn visit(port: u16, way: Way, seen: Arc<AtomicU64>) -> (TcpStream, JoinHandle<()>) {
    let mut stream = connect(port, if way == Way::Down { b'D' } else { b'U' }).expect("a connection");
    let ours = stream.try_clone().expect("a socket");
    let thread = std::thread::spawn(move || match way {
        Way::Down => receive(&mut stream, &seen),
        Way::Up => send(&mut stream),
    });
    (ours, thread)
}

fn receive(stream: &mut TcpStream, seen: &AtomicU64) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        seen.fetch_add(n as u64, Ordering::Relaxed);
    }
}

fn send(stream: &mut TcpStream) {
    let chunk = vec![0x5a; CHUNK];
    while stream.write_all(&chunk).is_ok() {}
}

fn serve(mut stream: TcpStream, received: &AtomicU64) {
    let mut first = [0];
    if stream.set_nodelay(true).and(stream.read_exact(&mut first)).is_err() {
        return;
    }
    match first[0] {
        b'D' => send(&mut stream),
        b'U' => receive(&mut stream, received),
        _ => echo(&mut stream, first),
    }
}

fn echo(stream: &mut TcpStream, first: [u8; 1]) {
    let mut chunk = [0; 1_024];
    let mut answered = stream.write_all(&first);
    while answered.is_ok() {
        let Ok(n @ 1..) = stream.read(&mut chunk) else { return };
        answered = stream.write_all(&chunk[..n]);
    }
}
