//! The images of the tests, made of this machine's busybox.

use std::fs;

use bollard::{body_full, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt;
use tar::{Builder, EntryType, Header};

use super::engine::Engine;

const BUSYBOX: &str = "/bin/busybox";
/// Runs until it is told to end.
pub const ENDLESS: &str = "trap 'exit 0' TERM; sleep 1000000 & wait";

/// `bare`: nothing but busybox and its shell.
pub const BARE: &str = "bare:1";
/// `rich`: users, homes, a symlinked directory, a declared volume, a command.
pub const RICH: &str = "rich:1";

/// What is in an image.
pub struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn add(&mut self, kind: EntryType, path: &str, mode: u32, owner: u64, content: &[u8]) -> &mut Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content).unwrap();
        self
    }

    pub fn directory(&mut self, path: &str, mode: u32, owner: u64) -> &mut Self {
        self.add(EntryType::Directory, path, mode, owner, b"")
    }

    pub fn file(&mut self, path: &str, mode: u32, owner: u64, content: &[u8]) -> &mut Self {
        self.add(EntryType::Regular, path, mode, owner, content)
    }

    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    /// Makes the engine have it.
    pub async fn import(self, engine: &Engine, name: &str, changes: &[&str]) -> Result<(), String> {
        let (repo, tag) = name.split_once(':').unwrap();
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(repo)
            .tag(tag)
            .changes(changes.iter().map(|c| (*c).to_owned()).collect())
            .build();
        let body = body_full(self.0.into_inner().unwrap().into());
        let client = engine.client().negotiate_version().await.map_err(|e| e.to_string())?;
        let mut progress = Box::pin(client.create_image(Some(options), Some(body), None));
        while let Some(news) = progress.next().await {
            news.map_err(|e| format!("cannot import an image: {e}"))?;
        }
        Ok(())
    }
}

/// A layer with busybox and its shell.
pub fn bare() -> Result<Layer, String> {
    let busybox = fs::read(BUSYBOX).map_err(|e| format!("{BUSYBOX}: {e}"))?;
    // It finds no libraries exactly when there are none to find.
    let ldd = std::process::Command::new("ldd").arg(BUSYBOX).output();
    if ldd.is_ok_and(|ldd| ldd.status.success()) {
        return Err(format!("{BUSYBOX} is not static; install busybox-static"));
    }
    let mut layer = Layer(Builder::new(Vec::new()));
    layer.directory("bin", 0o755, 0).file("bin/busybox", 0o755, 0, &busybox).link("bin/sh", "busybox");
    Ok(layer)
}

fn rich() -> Result<Layer, String> {
    let mut layer = bare()?;
    layer
        .directory("etc", 0o755, 0)
        .file("etc/passwd", 0o644, 0, b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
        .file("etc/group", 0o644, 0, b"root:x:0:\napp:x:1000:\n")
        .file("etc/shadow", 0o640, 0, b"root:*:19000::::::\napp:!:19000::::::\n")
        .directory("home", 0o755, 0)
        .directory("home/app", 0o700, 1000)
        .file("home/app/notes", 0o600, 1000, b"of the image\n")
        .directory("root", 0o700, 0)
        .directory("data", 0o755, 0)
        .directory("data/srv", 0o2775, 1000)
        .file("data/srv/page", 0o644, 1000, b"served\n")
        .link("srv", "data/srv")
        .directory("usr", 0o755, 0)
        .directory("usr/local", 0o755, 0)
        .file("usr/local/raised", 0o4755, 0, b"set-user-id\n")
        .directory("var", 0o755, 0)
        .directory("var/lib", 0o755, 0)
        .directory("var/lib/db", 0o750, 1000)
        .file("var/lib/db/rows", 0o600, 1000, b"rows\n");
    Ok(layer)
}

/// Gives a new engine the images that every test may use.
pub fn load(engine: &Engine) -> Result<(), String> {
    let command = format!("CMD {}", serde_json::json!(["/bin/sh", "-c", ENDLESS]));
    let (bare, rich) = (bare()?, rich()?);
    // A thread of its own: this is called from inside tests' runtimes.
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                bare.import(engine, BARE, &[]).await?;
                rich.import(engine, RICH, &[&command, "VOLUME /var/lib/db", "HEALTHCHECK CMD id"]).await
            })
        });
        loading.join().unwrap()
    })
}
