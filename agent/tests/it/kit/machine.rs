//! A virtual machine with a kernel that can encrypt disks, for machines whose own cannot: it runs some of these tests.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the tests inside need.
const MODULES: [&str; 8] =
    ["loop", "ext4", "dm-crypt", "xts", "aes_generic", "aesni-intel", "adiantum", "sha256_generic"];
const PROGRAMS: [&str; 6] = ["cryptsetup", "mkfs.ext4", "blkid", "blkdiscard", "losetup", "dmsetup"];
/// Emulation is slow, and the machine may be busy.
const PATIENCE_S: &str = "600";

/// A kernel package, installed or only unpacked.
struct Kernel {
    root: PathBuf,
    image: PathBuf,
    version: String,
}

/// Runs the tests that match `filter` in a virtual machine and answers with what they printed.
///
/// # Errors
/// What is missing to do so.
pub fn run_tests(filter: &str) -> Result<String, String> {
    let kernel = Kernel::find()?;
    for program in ["qemu-system-x86_64", "busybox", "modprobe", "ldd"].iter().chain(&PROGRAMS) {
        if which(program).is_none() {
            return Err(format!("`{program}` is missing"));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let (root, initrd) = (directory.path().join("root"), directory.path().join("initrd"));
    let modules = kernel.modules(&root)?;
    let tests = std::env::current_exe().unwrap();
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_berth-agent"));
    for program in PROGRAMS.iter().filter_map(|program| which(program)).chain([tests.clone(), agent]) {
        copy_with_libraries(&program, &root);
    }
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy(which("busybox").unwrap(), root.join("bin/busybox")).unwrap();
    let init = include_str!("machine.sh")
        .replace("@MODULES@", &modules.join(" "))
        .replace("@TESTS@", &tests.display().to_string())
        .replace("@FILTER@", filter);
    fs::write(root.join("init"), init).unwrap();
    run("chmod", &["755".as_ref(), root.join("init").as_ref()]);
    pack(&root, &initrd);
    Ok(boot(&kernel, &initrd))
}

/// Emulated: a processor's own help for virtual machines is there on many machines and works on fewer.
fn boot(kernel: &Kernel, initrd: &Path) -> String {
    let console = initrd.with_file_name("console");
    let output = Command::new("timeout")
        .args([PATIENCE_S, "qemu-system-x86_64", "-accel", "tcg"])
        .args(["-cpu", "max"])
        .args(["-m", "1536", "-nographic", "-no-reboot", "-net", "none"])
        .args(["-append", "console=ttyS0 panic=-1", "-kernel"])
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&console).unwrap())
        .output()
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&fs::read(&console).unwrap()),
        String::from_utf8_lossy(&output.stderr)
    )
}

impl Kernel {
    fn find() -> Result<Self, String> {
        let root = PathBuf::from(std::env::var_os("BERTH_TEST_KERNEL").unwrap_or_else(|| "/".into()));
        let boot = fs::read_dir(root.join("boot")).map_err(|e| format!("no kernel image in /boot: {e}"))?;
        let images = boot.filter_map(Result::ok).filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned();
            let there = root.join("lib/modules").join(&version).is_dir();
            there.then(|| Self { root: root.clone(), image: entry.path(), version })
        });
        images.max_by_key(|kernel| kernel.version.clone()).ok_or_else(|| {
            "no kernel image with its modules; on Debian: apt install linux-image-amd64".to_owned()
        })
    }

    /// Copies the modules and says in which order they are loaded.
    fn modules(&self, root: &Path) -> Result<Vec<String>, String> {
        let mut order: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        for module in MODULES {
            let output = Command::new("modprobe")
                .arg("-d")
                .arg(&self.root)
                .args(["-S", &self.version, "--show-depends", module])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            // Of a module that is built in, nothing is said.
            for path in said.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim) {
                let path = Path::new(path.split(' ').next().unwrap_or(path));
                if seen.insert(path.to_owned()) {
                    let name = format!("modules/{}", path.file_name().unwrap().to_str().unwrap());
                    fs::create_dir_all(root.join("modules")).unwrap();
                    fs::copy(path, root.join(&name)).map_err(|e| format!("{}: {e}", path.display()))?;
                    order.push(name);
                }
            }
        }
        Ok(order)
    }
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin".into(), "/sbin".into()]);
    places.into_iter().map(|place| place.join(program)).find(|path| path.is_file())
}

fn copy_with_libraries(program: &Path, root: &Path) {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = said.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for file in libraries.chain([program]) {
        let to = root.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, &to).unwrap();
        // Symbols would triple what the machine has to load; not every file has some.
        let _ = Command::new("strip").arg("--strip-debug").arg(&to).stderr(Stdio::null()).status();
    }
}

fn pack(root: &Path, initrd: &Path) {
    let mut names = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap().map(Result::unwrap) {
            let name = directory.join(entry.file_name());
            names.extend(name.as_os_str().as_encoded_bytes().iter().chain(b"\n"));
            if entry.file_type().unwrap().is_dir() {
                open.push(name);
            }
        }
    }
    let mut cpio = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(initrd).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cpio.stdin.take().unwrap().write_all(&names).unwrap();
    assert!(cpio.wait().unwrap().success());
}

fn run(program: &str, arguments: &[&OsStr]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success());
}
