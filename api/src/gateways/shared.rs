//! The gateways that report to other servers on the same store.
//!
//! # Shape
//! A server writes what its gateways report to the store, at once when it is news and otherwise every few seconds, and
//! reads what the others wrote every second ([`refresh`]). What is kept in memory is then the same everywhere.
//!
//! # Correctness
//! Whether a gateway may have its name and ports is decided where all reports are taken one after the other, in the store.
//! How long one was silent is told by the store's clock. What a gateway reports here is newer than what the store has of it.

use std::{collections::BTreeMap, time::Duration};

use domain::{id::GatewayName, key::PublicKey, time::Time};
use projections::private::{GatewayReport, Private, PrivateError, ReportedGateway};
use tokio::time::Instant;

use super::{Announcement, Gateways, Known, State, TunnelReport, since};
use crate::{app::App, error::Problem};

/// How often a report without news is written to the store.
const WRITE_EVERY: Duration = Duration::from_secs(3);
/// A gateway that reported here within this time is not read from the store.
const REPORTS_HERE: Duration = Duration::from_secs(8);

/// How long another gateway must be silent before its name may be taken.
const SILENT: Duration = Duration::from_secs(30);

/// Refuses to start a gateway under the name of another that is there: it would hold leases that are not its own.
///
/// # Errors
/// When the name is in use, or the private store fails.
pub async fn must_be_free(private: &Private, name: &str, host_key: PublicKey) -> anyhow::Result<()> {
    if !private.is_shared() {
        return Ok(());
    }
    let all = private.reported_gateways().await?;
    let there = all.iter().filter(|other| other.name == name && other.silent < SILENT);
    for (_, known) in there.filter_map(known) {
        anyhow::ensure!(
            known.announcement.host_key == host_key,
            "another gateway runs under the name {name:?}, with another host key; set gateway.name to one of this node's own"
        );
    }
    Ok(())
}

/// What the store has of a gateway.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The version that was read last.
    version: i64,
    /// When it reported here last.
    here: Option<Instant>,
    /// When that was written last, and what was news in it.
    written: Option<(Instant, Announcement, Vec<Signs>)>,
}

/// What is news of a tunnel: whose it is, whether it is up, and whether its port is open.
type Signs = (TunnelKey, bool, bool);
type TunnelKey = (domain::id::DeviceId, domain::id::Epoch);

fn signs(tunnels: &[TunnelReport]) -> Vec<Signs> {
    let signs = |report: &TunnelReport| {
        ((report.device, report.epoch), report.heard_s_ago.is_some(), report.port_open)
    };
    let mut signs: Vec<_> = tunnels.iter().map(signs).collect();
    signs.sort_unstable();
    signs
}

fn known(reported: &ReportedGateway) -> Option<(GatewayName, Known)> {
    let announcement = serde_json::from_str(&reported.announcement).ok()?;
    let heard = Instant::now().checked_sub(reported.silent)?;
    let known = Known { announcement, heard, since: reported.since, tunnels: 0 };
    Some((reported.name.parse().ok()?, known))
}

impl Gateways {
    /// Writes a report to the store, unless it has no news and one was written a moment ago.
    pub(super) async fn write(
        &self,
        private: &Private,
        name: &GatewayName,
        announcement: &Announcement,
        tunnels: &[TunnelReport],
        now: Time,
    ) -> Result<(), Problem> {
        let signs = signs(tunnels);
        let is_written = |(at, said, before): &(Instant, Announcement, Vec<Signs>)| {
            at.elapsed() < WRITE_EVERY && said == announcement && *before == signs
        };
        let here = Some(Instant::now());
        {
            let mut state = self.state();
            let told = state.told.entry(name.clone()).or_default();
            if told.written.as_ref().is_some_and(is_written) {
                told.here = here;
                return Ok(());
            }
        }
        let json = |e| Problem::internal(&e);
        let said = serde_json::to_string(announcement).map_err(json)?;
        let text = serde_json::to_string(tunnels).map_err(json)?;
        let report = GatewayReport { name: name.as_str(), announcement: &said, tunnels: &text };
        let check = |others: &[ReportedGateway]| {
            let others: BTreeMap<_, _> = others.iter().filter_map(known).collect();
            super::refuse(name, announcement, &others)?;
            Ok::<_, Problem>(since(others.get(name), announcement, now))
        };
        private.gateway_reports(report, check).await??;
        let mut state = self.state();
        let told = state.told.entry(name.clone()).or_default();
        (told.here, told.written) = (here, Some((Instant::now(), announcement.clone(), signs)));
        Ok(())
    }

