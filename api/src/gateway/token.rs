//! What a gateway in a process of its own proves itself with: a file that whoever has the data folder can read.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, ensure};

use crate::{clock::fresh_secret, config::Secret};

const FILE: &str = "token";
/// The longest token, in bytes.
const MAX: usize = 200;

/// The token in `folder`, made when there is none.
///
/// # Errors
/// When it cannot be read or written.
pub fn load_or_create(folder: &Path) -> anyhow::Result<Secret> {
    if !folder.join(FILE).exists() {
        write(folder, &Secret(fresh_secret("berth-gateway-")))?;
    }
    load(folder)
}

/// Puts a token that is known otherwise into `folder`, for a gateway that runs beside.
///
/// # Errors
/// When it cannot be read or written.
pub fn keep(folder: &Path, token: &Secret) -> anyhow::Result<Secret> {
    if load(folder).ok().is_none_or(|kept| kept.0 != token.0) {
        write(folder, token)?;
    }
    Ok(token.clone())
}

fn write(folder: &Path, token: &Secret) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("{} cannot be made", folder.display()))?;
    let building = folder.join("token.new");
    let _ = fs::remove_file(&building);
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&building)?;
    file.write_all(format!("{}\n", token.0).as_bytes())?;
    file.sync_all()?;
    Ok(fs::rename(&building, folder.join(FILE))?)
}

/// The token in `folder`.
///
/// # Errors
/// When there is none.
pub fn load(folder: &Path) -> anyhow::Result<Secret> {
    let path = folder.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty() && token.len() <= MAX, "{} is damaged; remove it", path.display());
    Ok(Secret(token.to_owned()))
}
