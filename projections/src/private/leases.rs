//! Leases of things that only one server may do.
//!
//! # Correctness
//! A lease is taken by one statement that sees its last state, so of two servers one gets it. Nodes' clocks may differ: in a
//! database that they share, its clock decides and theirs are not asked. A holder counts a lease from before it asked, so
//! it never believes in it for longer than the database does; a holder that was frozen may, and shows its fence.

use domain::time::{Seconds, Time};
use uuid::Uuid;

use super::{Private, PrivateError};
use crate::sql::{Store, sql};

impl Private {
    /// Leases are judged by the times that are given, not by a database's clock: for a clock that is moved by hand.
    #[must_use]
    pub fn go_by_given_times(mut self) -> Self {
        self.given_times = true;
        self
    }

    fn given(&self, now: Time) -> Option<i64> {
        self.given_times.then(|| now.unix())
    }

    /// Takes or keeps a lease for `for_s` seconds; answers its fence, which grows with every change of hands, or `None`
    /// while somebody else holds it. `now` counts only where one server has the store for itself, or when told so
    /// ([`Private::go_by_given_times`]).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: Uuid,
        now: Time,
        for_s: Seconds,
    ) -> Result<Option<u64>, PrivateError> {
        let query = match &self.store {
            Store::Sqlite(_) => {
                let query =
                    sql("insert into leader_leases (name, holder, fence, until) values (?1, ?2, 1, ?3)
                                 on conflict (name) do update set
                                     fence = leader_leases.fence +
                                         case when leader_leases.holder <> excluded.holder then 1 else 0 end,
                                     holder = excluded.holder, until = excluded.until
                                 where leader_leases.holder = excluded.holder or leader_leases.until <= ?4
                                 returning fence");
                query.bind(name).bind(holder).bind(now.plus(for_s)).bind(now)
            }
            Store::Postgres(_) => {
                let query = sql("insert into leader_leases (name, holder, fence, until)
                                 values (?1, ?2, 1, coalesce(to_timestamp(?4), clock_timestamp()) + make_interval(secs => ?3))
                                 on conflict (name) do update set
                                     fence = leader_leases.fence +
                                         case when leader_leases.holder <> excluded.holder then 1 else 0 end,
                                     holder = excluded.holder, until = excluded.until
                                 where leader_leases.holder = excluded.holder
                                     or leader_leases.until <= coalesce(to_timestamp(?4), clock_timestamp())
                                 returning fence");
                query.bind(name).bind(holder).bind(for_s).bind(self.given(now))
            }
        };
        let fence = query.optional::<(i64,)>(&self.store).await?;
        Ok(fence.map(|(fence,)| fence.cast_unsigned()))
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_lease(&self, name: &str, holder: Uuid, now: Time) -> Result<(), PrivateError> {
        let query = match &self.store {
            Store::Sqlite(_) => {
                sql("update leader_leases set until = ?3 where name = ?1 and holder = ?2 and until > ?3")
                    .bind(name)
                    .bind(holder)
                    .bind(now)
            }
            Store::Postgres(_) => {
                sql("update leader_leases set until = coalesce(to_timestamp(?3), clock_timestamp())
                                       where name = ?1 and holder = ?2
                                           and until > coalesce(to_timestamp(?3), clock_timestamp())")
                .bind(name)
                .bind(holder)
                .bind(self.given(now))
            }
        };
        query.execute(&self.store).await?;
        Ok(())
    }
}
