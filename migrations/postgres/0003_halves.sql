-- The server's halves of volume keys, in a schema of their own, so that a backup leaves them out:
-- `pg_dump --exclude-schema=halves`.
--
-- What is destroyed here must be gone, and PostgreSQL keeps what is replaced: the old row until the table is vacuumed,
-- its bytes on the page until it is written anew, and a copy in the write-ahead log and in whatever archives that. Against
-- it: a half is sealed with keys/vault.key, which lies elsewhere; whoever destroys one writes the table anew at once
-- (`vacuum full`), and where that is not possible the table is vacuumed within a minute; a half is never moved out of the
-- table. Physical copies (base backups, standbys, archives of the log) still hold it as long as they are kept.
create schema halves;

create table halves.halves (
    device bytea not null,
    epoch bigint not null,
    -- Sealed with keys/vault.key; null once it is destroyed.
    sealed bytea,
    -- Shows what the half was without giving it away; it outlives the half, so that its end can be recorded after a crash.
    commitment bytea not null,
    -- When the appeal against the lease's end is over; null while the lease runs.
    due_at bigint,
    -- Why it was destroyed: erased, appeal_over or asked.
    why text collate "C",
    -- Whether the ledger says that it was destroyed.
    recorded bigint not null default 0 check (recorded in (0, 1)),
    primary key (device, epoch),
    check ((sealed is null) = (why is not null)),
    check (recorded = 0 or sealed is null),
    -- The half of a running lease is never destroyed.
    check (sealed is not null or due_at is not null)
) with (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- Never in a table beside this one.
alter table halves.halves alter column sealed set storage plain;

-- What is due is few among what is kept, and what is not recorded yet is fewer.
create index halves_due on halves.halves (due_at) where sealed is not null and due_at is not null;
create index halves_unrecorded on halves.halves (device, epoch) where sealed is null and recorded = 0;
