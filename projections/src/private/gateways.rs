//! The gateways that report to any server on this store: news, not truth.
//!
//! # Correctness
//! One report is taken at a time, by whichever server: what it may clash with is read and the report is written before the
//! next is looked at. How long a gateway has been silent is told by the store's clock alone.

use std::time::Duration;

use domain::time::Time;

use super::{Private, PrivateError};
use crate::sql::{sql, two};

/// Gateways that are known at once.
pub const MAX_GATEWAYS: usize = 1_000;
/// A gateway that is silent for longer, in seconds, is forgotten.
const FORGOTTEN_S: u32 = 86_400;

/// A gateway, as it last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedGateway {
    /// Its name.
    pub name: String,
    /// What it says of itself, as JSON.
    pub announcement: String,
    /// Counts its reports.
    pub version: i64,
    /// Since when it is there.
    pub since: Time,
    /// How long ago it reported.
    pub silent: Duration,
}

/// A gateway's report.
#[derive(Debug, Clone, Copy)]
pub struct GatewayReport<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says of itself, as JSON.
    pub announcement: &'a str,
    /// What it says of its tunnels, as JSON.
    pub tunnels: &'a str,
}

type Row = (String, String, i64, i64, i64);

fn reported((name, announcement, version, since, silent_ms): Row) -> ReportedGateway {
    let silent = Duration::from_millis(silent_ms.try_into().unwrap_or_default());
    ReportedGateway { name, announcement, version, since: Time::from_unix(since), silent }
}

/// Every gateway; the last column says how long ago it reported.
const fn known() -> crate::sql::Query {
    two(
        "select name, announcement, version, since, cast(unixepoch('subsec') * 1000 as integer) - heard_ms
         from gateways order by name",
        "select name, announcement, version, since,
             cast(extract(epoch from clock_timestamp()) * 1000 as bigint) - heard_ms
         from gateways order by name",
    )
}

impl Private {
    /// Takes a report, unless `check` refuses it for what the others, or the same gateway before, have reported; it
    /// answers since when the gateway is there.
    ///
    /// # Errors
    /// When the store fails; `Ok(Err(_))` is what `check` said.
    pub async fn gateway_reports<E>(
        &self,
        report: GatewayReport<'_>,
        check: impl FnOnce(&[ReportedGateway]) -> Result<Time, E>,
    ) -> Result<Result<(), E>, PrivateError> {
        let mut tx = self.store.begin().await?;
        tx.alone("gateways").await?;
        let others: Vec<_> = known().all::<Row>(&mut tx).await?.into_iter().map(reported).collect();
        let since = match check(&others) {
            Ok(since) => since,
            Err(refused) => return Ok(Err(refused)),
        };
        let query = two(
            "insert into gateways (name, announcement, tunnels, version, since, heard_ms)
             values (?1, ?2, ?3, 1, ?4, cast(unixepoch('subsec') * 1000 as integer))
             on conflict (name) do update set announcement = excluded.announcement, tunnels = excluded.tunnels,
                 version = gateways.version + 1, since = excluded.since, heard_ms = excluded.heard_ms",
            "insert into gateways (name, announcement, tunnels, version, since, heard_ms)
             values (?1, ?2, ?3, 1, ?4, cast(extract(epoch from clock_timestamp()) * 1000 as bigint))
             on conflict (name) do update set announcement = excluded.announcement, tunnels = excluded.tunnels,
                 version = gateways.version + 1, since = excluded.since, heard_ms = excluded.heard_ms",
        );
        let query = query.bind(report.name).bind(report.announcement).bind(report.tunnels).bind(since);
        query.execute(&mut tx).await?;
        if others.iter().any(|gateway| gateway.silent.as_secs() > FORGOTTEN_S.into()) {
            let query = two(
                "delete from gateways where heard_ms < cast(unixepoch('subsec') * 1000 as integer) - ?",
                "delete from gateways
                 where heard_ms < cast(extract(epoch from clock_timestamp()) * 1000 as bigint) - ?",
            );
            query.bind(i64::from(FORGOTTEN_S) * 1_000).execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Every gateway that reported within a day, by name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reported_gateways(&self) -> Result<Vec<ReportedGateway>, PrivateError> {
        Ok(known().all::<Row>(&self.store).await?.into_iter().map(reported).collect())
    }

    /// What a gateway last said of its tunnels, as JSON.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reported_tunnels(&self, gateway: &str) -> Result<Option<String>, PrivateError> {
        let query = sql("select tunnels from gateways where name = ?").bind(gateway);
        Ok(query.optional::<(String,)>(&self.store).await?.map(|(tunnels,)| tunnels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private::fresh::{Fresh, on_both};

    const NOW: Time = Time::from_unix(1_000);

    on_both!(
        a_report_is_known_at_every_server,
        of_two_gateways_that_clash_and_report_to_two_servers_at_once_one_is_refused
    );

    const fn report(name: &'static str) -> GatewayReport<'static> {
        GatewayReport { name, announcement: "{}", tunnels: "[]" }
    }

    async fn a_report_is_known_at_every_server(Fresh { private, other, keep }: Fresh) {
        let taken = private.gateway_reports(report("a"), |others| {
            assert!(others.is_empty());
            Ok::<_, ()>(NOW)
        });
        taken.await.unwrap().unwrap();
        let again = GatewayReport { announcement: "{1}", tunnels: "[1]", ..report("a") };
        let taken = other.gateway_reports(again, |others| Ok::<_, ()>(others[0].since));
        taken.await.unwrap().unwrap();
        let known = private.reported_gateways().await.unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!((&*known[0].announcement, known[0].version, known[0].since), ("{1}", 2, NOW));
        assert!(known[0].silent < Duration::from_secs(60));
        assert_eq!(private.reported_tunnels("a").await.unwrap().as_deref(), Some("[1]"));
        assert_eq!(private.reported_tunnels("b").await.unwrap(), None);
        drop(keep);
    }

    async fn of_two_gateways_that_clash_and_report_to_two_servers_at_once_one_is_refused(fresh: Fresh) {
        let Fresh { private, other, keep } = fresh;
        let only = |others: &[ReportedGateway]| if others.is_empty() { Ok(NOW) } else { Err(others.len()) };
        let (a, b) = tokio::join!(
            private.gateway_reports(report("a"), only),
            other.gateway_reports(report("b"), only)
        );
        let mut said = [a.unwrap(), b.unwrap()];
        said.sort_unstable();
        assert_eq!(said, [Ok(()), Err(1)]);
        assert_eq!(private.reported_gateways().await.unwrap().len(), 1);
        drop(keep);
    }
}
