//! The renter's login, set inside the running container.
//!
//! # Correctness
//! The password goes from memory through the engine's socket into a shell's standard input and nowhere else: not into an
//! argument, an environment, a label, a layer or a log. What the shell prints is written by the renter's own programs; it
//! is shortened, and cleared of the password, before it is repeated.

use std::time::Duration;

use bollard::{
    container::LogOutput,
    errors::Error,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use futures_util::StreamExt;
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};

use super::engine::{Engine, Failure, failed, hung, shortened};
use crate::workload::Tenancy;

const SCRIPT: &str = include_str!("login/set.sh");
const SET_THE_LOGIN: &str = "set the renter's login";
const USER_BYTES_MAX: usize = 32;
const PASSWORD_BYTES_MAX: usize = 256;
/// No more of what the shell prints is kept.
const OUTPUT_BYTES_MAX: usize = 2_000;
/// How often is looked whether the shell has ended.
const LOOKS_MAX: u32 = 20;

/// Whether they can be a login.
pub(super) fn check(tenancy: &Tenancy<'_>) -> Result<(), Failure> {
    let Tenancy { user, password, .. } = tenancy;
    let starts_well = user.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if !starts_well || user.len() > USER_BYTES_MAX || !user.bytes().all(goes_on) || *user == "root" {
        return Err(Failure::new(
            "the renter's user name is not usable: it must be lower-case letters, digits, - and _, and not root",
        ));
    }
    let fine = |b: u8| (b' '..=b'~').contains(&b);
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX || !password.bytes().all(fine) {
        return Err(Failure::new("the renter's password is not usable: it must be one line of plain ASCII"));
    }
    Ok(())
}

/// Makes the user and sets the password, both again when they are there already.
pub(super) async fn set(engine: &Engine, container: &str, tenancy: &Tenancy<'_>) -> Result<(), Failure> {
    let limit = engine.patience.login;
    let (code, output) = timeout(limit, exec(engine, container, tenancy))
        .await
        .unwrap_or_else(|_| Err(hung(SET_THE_LOGIN, limit)))?;
    let Some(said) = explained(code) else { return Ok(()) };
    let output = shortened(&output.replace(tenancy.password, "…"));
    let output = if output.is_empty() { output } else { format!(" ({output})") };
    Err(Failure::new(format!("cannot {SET_THE_LOGIN}: {said}{output}")))
}

async fn exec(engine: &Engine, container: &str, tenancy: &Tenancy<'_>) -> Result<(i64, String), Failure> {
    let docker = engine.docker();
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(vec!["/bin/sh", "-c", SCRIPT]),
        user: Some("0:0"),
        working_dir: Some("/"),
        ..CreateExecOptions::default()
    };
    let id = engine.call(SET_THE_LOGIN, docker.create_exec(container, options)).await?.id;
    let mut output = String::new();
    match engine.call(SET_THE_LOGIN, docker.start_exec(&id, None::<StartExecOptions>)).await {
        Ok(StartExecResults::Attached { output: mut lines, mut input }) => {
            let login = format!("{}\n{}\n", tenancy.user, tenancy.password);
            // A shell that is not there reads nothing: its exit code tells more than this.
            if input.write_all(login.as_bytes()).await.is_ok() {
                input.flush().await.ok();
            }
            input.shutdown().await.ok();
            while let Some(line) = lines.next().await {
                let line = line.map_err(|e| failed(SET_THE_LOGIN, &e))?;
                keep(&mut output, &line);
            }
        }
        Ok(StartExecResults::Detached) => return Err(Failure::new("the login ran out of sight; try again")),
        Err(failure) if failure.said.contains("/bin/sh") => return Ok((127, String::new())),
        Err(failure) => return Err(failure),
    }
    for look in 0..LOOKS_MAX {
        sleep(Duration::from_millis(50 * u64::from(look))).await;
        let seen = engine.call(SET_THE_LOGIN, docker.inspect_exec(&id)).await?;
        if let (Some(false), Some(code)) = (seen.running, seen.exit_code) {
            return Ok((code, output));
        }
    }
    Err(failed(SET_THE_LOGIN, &Error::RequestTimeoutError))
}

fn keep(output: &mut String, line: &LogOutput) {
    if output.len() < OUTPUT_BYTES_MAX {
        output.extend(line.to_string().chars().take(OUTPUT_BYTES_MAX));
    }
}

/// What an exit code of the script means; nothing when it is success.
fn explained(code: i64) -> Option<String> {
    let said = match code {
        0 => return None,
        64 => "the shell did not get it; try again".to_owned(),
        70 => "/etc cannot be written; the image's /etc must be a directory with room on the volume".to_owned(),
        71 => "the user cannot be added; install useradd or adduser in the image".to_owned(),
        72 => {
            "the image has neither a working chpasswd nor openssl, mkpasswd or cryptpw; install one of them in it"
                .to_owned()
        }
        73 => "the home directory cannot be made; add /home to \"writable\"".to_owned(),
        126 | 127 => "no shell can be started inside; the image needs /bin/sh and a sound /etc/passwd".to_owned(),
        137 => "the shell was killed; the memory limit may be too low".to_owned(),
        other => format!("the shell ended with code {other}"),
    };
    Some(said)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use domain::id::DeviceId;
    use uuid::Uuid;

    use super::*;

    fn checked(user: &str, password: &str) -> Result<(), String> {
        let device = DeviceId(Uuid::from_u128(5));
        let tenancy = Tenancy { device, epoch: 1, user, password, data: Path::new("/v") };
        check(&tenancy).map_err(|failure| failure.said)
    }

    #[test]
    fn a_login_is_one_plain_line_each() {
        assert_eq!(checked("renter-1", "p:a s$w`o\"r'd\\"), Ok(()));
        for user in ["", "root", "1a", "a:b", "a\nb", "A", "-a", &"a".repeat(33)] {
            assert!(checked(user, "secret").unwrap_err().contains("user name"), "{user:?}");
        }
        for password in ["", "a\nb", "ü", &"a".repeat(257)] {
            let error = checked("renter", password).unwrap_err();
            assert!(error.contains("one line"), "{error}");
            assert!(password.is_empty() || !error.contains(password), "{error}");
        }
    }

    #[test]
    fn every_exit_code_of_the_script_is_explained() {
        for code in [64, 70, 71, 72, 73] {
            assert!(SCRIPT.contains(&format!("exit {code}")), "{code} is not used");
            assert!(!explained(code).unwrap().contains("ended with code"), "{code} is not explained");
        }
        assert_eq!(explained(0), None);
    }
}
