//! The command line.

use std::{ffi::OsString, io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Config, VolumeConfig},
    identity,
    run::Agent,
    service, status,
    workload::Workload,
};

/// How often a sign of life is offered to the service manager.
const BEAT: Duration = Duration::from_secs(5);

#[derive(Parser)]
#[command(name = "berth-agent", version, about = "The agent of a rented device")]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where agent.json is.
    #[arg(long, global = true, default_value = "agent.json", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Run until told to stop; what the service manager starts.
    Run {
        /// How log lines are written; their level comes from RUST_LOG.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// Say what this device holds.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Erase the lease held here before it ended: a breach of the rental, told to the server and in the receipt.
    Erase {
        /// Confirm that the renter's data shall be destroyed.
        #[arg(long)]
        i_am_the_owner: bool,
    },
    /// Explain what is wrong with the configuration, the state or the way to the server.
    Check,
    /// Print the systemd unit that runs this program with this agent.json.
    Unit,
    /// Print the device's own key as OpenSSH reads it, for a tunnel of your own making.
    SshKey,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Makes what runs for renters, out of the configuration.
pub type MakeWorkload<'a> = dyn Fn(&Config) -> Box<dyn Workload> + Sync + 'a;

/// Runs the command line `args`, program name first.
#[must_use]
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with_workload(args, &|config| config.workload.workload())
}

/// As [`main_with`], with a workload of the caller's making.
#[must_use]
pub fn main_with_workload(args: impl IntoIterator<Item = OsString>, make: &MakeWorkload<'_>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // Nothing is left to say when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // On a thread of its own, so that a caller that is asynchronous itself may call this too.
    let done = std::thread::scope(|scope| scope.spawn(|| dispatch(&cli, make)).join());
    match done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("berth-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: &Cli, make: &MakeWorkload<'_>) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run { log_format } => {
            log(log_format);
            let config = Config::load(&cli.config)?;
            runtime()?.block_on(run(config, make))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Status { json } => {
            let status = status::Status::read(&Config::load(&cli.config)?);
            if json {
                println!("{}", serde_json::to_string_pretty(&status)?);
            } else {
                print!("{status}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Erase { i_am_the_owner } => {
            ensure!(
                i_am_the_owner,
                "this destroys the renter's data and breaks the rental; repeat it with --i-am-the-owner if that is meant"
            );
            let config = Config::load(&cli.config)?;
            let workload = make(&config);
            let (epoch, steps) = runtime()?
                .block_on(async { Agent::open_with(config, workload).await?.erase_on_demand().await })?;
            for step in steps {
                println!("{:<15} {}", step.step, step.detail);
            }
            println!(
                "lease {epoch} is erased; start the agent: it tells the server, and a receipt follows the lease's end"
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Check => {
            let sound = runtime()?.block_on(status::check(&cli.config, make))?;
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::SshKey => {
            let config = Config::load(&cli.config)?;
            print!("{}", identity::openssh(&config.data_dir)?.as_str());
            Ok(ExitCode::SUCCESS)
        }
        Command::Unit => {
            let program = std::env::current_exe().context("cannot tell where this program is")?;
            let config = Config::load(&cli.config)?;
            let mut places = vec![config.data_dir.as_path()];
            if let VolumeConfig::Directory { path } = &config.volume {
                places.push(path);
            }
            print!("{}", service::unit(&program, &std::path::absolute(&cli.config)?, &places)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")
}

async fn run(config: Config, make: &MakeWorkload<'_>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let service = service::Service::from_env();
    let workload = make(&config);
    let mut agent = Agent::open_with(config, workload).await?;
    service.ready();
    tokio::select! {
        () = agent.run() => {}
        () = beat(&service) => {}
        _ = terminate.recv() => info!("told to stop"),
        _ = interrupt.recv() => info!("interrupted"),
    }
    service.stopping();
    Ok(())
}

/// Signs of life from the task that the agent runs in: they end when it is stuck in a call.
async fn beat(service: &service::Service) {
    loop {
        service.beat();
        tokio::time::sleep(BEAT).await;
    }
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,russh=warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    // A binary that embeds the agent may have a subscriber already; then that one is used.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
