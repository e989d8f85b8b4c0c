//! The engine: reached anew for every piece of work, and never waited for without a limit.

mod failure;

use std::{future::Future, io, time::Duration};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use tokio::time::timeout;

use super::config::DockerConfig;
pub(super) use failure::{Failure, failed, hung, shortened};

/// The oldest engine API that knows everything that is asked for: Docker 19.03.
const API_MIN: (usize, usize) = (1, 40);

/// How long the engine may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an ordinary call.
    pub call: Duration,
    /// For fetching an image.
    pub pull: Duration,
    /// For the next word while an image is fetched.
    pub pull_silence: Duration,
    /// For copying one directory out of an image.
    pub seed: Duration,
    /// For setting the login.
    pub login: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            pull: Duration::from_secs(3_600),
            pull_silence: Duration::from_secs(300),
            seed: Duration::from_secs(1_800),
            login: Duration::from_secs(60),
        }
    }
}

/// A reachable engine.
#[derive(Debug)]
pub(super) struct Engine {
    docker: Docker,
    /// How long it may take.
    pub(super) patience: Patience,
}

impl Engine {
    /// Reaches the engine and agrees on a version with it.
    pub(super) async fn reach(config: &DockerConfig, patience: Patience) -> Result<Self, Failure> {
        let path = config.socket_path();
        // The client only asks whether the path exists: this says why not.
        if let Err(error) = std::fs::metadata(path) {
            return Err(failure::unreachable(path, error.kind(), &error.to_string()));
        }
        let address = format!("unix://{}", path.display());
        let seconds = patience.call.as_secs().max(1);
        let docker = Docker::connect_with_unix(&address, seconds, API_DEFAULT_VERSION)
            .map_err(|e| failure::unreachable(path, io::ErrorKind::NotFound, &e.to_string()))?;
        let docker = match timeout(patience.call, docker.negotiate_version()).await {
            Ok(Ok(docker)) => docker,
            Ok(Err(error)) => {
                let kind = failure::io_kind(&error).unwrap_or(io::ErrorKind::Other);
                return Err(failure::unreachable(path, kind, &failure::chain(&error)));
            }
            Err(_) => return Err(failure::unreachable(path, io::ErrorKind::TimedOut, "timed out")),
        };
        let version = docker.client_version();
        if (version.major_version, version.minor_version) < API_MIN {
            return Err(Failure::new(format!(
                "the container engine at {} speaks API {}.{}, which is too old; install Docker 19.03 or newer",
                path.display(),
                version.major_version,
                version.minor_version
            )));
        }
        Ok(Self { docker, patience })
    }

    /// The client, for calls that take as long as others.
    pub(super) const fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The client, for calls whose answer may come up to `later` than others'.
    pub(super) fn patient(&self, later: Duration) -> Docker {
        self.docker.clone().with_timeout(self.patience.call + later)
    }

    /// Performs one ordinary call; `what` names it in errors.
    pub(super) async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        within(self.patience.call, what, call).await
    }
}

/// Performs one call within `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(what, &error)),
        Err(_) => Err(hung(what, limit)),
    }
}
