//! A mail server of the tests' own, and what it got.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

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

/// When it encrypts, and as whom.
#[derive(Clone)]
pub enum Encrypts {
    Never,
    WhenAsked(TlsAcceptor),
    Always(TlsAcceptor),
}

struct Shared {
    encrypts: Encrypts,
    mood: Mutex<Mood>,
    arrived: Mutex<Vec<Arrived>>,
    asked: Mutex<usize>,
}

/// A mail server for whoever logs in as `berth` with the password `p@ss-of-the-sink`.
#[derive(Clone)]
pub struct Sink {
    port: u16,
    shared: Arc<Shared>,
}

/// As the sink wants it.
const LOGIN: &[u8] = b"\0berth\0p@ss-of-the-sink";

impl Sink {
    pub async fn new() -> Self {
        Self::with(Encrypts::Never).await
    }

    pub async fn with(encrypts: Encrypts) -> Self {
        let (mood, arrived, asked) = (Mutex::new(Mood::Takes), Mutex::default(), Mutex::default());
        let shared = Shared { encrypts, mood, arrived, asked };
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

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// As [`Sink::url`], with another login, and something else after the port.
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

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One conversation.
struct Talk {
    stream: BufReader<Box<dyn Stream>>,
}

impl Talk {
    fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    async fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.get_mut().flush().await
    }

    async fn hear(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await?;
        Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// A text up to the lone dot; none when it was cut off.
    async fn text(&mut self) -> std::io::Result<Option<String>> {
        let mut text = String::new();
        while let Some(line) = self.hear().await? {
            if line == "." {
                return Ok(Some(text));
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
        Ok(None)
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mood = || *shared.mood.lock().unwrap();
    if mood() == Mood::Down {
        return Ok(());
    }
    let mut talk = match &shared.encrypts {
        Encrypts::Always(acceptor) => Talk::over(acceptor.accept(stream).await?),
        _ => Talk::over(stream),
    };
    let mut may_encrypt = match &shared.encrypts {
        Encrypts::WhenAsked(acceptor) => Some(acceptor),
        _ => None,
    };
    let (mut known, mut to) = (false, String::new());
    talk.say("220 sink").await?;
    while let Some(line) = talk.hear().await? {
        let (verb, rest) = line.split_at(line.len().min(4));
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" if may_encrypt.is_some() => "250-sink\r\n250 STARTTLS",
            "EHLO" => "250-sink\r\n250 AUTH PLAIN",
            "STAR" => {
                let Some(acceptor) = may_encrypt.take() else { return Ok(()) };
                talk.say("220 go on").await?;
                talk = Talk::over(acceptor.accept(talk.stream.into_inner()).await?);
                continue;
            }
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
                talk.say("354 go on").await?;
                let Some(text) = talk.text().await? else { return Ok(()) };
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
            "QUIT" => return talk.say("221 bye").await,
            _ => "250 ok",
        };
        talk.say(answer).await?;
    }
    Ok(())
}
