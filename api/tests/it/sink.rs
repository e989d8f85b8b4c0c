//! A mail server of the tests' own, and what it got.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::receiver::until;

/// A mail as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub to: String,
    pub text: String,
}

impl Arrived {
    /// A header, unfolded.
    pub fn header(&self, name: &str) -> String {
        let (headers, _) = self.text.split_once("\n\n").unwrap();
        let unfolded = headers.replace("\n ", " ");
        let mut found = unfolded.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")));
        let value = found.next().unwrap_or_else(|| panic!("no {name} in {headers}")).to_owned();
        assert_eq!(found.next(), None, "{name} twice");
        value
    }

    pub fn subject(&self) -> String {
        self.header("Subject")
    }

    /// The value of a line of a table, such as `host  gw.example`.
    pub fn row(&self, name: &str) -> &str {
        let line = self.text.lines().find_map(|line| line.strip_prefix(&format!("  {name}  ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.text)).trim()
    }
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Takes,
    TakesAfter(Duration),
    /// Hangs up before a word.
    Down,
    /// Says this of every recipient.
    RefusesTo(&'static str),
    /// Says this of every text.
    RefusesText(&'static str),
    /// Reads the text and hangs up without a verdict.
    BreaksOff,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    arrived: Mutex<Vec<Arrived>>,
    asked: Mutex<usize>,
}

/// A mail server for whoever logs in as `berth` with the password `p@ss-of-the-sink`.
#[derive(Debug, Clone)]
pub struct Sink {
    port: u16,
    shared: Arc<Shared>,
}

/// As the sink wants it.
const LOGIN: &[u8] = b"\0berth\0p@ss-of-the-sink";

impl Sink {
    pub async fn new() -> Self {
        let shared =
            Shared { mood: Mutex::new(Mood::Takes), arrived: Mutex::default(), asked: Mutex::default() };
        let (shared, listener) = (Arc::new(shared), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let port = listener.local_addr().unwrap().port();
        let each = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = each.clone();
                *shared.asked.lock().unwrap() += 1;
                tokio::spawn(async move { drop(serve(stream, &shared).await) });
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("smtp://berth:p%40ss-of-the-sink@127.0.0.1:{}?tls=none", self.port)
    }

    /// As [`Sink::url`], with something else after the port.
    pub fn url_with(&self, login: &str, query: &str) -> String {
        format!("smtp://{login}127.0.0.1:{}{query}", self.port)
    }

    pub fn mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// What it read, whatever it said to it.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.shared.arrived.lock().unwrap().clone()
    }

    /// How often somebody connected.
    pub fn asked(&self) -> usize {
        *self.shared.asked.lock().unwrap()
    }

    pub fn subjects(&self) -> Vec<String> {
        self.arrived().iter().map(Arrived::subject).collect()
    }

    /// What it has read once there is so much.
    pub async fn wait_for(&self, count: usize) -> Vec<Arrived> {
        let what = || format!("{count} mails, not {:?}", self.subjects());
        until(what, async || self.arrived().len() >= count).await;
        self.arrived()
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mood = || *shared.mood.lock().unwrap();
    if mood() == Mood::Down {
        return Ok(());
    }
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut known, mut to) = (false, String::new());
    write.write_all(b"220 sink\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let (verb, rest) = line.split_at(line.len().min(4));
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => "250-sink\r\n250 AUTH PLAIN",
            "AUTH" => {
                let given = rest.trim().strip_prefix("PLAIN ").unwrap_or_default();
                known = STANDARD.decode(given).is_ok_and(|given| given == LOGIN);
                if known { "235 welcome" } else { "535 who is that" }
            }
            "MAIL" if !known => "530 log in first",
            "RCPT" => match mood() {
                Mood::RefusesTo(answer) => answer,
                _ => {
                    to = rest.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    "250 ok"
                }
            },
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                loop {
                    match lines.next_line().await? {
                        None => return Ok(()),
                        Some(line) if line == "." => break,
                        Some(line) => {
                            text.push_str(line.strip_prefix('.').unwrap_or(&line));
                            text.push('\n');
                        }
                    }
                }
                shared.arrived.lock().unwrap().push(Arrived { to: to.clone(), text });
                match mood() {
                    Mood::BreaksOff => return Ok(()),
                    Mood::RefusesText(answer) => answer,
                    Mood::TakesAfter(wait) => {
                        tokio::time::sleep(wait).await;
                        "250 taken"
                    }
                    _ => "250 taken",
                }
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}
