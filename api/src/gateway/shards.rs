//! Runtimes of one thread each, that tunnels are spread over.
//!
//! A session and the visitors it serves hand each other every packet; on one thread that costs no wake-up of another.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{runtime, sync::oneshot};

/// Threads that run tunnels.
#[derive(Debug)]
pub struct Shards {
    runtimes: Vec<runtime::Handle>,
    next: AtomicUsize,
    /// Dropped to end the threads.
    _stop: Vec<oneshot::Sender<()>>,
}

impl Shards {
    /// One thread for each processor.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let n = std::thread::available_parallelism().map_or(1, usize::from);
        let (mut runtimes, mut stop) = (Vec::new(), Vec::new());
        for i in 0..n {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtimes.push(runtime.handle().clone());
            let (sender, stopped) = oneshot::channel::<()>();
            stop.push(sender);
            std::thread::Builder::new().name(format!("gateway-{i}")).spawn(move || {
                // Ends with an error, which is the sign.
                let _ = runtime.block_on(stopped);
            })?;
        }
        Ok(Self { runtimes, next: AtomicUsize::new(0), _stop: stop })
    }

    /// The thread whose turn it is.
    #[must_use]
    pub fn next(&self) -> runtime::Handle {
        let i = self.next.fetch_add(1, Ordering::Relaxed) % self.runtimes.len();
        self.runtimes[i].clone()
    }
}
