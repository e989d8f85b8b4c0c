//! The real medium: `cryptsetup`, `mkfs.ext4`, `blkid` and `blkdiscard` on a block device or a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom},
    num::NonZeroU64,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Advice, FallocateFlags, fadvise, fallocate},
    mount::{MountFlags, UnmountFlags},
};

use super::{
    blocks::Blocks,
    tool::{exists, output, run},
};
use crate::{file, keyring::VolumeKey, tree::Disk};

/// For processors with AES instructions.
const AES: [&str; 4] = ["--cipher", "aes-xts-plain64", "--key-size", "512"];
/// For the others, several times as fast there: <https://eprint.iacr.org/2018/720>.
const ADIANTUM: [&str; 4] = ["--cipher", "xchacha20,aes-adiantum-plain64", "--key-size", "256"];
/// The key is random, so that stretching it adds nothing.
const FAST: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
const KEY: [&str; 4] = ["--key-file", "-", "--keyfile-size", "32"];

/// A block device or a file.
pub struct System {
    path: PathBuf,
    name: String,
}

impl System {
    /// The medium at `path`, to be mapped as `/dev/mapper/<name>`.
    #[must_use]
    pub fn new(path: PathBuf, name: String) -> Self {
        Self { path, name }
    }

    fn device(&self) -> PathBuf {
        Path::new("/dev/mapper").join(&self.name)
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn cryptsetup(&self, arguments: &[&[&str]], input: &[u8]) -> io::Result<()> {
        run("cryptsetup", &arguments.concat(), input).map(|_| ())
    }

    fn is_file(&self) -> io::Result<bool> {
        Ok(fs::metadata(&self.path)?.is_file())
    }
}

impl Blocks for System {
    fn size(&self) -> io::Result<Option<u64>> {
        match File::open(&self.path) {
            Ok(mut file) => file.seek(SeekFrom::End(0)).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(&self.path)?;
        // What was written through the mapping is not in this cache: a hint, where it is taken.
        let _ = fadvise(&file, at, NonZeroU64::new(length as u64), Advice::DontNeed);
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], at + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).open(&self.path)?.write_all_at(bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn discard(&mut self, secure: bool) -> io::Result<bool> {
        if self.is_file()? {
            if secure {
                return Ok(false);
            }
            let file = OpenOptions::new().write(true).open(&self.path)?;
            let size = file.metadata()?.len();
            let punched = fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, size);
            return Ok(punched.is_ok());
        }
        let shown = self.shown();
        let arguments: &[&str] = if secure { &["--force", "--secure", &shown] } else { &["--force", &shown] };
        match output("blkdiscard", arguments, &[]) {
            Ok(output) => Ok(output.status.success()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn foreign(&self) -> io::Result<Option<String>> {
        let output = output("blkid", &["--probe", "--output", "export", &self.shown()], &[])?;
        let said = String::from_utf8_lossy(&output.stdout);
        let found = said.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            match name {
                "TYPE" => Some(format!("a {value} volume")),
                "PTTYPE" => Some(format!("a {value} partition table")),
                _ => None,
            }
        });
        match output.status.code() {
            Some(0) | Some(2) => Ok(found),
            _ => Ok(Some("something that `blkid` cannot tell apart".into())),
        }
    }

    fn format(&mut self, label: &str, key: &VolumeKey) -> io::Result<()> {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cipher: &[&str] = if has_aes(&cpu) { &AES } else { &ADIANTUM };
        let format = ["luksFormat", "--batch-mode", "--type", "luks2", "--luks2-metadata-size", "16k"];
        self.cryptsetup(&[&format, &["--label", label], cipher, &FAST, &KEY, &[&self.shown()]], key.reveal())
    }

    fn add_token(&mut self, json: &str) -> io::Result<()> {
        let import = ["token", "import", "--token-id", "0", "--json-file", "-"];
        self.cryptsetup(&[&import, &[&self.shown()]], json.as_bytes())
    }

    fn fits(&mut self, key: &VolumeKey) -> io::Result<bool> {
        let shown = self.shown();
        let test = [&["open", "--test-passphrase", "--type", "luks2"][..], &KEY, &[&shown]].concat();
        output("cryptsetup", &test, key.reveal()).map(|output| output.status.success())
    }

    fn destroy_slots(&mut self) -> io::Result<()> {
        self.cryptsetup(&[&["erase", "--batch-mode", &self.shown()]], &[])
    }

    fn is_mapped(&self) -> bool {
        self.device().exists()
    }

    fn map(&mut self, key: &VolumeKey) -> io::Result<()> {
        self.cryptsetup(&[&["open", "--type", "luks2"], &KEY, &[&self.shown(), &self.name]], key.reveal())
    }

    fn unmap(&mut self) -> io::Result<()> {
        self.cryptsetup(&[&["close", &self.name]], &[])
    }

    fn mapped_size(&self) -> io::Result<u64> {
        File::open(self.device())?.seek(SeekFrom::End(0))
    }

    fn write_mapped(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.device())?;
        file.write_all_at(bytes, at)?;
        file.sync_all()
    }

