//! Names and labels.

use std::collections::HashMap;

use domain::id::{DeviceId, Epoch};

const MANAGED: &str = "berth.managed";
const DEVICE: &str = "berth.device";
const EPOCH: &str = "berth.epoch";
const ROLE: &str = "berth.role";
pub(super) const SPEC: &str = "berth.spec";
/// Who manages it.
const AGENT: &str = "agent";

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Role {
    /// It runs for the renter.
    Workload,
    /// It is never started: its files are read to fill the volume.
    Seed,
}

impl Role {
    const ALL: [Self; 2] = [Self::Workload, Self::Seed];

    const fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Seed => "seed",
        }
    }
}

/// The name of a lease's container; names help humans, labels decide.
pub(in super::super) fn name(device: DeviceId, epoch: Epoch, role: Role) -> String {
    let device = device.0.simple().to_string();
    let short = device.get(..8).unwrap_or(&device);
    match role {
        Role::Workload => format!("berth-{short}-{epoch}"),
        Role::Seed => format!("berth-{short}-{epoch}-seed"),
    }
}

/// The labels of a lease's container.
pub(in super::super) fn labels(
    device: DeviceId,
    epoch: Epoch,
    role: Role,
    spec: Option<&str>,
) -> HashMap<String, String> {
    let owner = [
        (MANAGED, AGENT.to_owned()),
        (DEVICE, device.0.to_string()),
        (EPOCH, epoch.to_string()),
        (ROLE, role.name().to_owned()),
    ];
    let spec = spec.map(|spec| (SPEC, spec.to_owned()));
    owner.into_iter().chain(spec).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The labels that are asked for; [`read`] checks what comes back.
pub(super) fn filter(device: DeviceId) -> Vec<String> {
    vec![format!("{MANAGED}={AGENT}"), format!("{DEVICE}={}", device.0)]
}

/// The lease and the role, if every label is as this device's agent writes it.
pub(super) fn read(labels: &HashMap<String, String>, device: DeviceId) -> Option<(Epoch, Role)> {
    let label = |key: &str| labels.get(key).map(String::as_str);
    let epoch: Epoch = label(EPOCH)?.parse().ok()?;
    let role = Role::ALL.into_iter().find(|role| label(ROLE) == Some(role.name()))?;
    let expected = self::labels(device, epoch, role, None);
    expected.iter().all(|(key, value)| labels.get(key) == Some(value)).then_some((epoch, role))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const OURS: DeviceId = DeviceId(Uuid::from_u128(0xabcd_ef01_0000_0000_0000_0000_0000_0000));

    #[test]
    fn only_a_container_with_every_label_of_this_device_is_ours() {
        let labels = labels(OURS, 7, Role::Workload, Some("spec"));
        assert_eq!(read(&labels, OURS), Some((7, Role::Workload)));
        for key in [MANAGED, DEVICE, EPOCH, ROLE] {
            for value in [None, Some(""), Some("other"), Some("07"), Some("+7"), Some("-7")] {
                let mut wrong = labels.clone();
                match value {
                    None => wrong.remove(key),
                    Some(value) => wrong.insert(key.into(), value.into()),
                };
                assert_eq!(read(&wrong, OURS), None, "{key}: {value:?}");
            }
        }
        assert_eq!(read(&labels, DeviceId(Uuid::from_u128(1))), None);
        assert_eq!(read(&HashMap::new(), OURS), None);
    }

    #[test]
    fn names_hold_the_device_and_the_lease() {
        assert_eq!(name(OURS, 12, Role::Workload), "berth-abcdef01-12");
        assert_eq!(name(OURS, 12, Role::Seed), "berth-abcdef01-12-seed");
    }
}
