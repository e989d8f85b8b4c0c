//! A real agent process with a directory of its own.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use super::server::{FakeServer, KEY};

/// A device: its files, and its agent while it runs.
pub struct Device {
    directory: tempfile::TempDir,
    child: Option<Child>,
}

impl Device {
    /// A device configured for `server`, not started.
    pub fn new(server: &FakeServer) -> Self {
        let device = Self { directory: tempfile::tempdir().unwrap(), child: None };
        device.configure(&json!({ "server": server.url, "key": KEY }));
        device
    }

    pub fn configure(&self, config: &Value) {
        fs::write(self.config(), config.to_string()).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("agent.json")
    }

    pub fn record(&self) -> PathBuf {
        self.directory.path().join("agent-data/record")
    }

    pub fn volume(&self) -> PathBuf {
        self.directory.path().join("agent-data/volume")
    }

    pub fn data(&self) -> PathBuf {
        self.volume().join("data")
    }

    pub fn letter(&self) -> PathBuf {
        self.data().join("letter")
    }

    /// What the agent logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts it with more in its environment.
    pub fn start_with(&mut self, environment: &[(&str, &OsStr)]) {
        assert!(self.child.is_none());
        self.child = Some(spawn(self.directory.path(), environment));
    }

    /// Cuts the power.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn restart(&mut self) {
        self.kill();
        self.start();
    }

    /// Stops it as a service manager does; it must exit cleanly.
    pub fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }

    /// Runs another command of the agent to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = command(self.directory.path());
        command.args(args).output().unwrap()
    }

    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Keeps the agent running whatever ends it, as a service manager does.
    pub fn supervise(&self) -> Supervisor {
        assert!(self.child.is_none());
        Supervisor::start(self.directory.path().to_owned())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-agent"));
    command.arg("--config").arg(directory.join("agent.json")).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn spawn(directory: &Path, environment: &[(&str, &OsStr)]) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = command(directory);
    command.envs(environment.iter().copied());
    command.arg("run").stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Restarts an agent until dropped.
pub struct Supervisor {
    child: Arc<Mutex<Child>>,
    over: Arc<AtomicBool>,
    starts: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Cuts the power of a supervised agent.
#[derive(Clone)]
pub struct Killer(Arc<Mutex<Child>>);

impl Killer {
    pub fn kill(&self) {
        self.0.lock().unwrap().kill().unwrap();
    }
}

impl Supervisor {
    fn start(directory: PathBuf) -> Self {
        let child = Arc::new(Mutex::new(spawn(&directory, &[])));
        let (over, starts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(1)));
        let (watched, ended, counted) = (child.clone(), over.clone(), starts.clone());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let mut child = watched.lock().unwrap();
                if child.try_wait().unwrap().is_some() {
                    *child = spawn(&directory, &[]);
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                drop(child);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { child, over, starts, thread: Some(thread) }
    }

    pub fn killer(&self) -> Killer {
        Killer(self.child.clone())
    }

    /// How often the agent was started.
    pub fn starts(&self) -> usize {
        self.starts.load(Ordering::SeqCst)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        let mut child = self.child.lock().unwrap();
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
    }
}
