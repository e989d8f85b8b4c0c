//! The renter's writable directories: on the volume, filled once from the image.
//!
//! # Shape
//! ```text
//! <data>/root/            only the agent's user may enter
//!   etc, home, usr+local  one per writable directory, bound into the container
//!   .seed-var             being filled
//! ```
//! A container that is never started lends its files: the engine's archive of each directory is unpacked under a temporary
//! name; when all are there they are synced, then renamed.
//!
//! # Correctness
//! A directory under its final name is complete and the renter's: it is never filled again. Anything else is thrown away
//! and done anew, so a power cut costs time only. Renters see the insides of these directories, never `root` itself; they
//! cannot make a name here point elsewhere. The one writer holds a lock that outlives a call which is given up.

mod unpack;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bollard::{
    models::{
        ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
        MountBindOptionsPropagationEnum, MountType,
    },
    query_parameters::{CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder},
};
use futures_util::StreamExt;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc},
    time::timeout,
};
use tracing::info;

use super::{
    config::{DockerConfig, check_inside},
    engine::{Engine, Failure, failed, hung},
    image::Image,
    owned::{self, Role},
};
use crate::{file, tree::Disk, workload::Tenancy};

/// Pieces of an archive on their way from the engine to the disk.
const PIECES_MAX: usize = 16;
const TEMPORARY: &str = ".seed-";

/// Held while the volume is written to.
pub(super) type Writing = Arc<Mutex<()>>;

/// The directories to bind: the configured ones, and every volume the image declares.
pub(super) fn directories(config: &DockerConfig, image: &Image) -> Result<Vec<String>, Failure> {
    let mut all = config.writable.clone();
    for volume in &image.volumes {
        let path = volume.trim_end_matches('/');
        check_inside(path).map_err(|e| {
            Failure::new(format!("image {} declares a volume that cannot be bound: {e}", config.image))
        })?;
        if !all.iter().any(|known| known == path) {
            all.push(path.to_owned());
        }
    }
    Ok(all)
}

/// How they are bound.
pub(super) fn mounts(data: &Path, directories: &[String]) -> Vec<Mount> {
    let bind = MountBindOptions {
        propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
        ..MountBindOptions::default()
    };
    directories
        .iter()
        .map(|path| Mount {
            target: Some(path.clone()),
            source: Some(home_of(data, path).to_string_lossy().into_owned()),
            // Unlike a plain bind, this one fails when the source is missing: the volume must be open.
            typ: Some(MountType::BIND),
            bind_options: Some(bind.clone()),
            ..Mount::default()
        })
        .collect()
}

fn root_of(data: &Path) -> PathBuf {
    data.join("root")
}

fn home_of(data: &Path, path: &str) -> PathBuf {
    root_of(data).join(flat(path))
}

