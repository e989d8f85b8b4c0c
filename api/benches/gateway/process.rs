//! Processes, what they use, and their ends.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// Lets this process have as many files as it may.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    raised.expect("the limit of open files can be raised to its maximum");
}

/// A process; it and its descendants are killed when this is dropped.
pub struct Process {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Process {
    /// Starts a command, whose words can be read.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        Self { child, lines }
    }

    /// This program again, with other arguments.
    pub fn again(arguments: &[&str]) -> Self {
        let this = std::env::current_exe().expect("this program");
        Self::start(Command::new(this).args(arguments))
    }

    /// The next line that it says.
    pub fn line(&mut self) -> String {
        let line = self.lines.as_mut().and_then(Iterator::next);
        line.expect("the process has ended").expect("text")
    }

    /// Kills it and its descendants.
    pub fn kill(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        for id in self.all() {
            let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        let _ = self.child.wait();
    }

    /// It and its descendants.
    fn all(&self) -> Vec<u32> {
        let mut parents = BTreeMap::<u32, Vec<u32>>::new();
        for entry in fs::read_dir("/proc").expect("Linux").flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let Some(fields) = stat(id) else { continue };
            parents.entry(fields[1].parse().expect("a process")).or_default().push(id);
        }
        let mut all = vec![self.child.id()];
        let mut at = 0;
        while let Some(parent) = all.get(at) {
            all.extend(parents.remove(parent).unwrap_or_default());
            at += 1;
        }
        all
    }

    /// CPU seconds that it and its descendants have used, the ended ones included.
    pub fn cpu_s(&self) -> f64 {
        let of = |id| {
            let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
            let run_ns = tasks.filter_map(|task| {
                let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
                line.split_whitespace().next()?.parse::<f64>().ok()
            });
            // Of children that have ended only hundredths of a second are known.
            let ended = |fields: Vec<String>| {
                [13, 14].map(|at| fields[at].parse::<f64>().expect("a number") / 100.0).iter().sum::<f64>()
            };
            run_ns.sum::<f64>() / 1e9 + stat(id).map_or(0.0, ended)
        };
        self.all().into_iter().map(of).sum()
    }

    /// Memory that it and its descendants hold, shared pages by their shares, in KiB.
    pub fn pss_kib(&self) -> f64 {
        let of = |id| {
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        self.all().into_iter().map(of).sum()
    }
}

/// The fields after a process's name: its state, its parent, …
fn stat(id: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