    /// Reads what others wrote; answers which gateways are there that were not, or say something new of themselves.
    pub(super) async fn look(&self, private: &Private) -> Result<Vec<GatewayName>, PrivateError> {
        let reported = private.reported_gateways().await?;
        let mut news = Vec::new();
        for (reported, (name, known)) in
            reported.iter().filter_map(|reported| Some((reported, known(reported)?)))
        {
            let is_known = {
                let state = self.state();
                let told = state.told.get(&name);
                let here = |told: &Told| told.here.is_some_and(|here| here.elapsed() < REPORTS_HERE);
                told.is_some_and(|told| here(told) || told.version == reported.version)
            };
            if is_known {
                continue;
            }
            let tunnels = private.reported_tunnels(name.as_str()).await?.unwrap_or_default();
            let tunnels: Vec<TunnelReport> = serde_json::from_str(&tunnels).unwrap_or_default();
            let mut state = self.state();
            let told = state.told.entry(name.clone()).or_default();
            (told.version, told.written) = (reported.version, None);
            let (there, Known { announcement, heard, since, .. }) = (known.is_there(), known);
            if state.keep(&name, announcement, &tunnels, heard, since) && there {
                news.push(name);
            }
        }
        let mut state = self.state();
        let reported = |name: &GatewayName| reported.iter().any(|reported| reported.name == name.as_str());
        let State { gateways, told, .. } = &mut *state;
        told.retain(|name, told| told.here.is_some() || reported(name));
        gateways.retain(|name, _| told.contains_key(name));
        Ok(news)
    }
}

/// Reads which gateways report to other servers, and tells devices where their tunnels end.
///
/// # Errors
/// When the private store fails.
pub async fn refresh(app: &App) -> Result<(), PrivateError> {
    if !app.private.is_shared() {
        return Ok(());
    }
    for name in app.gateways.look(&app.private).await? {
        app.leases.at(&name).into_iter().for_each(|device| app.feed.wake(device));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::{id::DeviceId, key::PublicKey};
    use uuid::Uuid;

    use super::*;
    use crate::{gateways::Range, remembered::testing::two_servers};

    const NOW: Time = Time::from_unix(1_000);

    fn says(key: u8, first_port: u16) -> Announcement {
        Announcement {
            instance: Uuid::from_u128(key.into()),
            host: "gateway.example".into(),
            domain: "gateway.example".into(),
            first_port,
            last_port: first_port + 99,
            ssh_port: 2222,
            host_key: PublicKey([key; 32]),
            http_port: 0,
            https_port: 0,
            draining: false,
        }
    }

    const fn tunnel(device: u128, heard_s_ago: Option<u64>) -> TunnelReport {
        TunnelReport {
            device: DeviceId(Uuid::from_u128(device)),
            epoch: 1,
            heard_s_ago,
            port_open: true,
            visitors: 0,
            to_device: 0,
            from_device: 0,
            connections: 0,
        }
    }

    fn name(name: &str) -> GatewayName {
        name.parse().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_gateway_that_reports_to_one_server_is_known_to_the_other() {
        let ([on_a, on_b], _database) = two_servers().await;
        let (a, b) = (Gateways::default(), Gateways::default());
        let tunnels = [tunnel(1, Some(2)), tunnel(2, None)];
        assert!(a.take(&on_a, &name("west"), says(1, 1_000), &tunnels, NOW).await.unwrap());
        assert!(b.ranges(&BTreeMap::new(), None).is_empty());
        assert_eq!(b.look(&on_b).await.unwrap(), [name("west")]);
        assert_eq!(
            b.ranges(&BTreeMap::new(), None),
            [Range { name: name("west"), first: 1_000, last: 1_099 }]
        );
        assert_eq!(b.address(&name("west")).unwrap().port, 2222);
        assert!(b.tunnel(tunnels[0].device, 1).unwrap().heard_s_ago.is_some());
        assert_eq!((b.tunnels().len(), b.all()[&name("west")].tunnels), (2, 1));
        assert_eq!(b.all()[&name("west")].since, NOW);
        assert!(b.look(&on_b).await.unwrap().is_empty(), "nothing new");
        // News is told at once, and it goes on where it reports next.
        let fewer = [tunnel(1, None)];
        assert!(!a.take(&on_a, &name("west"), says(1, 1_000), &fewer, NOW.plus(1)).await.unwrap());
        b.look(&on_b).await.unwrap();
        assert_eq!((b.tunnels().len(), b.all()[&name("west")].tunnels), (1, 0));
        assert!(!b.take(&on_b, &name("west"), says(1, 1_000), &tunnels, NOW.plus(2)).await.unwrap());
        assert_eq!(b.all()[&name("west")].since, NOW, "it was not started again");
        assert_eq!(b.tunnels().len(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_or_a_port_is_had_once_whichever_server_is_asked() {
        let ([on_a, on_b], _database) = two_servers().await;
        let (a, b) = (Gateways::default(), Gateways::default());
        a.take(&on_a, &name("default"), says(1, 1_000), &[], NOW).await.unwrap();
        let same_name = b.take(&on_b, &name("default"), says(2, 5_000), &[], NOW).await.unwrap_err();
        assert_eq!(same_name.kind(), "gateway-name-taken");
        let same_ports = b.take(&on_b, &name("other"), says(2, 1_050), &[], NOW).await.unwrap_err();
        assert_eq!(same_ports.kind(), "gateway-ports-taken");
        assert!(b.take(&on_b, &name("other"), says(2, 5_000), &[], NOW).await.unwrap());
        let draining = Announcement { draining: true, ..says(1, 1_000) };
        a.take(&on_a, &name("default"), draining, &[], NOW).await.unwrap();
        let after = b.take(&on_b, &name("default"), says(3, 1_000), &[], NOW).await;
        assert!(after.unwrap(), "the one before is about to stop");
    }
}
