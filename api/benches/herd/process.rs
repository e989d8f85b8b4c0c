//! The process that is asked, and what it costs.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// Lets this process have as many files as it may.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    raised.expect("the limit of open files can be raised to its maximum");
}

/// A server in a process of its own.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

/// What a process has used.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cost {
    /// Memory now, in MiB.
    pub rss_mib: u64,
    /// The most memory so far, in MiB.
    pub peak_mib: u64,
    /// CPU seconds so far.
    pub cpu_s: f64,
    /// Open sockets.
    pub sockets: usize,
}

impl Server {
    /// The real server on a data folder.
    pub fn berth(data: PathBuf) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command.arg("serve").arg("--data").arg(data).args(["--listen", "127.0.0.1:0"]);
        let log = fs::File::create(std::env::temp_dir().join("herd-server.log")).expect("a log file");
        command.env("BERTH_GATEWAY_FIRST_PORT", "1024").env("BERTH_GATEWAY_LAST_PORT", "65535");
        command.stderr(log);
        Self::start(command)
    }

    /// A bare one.
    pub fn floor() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("floor");
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.expect("text");
            line.split_once("http://")?.1.split([' ', '/']).next()?.parse().ok()
        });
        // It must be able to go on writing.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address: address.expect("it says where it listens"), child }
    }

    /// What it has used so far.
    pub fn cost(&self) -> Cost {
        let of = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", self.child.id())).expect("Linux");
        let status = of("status");
        let mib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).expect("it is there");
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") / 1_024
        };
        // After the name in brackets; utime and stime are the 14th and 15th field, in hundredths of a second.
        let stat = of("stat");
        let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("Linux");
        let is_socket = |path: PathBuf| path.to_string_lossy().starts_with("socket:");
        let sockets =
            files.flatten().filter_map(|f| fs::read_link(f.path()).ok()).filter(|p| is_socket(p.clone()));
        Cost {
            rss_mib: mib("VmRSS"),
            peak_mib: mib("VmHWM"),
            cpu_s: (ticks(11) + ticks(12)) / 100.0,
            sockets: sockets.count(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let told = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        if !told {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