/// One name per path and no slash: directories inside each other lie beside each other here.
fn flat(path: &str) -> String {
    let mut name = String::new();
    for byte in path.trim_start_matches('/').bytes() {
        match byte {
            b'/' => name.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    name
}

/// Fills what is not there yet.
pub(super) async fn ensure(
    engine: &Engine,
    tenancy: &Tenancy<'_>,
    image: &Image,
    directories: &[String],
    writing: &Writing,
) -> Result<(), Failure> {
    let data = tenancy.data;
    let held = Arc::new(hold(engine, writing).await?);
    let missing = prepare(data, directories).map_err(|e| disk("prepare the volume", &e))?;
    if missing.is_empty() {
        return Ok(());
    }
    let name = owned::name(tenancy.device, tenancy.epoch, Role::Seed);
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let creation = engine.docker().create_container(Some(options), lender(tenancy, &image.id));
    let lender = engine.call(&format!("create {name}"), creation).await?.id;
    let mut targets = Vec::new();
    for path in missing {
        let target = target(data, path);
        let filled = fill(engine, &lender, path, target.clone(), &held).await?;
        targets.push(target);
        info!(
            device = %tenancy.device, epoch = tenancy.epoch, path, entries = filled.entries, bytes = filled.bytes,
            "filled a writable directory"
        );
    }
    let root = root_of(data);
    tokio::task::spawn_blocking(move || {
        let finished = unpack::finish(&root, &targets);
        drop(held);
        finished
    })
    .await
    .map_err(|e| Failure::new(format!("cannot finish the volume: {e}")))?
    .map_err(|e| disk("finish the volume", &e))?;
    for leftover in owned::list(engine, tenancy.device).await?.iter().filter(|c| c.id == lender) {
        owned::remove(engine, tenancy.device, leftover).await?;
    }
    Ok(())
}

/// Waits until nothing is written to the volume any more, also by a call that was given up.
pub(super) async fn hold(engine: &Engine, writing: &Writing) -> Result<OwnedMutexGuard<()>, Failure> {
    let limit = engine.patience.call;
    timeout(limit, Arc::clone(writing).lock_owned())
        .await
        .map_err(|_| Failure::new("the volume is still being filled by an earlier call; try again later"))
}

/// Throws away what is half-filled; the directories that are to be filled.
fn prepare<'a>(data: &Path, directories: &'a [String]) -> io::Result<Vec<&'a str>> {
    if !data.is_dir() {
        return Err(io::Error::other(format!(
            "the renter's directory {} is not there; is the volume open?",
            data.display()
        )));
    }
    let root = root_of(data);
    file::create_directory(&Disk, &root)?;
    for entry in fs::read_dir(&root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let mut missing = Vec::new();
    for path in directories {
        match fs::symlink_metadata(home_of(data, path)) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => {
                let shown = home_of(data, path);
                return Err(io::Error::other(format!("{} is not a directory", shown.display())));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(path.as_str()),
            Err(e) => return Err(e),
        }
    }
    Ok(missing)
}

/// A container that is made to be read and never started.
fn lender(tenancy: &Tenancy<'_>, image: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.into()),
        cmd: Some(vec!["never-started".into()]),
        labels: Some(owned::labels(tenancy.device, tenancy.epoch, Role::Seed, None)),
        network_disabled: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some("none".into()),
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn target(data: &Path, path: &str) -> unpack::Target {
    unpack::Target {
        temporary: root_of(data).join(format!("{TEMPORARY}{}", flat(path))),
        finished: home_of(data, path),
        private: path == "/root",
    }
}

/// Copies one directory out of the image.
async fn fill(
    engine: &Engine,
    lender: &str,
    path: &str,
    target: unpack::Target,
    held: &Arc<OwnedMutexGuard<()>>,
) -> Result<unpack::Filled, Failure> {
    let what = format!("read {path} of the image");
    // With the dot the engine follows a symlink, inside the image, and names everything from there.
    let options = DownloadFromContainerOptionsBuilder::default().path(&format!("{path}/.")).build();
    let mut archive = Box::pin(engine.docker().download_from_container(lender, Some(options)));
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let held = Arc::clone(held);
    // The thread holds the lock too: it ends soon after the sender is dropped.
    let writer = tokio::task::spawn_blocking(move || {
        let filled = unpack::fill(&target, pieces);
        drop(held);
        filled
    });
    let feed = async {
        let mut is_first = true;
        while let Some(piece) = archive.next().await {
            match piece.map_err(|e| failed(&what, &e)) {
                Ok(piece) if sender.send(unpack::Piece::Bytes(piece.to_vec())).await.is_err() => {
                    return Ok(());
                }
                Ok(_) => {}
                // The image has no such directory: it starts empty.
                Err(failure) if is_first && failure.is_absent() => {
                    sender.send(unpack::Piece::Absent).await.ok();
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
            is_first = false;
        }
        sender.send(unpack::Piece::End).await.ok();
        Ok(())
    };
    let fed = timeout(engine.patience.seed, feed).await;
    drop(sender);
    let filled = writer.await.map_err(|e| Failure::new(format!("cannot {what}: {e}")))?;
    fed.unwrap_or_else(|_| Err(hung(&what, engine.patience.seed)))?;
    filled.map_err(|e| disk(&format!("copy {path} of the image to the volume"), &e))
}

fn disk(what: &str, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull => "; the volume is too small for this image",
        io::ErrorKind::PermissionDenied => "; run the agent as root",
        _ => "",
    };
    Failure::new(format!("cannot {what}: {error}{advice}"))
}

/// An empty directory that everybody may enter, or only root.
fn make(path: &Path, private: bool) -> io::Result<()> {
    fs::DirBuilder::new().mode(if private { 0o700 } else { 0o755 }).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_name_of_its_own() {
        let paths =
            ["/usr/local", "/usr+local", "/usr", "/.seed-usr", "/usr.local", "/usr%2flocal", "/a b/ü"];
        let names: std::collections::BTreeSet<_> = paths.iter().map(|path| flat(path)).collect();
        assert_eq!(names.len(), paths.len(), "{names:?}");
        assert!(names.iter().all(|name| !name.contains('/') && !name.starts_with('.')), "{names:?}");
        assert_eq!(flat("/usr/local"), "usr+local");
    }

    #[test]
    fn what_is_half_filled_is_thrown_away_and_what_is_complete_is_kept() {
        let data = tempfile::tempdir().unwrap();
        let wanted = ["/etc".to_owned(), "/usr/local".to_owned()];
        fs::create_dir_all(data.path().join("root/etc")).unwrap();
        fs::create_dir_all(data.path().join("root/.seed-usr+local/half")).unwrap();
        assert_eq!(prepare(data.path(), &wanted).unwrap(), ["/usr/local"]);
        assert!(data.path().join("root/etc").is_dir());
        assert!(!data.path().join("root/.seed-usr+local").exists());
    }

    #[test]
    fn a_volume_that_is_not_open_is_not_filled() {
        let closed = tempfile::tempdir().unwrap().path().join("data");
        let error = prepare(&closed, &["/etc".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("is the volume open?"), "{error}");
        assert!(!closed.exists());
    }
}