    fn make_file_system(&mut self, bytes: u64) -> io::Result<()> {
        let (device, size) = (self.device().display().to_string(), format!("{}k", bytes >> 10));
        let options = ["-q", "-F", "-m", "0", "-L", "berth", "-E", "nodiscard"];
        run("mkfs.ext4", &[&options[..], &[&device, &size]].concat(), &[])?;
        File::open(self.device())?.sync_all()
    }

    fn is_mounted(&self, at: &Path) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let (device, at) = (self.device().display().to_string(), escaped(at));
        mounts.lines().any(|line| {
            let mut fields = line.split(' ');
            let (source, target) = (fields.next(), fields.next());
            target == Some(&at)
                && source.is_some_and(|source| source == device || same(source, &self.device()))
        })
    }

    fn mount(&mut self, at: &Path) -> io::Result<()> {
        file::create_directory(&Disk, at)?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
        Ok(rustix::mount::mount(self.device(), at, "ext4", flags, None)?)
    }

    fn unmount(&mut self, at: &Path) -> io::Result<()> {
        rustix::mount::unmount(at, UnmountFlags::empty()).map_err(|e| {
            let said = format!("{} cannot be unmounted, something still uses it: {e}", at.display());
            io::Error::new(io::Error::from(e).kind(), said)
        })
    }

    fn make_directory(&mut self, path: &Path) -> io::Result<()> {
        file::create_directory(&Disk, path)
    }

    fn problems(&self) -> Vec<String> {
        let programs = [
            ("cryptsetup", "cryptsetup-bin"),
            ("mkfs.ext4", "e2fsprogs"),
            ("blkid", "util-linux"),
            ("blkdiscard", "util-linux"),
        ];
        let missing = programs.iter().filter(|(program, _)| !exists(program));
        let mut problems: Vec<_> = missing
            .map(|(program, package)| format!("`{program}` is missing; on Debian: apt install {package}"))
            .collect();
        if !rustix::process::geteuid().is_root() {
            problems.push("a luks volume needs the agent to run as root".into());
        }
        // The name may be there without a kernel behind it.
        if File::options().read(true).write(true).open("/dev/mapper/control").is_err() {
            problems.push("the kernel has no device mapper; try: modprobe dm-crypt".into());
        }
        problems
    }
}

/// As `/proc/self/mounts` writes a path.
fn escaped(path: &Path) -> String {
    let text = path.display().to_string();
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

/// Whether two names lead to one device: `/dev/dm-0` and its mapper name.
fn same(source: &str, device: &Path) -> bool {
    let target = |path: &Path| fs::canonicalize(path).ok();
    source.starts_with("/dev/") && target(Path::new(source)).is_some_and(|t| Some(t) == target(device))
}

/// Whether `/proc/cpuinfo` names AES instructions: `flags` on x86, `Features` on ARM.
fn has_aes(cpuinfo: &str) -> bool {
    cpuinfo.lines().any(|line| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        matches!(name.trim(), "flags" | "Features") && value.split_whitespace().any(|flag| flag == "aes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_aes_instructions_gets_the_cipher_made_for_it() {
        assert!(has_aes("processor : 0\nflags\t\t: fpu vme aes avx\n"));
        assert!(has_aes("Features\t: fp asimd aes pmull sha1\n"));
        assert!(!has_aes("Features\t: fp asimd evtstrm crc32 cpuid\nHardware : BCM2835 aes\n"));
    }

    #[test]
    fn a_file_is_read_written_and_discarded_like_a_device() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("medium");
        let mut medium = System::new(path.clone(), "unused".into());
        assert_eq!(medium.size().unwrap(), None);
        fs::write(&path, vec![7; 100_000]).unwrap();
        assert_eq!(medium.size().unwrap(), Some(100_000));
        medium.write(50, b"hello").unwrap();
        medium.sync().unwrap();
        assert_eq!(medium.read(50, 5).unwrap(), b"hello");
        assert_eq!(medium.read(99_990, 100).unwrap().len(), 10);
        assert!(!medium.discard(true).unwrap(), "a file has no stale copies to reach");
        if medium.discard(false).unwrap() {
            assert_eq!(medium.read(0, 100_000).unwrap(), vec![0; 100_000]);
        }
    }
}
