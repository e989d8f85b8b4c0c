//! A Docker Engine of the tests' own.
//!
//! # Shape
//! ```text
//! test binary ──stdin──► keeper.sh ──► unshare: own processes and mounts ──► dockerd ──► containerd, containers
//! ```
//! # Correctness
//! The keeper learns by its standard input that the test binary is gone, however that ended. Then the process namespace
//! ends, with everything in it and every mount, and the keeper removes the directory and the cgroups.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bollard::{API_DEFAULT_VERSION, Docker as Client};

use super::{images, skip::skip};

const KEEPER: &str = include_str!("keeper.sh");
const START_S_MAX: u64 = 60;

/// A running engine with the tests' images.
pub struct Engine {
    directory: PathBuf,
    keeper: Mutex<Child>,
    drops: bool,
}

impl Engine {
    /// The engine of all tests; says why `test` is skipped when there cannot be one.
    pub fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Engine, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start(false, "start")) {
            Ok(engine) => Some(engine),
            Err(reason) => {
                skip(test, reason);
                None
            }
        }
    }

    /// An engine for one test that breaks it.
    pub fn own(test: &str) -> Option<Self> {
        Self::owned(test, "start")
    }

    /// An engine for one test that lacks the program put in front of containers' own.
    pub fn without_init(test: &str) -> Option<Self> {
        Self::owned(test, "start-without-init")
    }

    fn owned(test: &str, how: &str) -> Option<Self> {
        Self::shared(test)?;
        Self::start(true, how).map_err(|reason| skip(test, &reason)).ok()
    }

    fn start(drops: bool, how: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        possible()?;
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = quick_place().join(format!("berth-engine-{}-{n}", std::process::id()));
        fs::create_dir(&directory).map_err(|e| e.to_string())?;
        let log = fs::File::create(directory.join("log")).map_err(|e| e.to_string())?;
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(KEEPER)
            .arg("keeper")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log)
            // Away from the terminal's signals: it cleans up.
            .process_group(0)
            .spawn()
            .map_err(|e| e.to_string())?;
        let engine = Self { directory, keeper: Mutex::new(keeper), drops };
        let up = engine.started(how).and_then(|()| images::load(&engine));
        match up {
            Ok(()) => Ok(engine),
            Err(reason) => {
                engine.end();
                Err(reason)
            }
        }
    }

    /// Starts the daemon and waits until it answers.
    pub fn up(&self) -> Result<(), String> {
        self.started("start")
    }

    fn started(&self, how: &str) -> Result<(), String> {
        self.tell(how);
        let until = Instant::now() + Duration::from_secs(START_S_MAX);
        while Instant::now() < until {
            if std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
                return Ok(());
            }
            if self.log().contains("failed to start daemon") || self.log().contains("unshare:") {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = self.log();
        Err(format!("dockerd does not start here: {}", log.lines().last().unwrap_or("it says nothing")))
    }

    /// Kills the daemon; its containers go on until it is back.
    pub fn kill(&self) {
        self.tell("kill");
        while std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }

    pub fn client(&self) -> Client {
        let address = format!("unix://{}", self.socket().display());
        Client::connect_with_unix(&address, 60, API_DEFAULT_VERSION).unwrap()
    }

    /// The engine's own files.
    pub fn files(&self) -> PathBuf {
        self.directory.join("x")
    }

    /// A place for volumes that goes with the engine.
    pub fn volumes(&self) -> &Path {
        &self.directory
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        let input = keeper.stdin.as_mut().unwrap();
        writeln!(input, "{word}").unwrap();
    }

    fn end(&self) {
        let mut keeper = self.keeper.lock().unwrap();
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.drops {
            self.end();
        }
    }
}

/// Where nothing waits for a disk, if there is such a place: engines sync a lot.
fn quick_place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("an engine needs root".into());
    }
    for program in ["dockerd", "containerd", "runc", "unshare"] {
        let found = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin"]
            .iter()
            .any(|place| Path::new(place).join(program).exists());
        if !found {
            return Err(format!("{program} is not installed"));
        }
    }
    Ok(())
}
