//! A chromedriver and its browsers.
//!
//! # Shape
//! A shell starts chromedriver and waits for the end of its own input. Chromedriver and its browsers are one process group,
//! and everything that they write is in one folder. When the input ends, the shell kills the group and removes the folder.
//!
//! # Correctness
//! Nothing outlives the test: the input ends when [`Chrome`] is dropped, which a panic also does, and when the test's
//! process is gone, however it went. Two tests at a time have browsers, so that waiting for the machine does not count as
//! slowness of a page. A test with two could wait for ever for its second: it opens tabs of one.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Tab;

/// How many tests use browsers at a time: each takes a core.
static TURNS: Semaphore = Semaphore::const_new(2);

const INSTALL: &str = "the pages are tested in Chromium: install it, for example with \
                       `apt-get install --no-install-recommends chromium chromium-driver`";

/// Its own output is closed, so that the test notices a chromedriver that does not start or ends.
const SHELL: &str = r#"
    setsid chromedriver --port=0 &
    exec >&-
    read -r _
    kill -s KILL -- -$!
    rm -rf "$TMPDIR" || { sleep 1; rm -rf "$TMPDIR"; }"#;

const ARGUMENTS: [&str; 13] = [
    "--headless",
    // Root has no sandbox, and neither do most containers; the pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
    "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
];

/// Browsers for one test; dropping it ends them.
pub struct Chrome {
    shell: Child,
    /// Never read, and open, so that chromedriver can write.
    _output: BufReader<ChildStdout>,
    url: String,
    folder: PathBuf,
    _turn: SemaphorePermit<'static>,
}

impl Chrome {
    pub async fn start() -> Self {
        let turn = TURNS.acquire().await.unwrap();
        let folder = tempfile::tempdir().unwrap().keep();
        let mut shell = Command::new("sh")
            .args(["-c", SHELL])
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        let mut port = None;
        let mut line = String::new();
        while port.is_none() && output.read_line(&mut line).unwrap() > 0 {
            port = line
                .split_once("successfully on port ")
                .map(|(_, port)| port.trim_end_matches(['.', '\n']).to_owned());
            line.clear();
        }
        let url = format!("http://127.0.0.1:{}", port.as_deref().unwrap_or_default());
        let chrome = Self { shell, _output: output, url, folder, _turn: turn };
        assert!(port.is_some(), "chromedriver does not start; {INSTALL}");
        chrome
    }

    /// Somebody's browser: it shares no cookie with other tabs.
    pub async fn tab(&self, base: &str) -> Tab {
        self.open(base, json!({})).await
    }

    /// A browser that runs no script of pages.
    pub async fn tab_without_script(&self, base: &str) -> Tab {
        self.open(base, json!({"profile.managed_default_content_settings.javascript": 2})).await
    }

    async fn open(&self, base: &str, preferences: Value) -> Tab {
        let wanted = json!({
            "goog:chromeOptions": {"args": ARGUMENTS, "prefs": preferences},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"pageLoad": 30_000, "script": 30_000},
        });
        let Value::Object(wanted) = wanted else { unreachable!() };
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&self.url).await;
        let client = client.unwrap_or_else(|error| panic!("no browser starts: {error}; {INSTALL}"));
        Tab::new(client, base)
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// Processes that were started for these browsers and did not end.
    fn running(folder: &std::path::Path) -> usize {
        let folder = folder.as_os_str().as_encoded_bytes();
        let of = |entry: fs::DirEntry| fs::read(entry.path().join("environ")).unwrap_or_default();
        let all = fs::read_dir("/proc").unwrap().flatten().map(of);
        all.filter(|environ| environ.windows(folder.len()).any(|part| part == folder)).count()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_test_that_panics_leaves_no_browser_behind() {
        let chrome = Chrome::start().await;
        let folder = chrome.folder.clone();
        let test = tokio::spawn(async move {
            let _tab = chrome.tab("http://localhost").await;
            panic!("{} processes", running(&chrome.folder));
        });
        let message = test.await.unwrap_err().into_panic();
        let message = message.downcast_ref::<String>().unwrap();
        assert_ne!(message, "0 processes");
        assert!(!folder.exists());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!((running(&folder), folder.exists()), (0, false));
    }
}
