//! What the device says it is.

use std::{fs, path::Path};

use domain::offer::{Hardware, MAX_TEXT};

/// Reads the machine's description; what cannot be read is left empty. The disk is the renter's volume, the bandwidth as
/// [`crate::bandwidth`] measured it.
pub(crate) fn report(disk_mib: u64, bandwidth: Option<u64>) -> Hardware {
    let read = |path: &str| fs::read(path).unwrap_or_default();
    let (cpuinfo, tree) = (read("/proc/cpuinfo"), read("/proc/device-tree/model"));
    let cores =
        std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    Hardware {
        memory_mib: memory_mib(&String::from_utf8_lossy(&read("/proc/meminfo"))),
        disk_mib,
        processor: processor(&String::from_utf8_lossy(&cpuinfo), &String::from_utf8_lossy(&tree)),
        cores: cores.min(100_000),
        bandwidth_kbit_s: bandwidth,
    }
}

/// The size of the file system that a directory is on, or will be made in.
pub(crate) fn disk_mib(volume: &Path) -> u64 {
    let existing = volume.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
    let system = rustix::fs::statvfs(existing);
    system.map(|fs| fs.f_frsize.saturating_mul(fs.f_blocks) / (1 << 20)).unwrap_or_default()
}

fn memory_mib(meminfo: &str) -> u64 {
    let kib = field(meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1_024
}

/// Boards are known by the model in their device tree (which ends in a NUL); on others the processor says its name.
fn processor(cpuinfo: &str, tree: &str) -> String {
    let tree = Some(tree.trim_end_matches('\0').trim()).filter(|model| !model.is_empty());
    let named = ["Model", "model name", "Hardware", "uarch"];
    let told = tree.or_else(|| named.into_iter().find_map(|name| field(cpuinfo, name)));
    short(told.unwrap_or_default())
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name && !value.trim().is_empty()).then_some(value.trim())
    })
}

fn short(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const PI: &str = "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n\
                      Revision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n";
    const PI_32_BIT: &str = "processor\t: 0\nmodel name\t: ARMv7 Processor rev 3 (v7l)\nBogoMIPS\t: 38.40\n\n\
                             Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 2 Model B Rev 1.1\n";
    const ARM_SERVER: &str =
        "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n";
    const PC: &str =
        "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel\t\t: 142\nmodel name\t: Intel(R) Core(TM) i5\n";

    #[test]
    fn a_board_is_called_by_its_model_and_a_pc_by_its_processor() {
        assert_eq!(processor(PI, "Raspberry Pi 4 Model B Rev 1.4\0"), "Raspberry Pi 4 Model B Rev 1.4");
        assert_eq!(processor(ARM_SERVER, "Radxa ROCK 5B\0"), "Radxa ROCK 5B");
        assert_eq!(processor(PI, ""), "Raspberry Pi 4 Model B Rev 1.4");
        assert_eq!(processor(PI_32_BIT, ""), "Raspberry Pi 2 Model B Rev 1.1");
        assert_eq!(processor(PC, ""), "Intel(R) Core(TM) i5");
        assert_eq!(processor("model name\t:\nuarch : sifive,u74\n", "\0"), "sifive,u74");
        assert_eq!(processor(ARM_SERVER, ""), "");
    }

    /// A serial number would tell who a device is.
    #[test]
    fn no_serial_number_is_told() {
        let told = [PI, PI_32_BIT].map(|cpuinfo| processor(cpuinfo, "")).concat();
        assert!(!told.contains("10000000abcdef01"));
    }

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(memory_mib("MemTotal:        3884312 kB\nMemFree:          190012 kB\n"), 3_793);
        assert_eq!(memory_mib("MemTotal: many kB\n"), 0);
        assert_eq!(memory_mib(""), 0);
    }

    #[test]
    fn the_disk_is_the_one_that_the_volume_will_be_on() {
        let shm = Path::new("/dev/shm");
        assert_eq!(disk_mib(&shm.join("no/such/volume")), disk_mib(shm));
        assert_eq!(disk_mib(Path::new("/no/such/volume")), disk_mib(Path::new("/")));
        assert_ne!(disk_mib(shm), disk_mib(Path::new("/")));
    }

    #[test]
    fn this_machine_is_described_within_the_limits() {
        let hardware = report(1, Some(10_000));
        assert!(
            hardware.is_valid() && hardware.cores > 0 && hardware.memory_mib > 0 && hardware.disk_mib > 0
        );
        assert_eq!(hardware.bandwidth_kbit_s, Some(10_000));
        assert!(short(&"ß".repeat(200)).len() <= MAX_TEXT);
    }
}
