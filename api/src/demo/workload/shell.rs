//! An SSH server that gives a shell, or runs a command, in the renter's folder.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use russh::{
    Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, MethodKind, MethodSet, Pty,
    keys::PrivateKey,
    server::{self, Auth, ChannelOpenHandle, Handler, Msg, Session},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// What is read of a program at once, in bytes.
const BUFFER: usize = 32 * 1024;

/// The pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may log in, and where that leads.
pub struct Login {
    pub user: String,
    pub password: String,
    pub home: PathBuf,
}

/// Serves until stopped; then everything that runs is ended.
pub async fn serve(listener: TcpListener, host_key: PrivateKey, login: Login, stop: CancellationToken) {
    let config = Arc::new(server::Config {
        keys: vec![host_key],
        methods: MethodSet::from(&[MethodKind::Password][..]),
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: 3,
        ..server::Config::default()
    });
    let login = Arc::new(login);
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        tokio::spawn(session(stream, config.clone(), login.clone(), stop.clone()));
    }
}

async fn session(
    stream: TcpStream,
    config: Arc<server::Config>,
    login: Arc<Login>,
    stop: CancellationToken,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    let visitor = Visitor { login, stop: stop.clone(), waiting: HashMap::new(), terminals: HashMap::new() };
    let session = server::run_stream(config, stream, visitor).await?;
    let handle = session.handle();
    tokio::select! {
        done = session => done,
        () = stop.cancelled() => {
            handle.disconnect(russh::Disconnect::ByApplication, "the lease is over".into(), "en".into()).await
        }
    }
}

struct Visitor {
    login: Arc<Login>,
    stop: CancellationToken,
    waiting: HashMap<ChannelId, Channel<Msg>>,
    terminals: HashMap<ChannelId, (u16, u16)>,
}

impl Visitor {
    fn start(
        &mut self,
        channel: ChannelId,
        command: Option<&[u8]>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(opened) = self.waiting.remove(&channel) else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        let command = command.map(|command| String::from_utf8_lossy(command).into_owned());
        let (home, terminal, stop) =
            (self.login.home.clone(), self.terminals.remove(&channel), self.stop.clone());
        tokio::spawn(async move {
            let (read, write) = opened.split();
            let run = async {
                match terminal {
                    Some(size) => with_terminal(&home, command.as_deref(), size, read, &write).await,
                    None => with_pipes(&home, command.as_deref(), read, &write).await,
                }
            };
            let status = tokio::select! {
                status = run => status,
                () = stop.cancelled() => return,
            };
            let code = status.ok().and_then(|status| status.code()).unwrap_or(255);
            // Whoever went away needs no answer.
            let _ = write.exit_status(code.unsigned_abs()).await;
            let _ = write.eof().await;
            let _ = write.close().await;
        });
        Ok(())
    }
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = user == self.login.user && password == self.login.password;
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.waiting.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let short = |n: u32| u16::try_from(n).unwrap_or(80).max(1);
        self.terminals.insert(channel, (short(rows), short(columns)));
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(channel, None, session)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(channel, Some(command), session)
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.waiting.remove(&channel);
        self.terminals.remove(&channel);
        Ok(())
    }
}

fn arguments(command: Option<&str>) -> Vec<&str> {
    command.map_or_else(|| vec!["-i"], |command| vec!["-c", command])
}

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

async fn with_terminal(
    home: &Path,
    command: Option<&str>,
    (rows, columns): (u16, u16),
    mut read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> anyhow::Result<ExitStatus> {
    let (pty, pts) = pty_process::open()?;
    pty.resize(pty_process::Size::new(rows, columns))?;
    let shell = pty_process::Command::new("sh").args(arguments(command)).current_dir(home).env_clear();
    let shell = shell.env("PATH", PATH).env("HOME", home).env("TERM", "xterm").env("PS1", "renter$ ");
    let mut child = shell.kill_on_drop(true).spawn(pts)?;
    let (mut out, mut into) = pty.into_split();
    let typed = async {
        while let Some(message) = read.wait().await {
            if let ChannelMsg::Data { data } = message
                && into.write_all(&data).await.is_err()
            {
                break;
            }
        }
    };
    let shown = async {
        let mut buffer = vec![0; BUFFER];
        // A terminal whose last program has ended cannot be read any more.
        while let Ok(n @ 1..) = out.read(&mut buffer).await {
            if write.data(&buffer[..n]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(shown, child.wait()) } => {}
        () = typed => child.start_kill()?,
    }
    Ok(child.wait().await?)
}

async fn with_pipes(
    home: &Path,
    command: Option<&str>,
    mut read: ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> anyhow::Result<ExitStatus> {
    let mut shell = tokio::process::Command::new("sh");
    shell
        .args(command.map_or_else(|| vec!["-s"], |command| vec!["-c", command]))
        .current_dir(home)
        .env_clear();
    shell.env("PATH", PATH).env("HOME", home);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = shell.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let typed = async move {
        let mut stdin = stdin;
        while let Some(message) = read.wait().await {
            match (message, &mut stdin) {
                // A program that reads no more hears no more.
                (ChannelMsg::Data { data }, Some(pipe)) => drop(pipe.write_all(&data).await),
                (ChannelMsg::Eof, _) => stdin = None,
                _ => {}
            }
        }
    };
    let shown = async {
        let Some(mut out) = stdout else { return };
        let mut buffer = vec![0; BUFFER];
        while let Ok(n @ 1..) = out.read(&mut buffer).await {
            if write.data(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    let complained = async {
        let Some(mut out) = stderr else { return };
        let mut buffer = vec![0; BUFFER];
        while let Ok(n @ 1..) = out.read(&mut buffer).await {
            if write.extended_data(1, &buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = async { tokio::join!(shown, complained); } => {}
        () = typed => child.start_kill()?,
    }
    Ok(child.wait().await?)
}
