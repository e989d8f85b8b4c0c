//! What the device says it is.

use std::fs;

use domain::offer::{Hardware, MAX_TEXT};

/// Reads the machine's description; what cannot be read is left empty.
pub(crate) fn report(disk_mib: u64) -> Hardware {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib: u64 =
        field(&meminfo, "MemTotal").and_then(|v| v.split(' ').next()?.parse().ok()).unwrap_or(0);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = field(&cpuinfo, "model name").or_else(|| field(&cpuinfo, "Model")).unwrap_or_default();
    let cores =
        std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    Hardware {
        memory_mib: memory_kib / 1024,
        disk_mib,
        processor: short(processor),
        cores: cores.min(100_000),
        bandwidth_kbit_s: None,
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
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

    #[test]
    fn this_machine_is_described_within_the_limits() {
        let hardware = report(1);
        assert!(
            hardware.is_valid() && hardware.cores > 0 && hardware.memory_mib > 0 && hardware.disk_mib > 0
        );
        assert!(short(&"ß".repeat(200)).len() <= MAX_TEXT);
    }
}
