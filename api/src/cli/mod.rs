//! The command line.

mod account;
mod copy;
mod export;
mod keys;
mod quote;
mod rebuild;
mod replay;
mod serve;
mod show;
mod verify;

pub use show::layout;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    app::{App, DataDir},
    config::{self, Loaded},
    stores::Stores,
    telemetry::{self, LogFormat},
};

/// An event-sourced rental ledger for devices that people rent to each other.
#[derive(Debug, Parser)]
#[command(name = "berth", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The folder that holds ledger, views, private store and keys [default: ./berth-data]
    #[arg(long, global = true, env = "BERTH_DATA")]
    pub data: Option<PathBuf>,
    /// A configuration file; `berth.toml` in the data folder is read when it exists
    #[arg(long, global = true, env = "BERTH_CONFIG")]
    pub config: Option<PathBuf>,
    /// The PostgreSQL database that nodes share: postgres://user:password@host/database
    #[arg(long, global = true, env = "BERTH_DATABASE", value_name = "ADDRESS", hide_env_values = true)]
    pub database: Option<String>,
    /// The KurrentDB that holds the event log, beside a database: esdb://user:password@host:2113. What is no such address is
    /// taken for a filter, as in --log-filter
    #[arg(long, global = true, env = "BERTH_LOG", value_name = "ADDRESS", hide_env_values = true)]
    pub log: Option<String>,
    /// What this program logs, such as `info` or `api=debug,info`
    #[arg(long, global = true, env = "BERTH_LOG_FILTER", value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// How log lines look
    #[arg(long, global = true, env = "BERTH_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: API, scheduler and steward on an embedded ledger
    Serve(serve::Serve),
    /// Show a living marketplace, or with --once one whole story
    #[cfg(feature = "demo")]
    Demo(crate::demo::Demo),
    /// Open accounts and make tokens
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Show the keys that the server signs with, or make a new one that devices believe
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Make views anew from the ledger: those named, or all
    Rebuild(rebuild::Rebuild),
    /// Print events as they happened
    Replay(replay::Replay),
    /// Write the ledger out
    #[command(subcommand)]
    Export(export::Export),
    Verify(verify::Verify),
    Copy(copy::Copy),
    Quote(quote::Quote),
    /// Print the effective configuration and where each value comes from
    Config,
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Run a device agent (used by `berth demo`)
    #[cfg(feature = "demo")]
    #[command(hide = true, trailing_var_arg = true)]
    Agent {
        /// The agent's own arguments
        #[arg(allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

impl Common {
    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| "./berth-data".into())
    }

    /// Loads the configuration.
    ///
    /// # Errors
    /// When a name or value is wrong.
    pub fn load(&self, flags: &[(&str, String)]) -> anyhow::Result<Loaded> {
        let beside = self.data().join("berth.toml");
        let file = self.config.clone().or_else(|| beside.exists().then_some(beside));
        if let Some(log) = self.log.as_ref().filter(|log| !is_address(log)) {
            // An address with a slip in it must not pass for a filter.
            let port = log.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            anyhow::ensure!(
                !port && !log.contains(['/', '@']),
                "--log is neither an address like esdb://host:2113 nor a filter like info"
            );
        }
        let log = self.log.clone().filter(|log| is_address(log));
        let addresses = [("database", self.database.clone()), ("log", log)];
        let addresses = addresses.into_iter().filter_map(|(name, given)| Some((name, given?)));
        let flags: Vec<_> = addresses.chain(flags.iter().cloned()).collect();
        config::load(file.as_deref(), std::env::vars(), &flags)
    }

    /// Where the data are kept.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn stores(&self) -> anyhow::Result<Stores> {
        Stores::new(&DataDir::at(&self.data()), &self.load(&[])?.config)
    }

    /// Opens an existing ledger for a command that writes.
    ///
    /// # Errors
    /// When there is none or it cannot be used.
    pub async fn open(&self) -> anyhow::Result<App> {
        let config = self.load(&[])?.config;
        let stores = Stores::new(&DataDir::at(&self.data()), &config)?;
        stores.must_exist().await?;
        App::open(&DataDir::open(&self.data())?, config, stores.clock().await?, rebuild::bar()).await
    }

    /// What is to be logged.
    fn filter(&self) -> Option<String> {
        self.log_filter.clone().or_else(|| self.log.clone().filter(|log| !is_address(log)))
    }
}

/// Whether this is an address, and not a filter.
fn is_address(text: &str) -> bool {
    text.contains("://")
}

/// Runs the command line; the exit code is 0 when all went well, 1 when not, 2 when the arguments are wrong.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    #[cfg(feature = "demo")]
    if let Command::Agent { arguments } = command {
        let program = std::ffi::OsString::from("berth-agent");
        return crate::demo::agent_main(std::iter::once(program).chain(arguments));
    }
    // Whatever is written holds people's data: nobody else reads it.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let quiet = !matches!(command, Command::Serve(_));
    let filter = common.filter().unwrap_or_else(|| {
        if quiet { "warn,eventstore=off" } else { "info,russh=off,eventstore=off" }.into()
    });
    if let Err(e) = telemetry::start(&filter, common.log_format) {
        eprintln!("berth: --log-filter {filter:?} cannot be read: {e}");
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("berth: the runtime does not start: {e}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(common, command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("berth: {e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(common: Common, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(serve) => serve.run(&common).await,
        #[cfg(feature = "demo")]
        Command::Demo(demo) => demo.run(&common).await,
        Command::Account(account) => account.run(&common).await,
        Command::Keys(keys) => keys.run(&common),
        Command::Rebuild(rebuild) => rebuild.run(&common).await,
        Command::Replay(replay) => replay.run(&common).await,
        Command::Export(export) => export.run(&common).await,
        Command::Verify(verify) => verify.run(&common).await,
        Command::Copy(copy) => copy.run(&common).await,
        Command::Quote(quote) => quote.run(),
        Command::Config => show::configuration(&common),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "berth", &mut std::io::stdout());
            Ok(())
        }
        #[cfg(feature = "demo")]
        Command::Agent { .. } => unreachable!("handled before the runtime starts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
