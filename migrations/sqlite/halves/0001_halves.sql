-- The server's halves of volume keys. What is destroyed here must be gone: this file is part of no backup, keeps no log
-- of pages, and overwrites what it deletes.
create table halves (
    device blob not null,
    epoch integer not null,
    -- Sealed with keys/vault.key; null once it is destroyed.
    sealed blob,
    -- Shows what the half was without giving it away; it outlives the half, so that its end can be recorded after a crash.
    commitment blob not null,
    -- When the appeal against the lease's end is over; null while the lease runs.
    due_at integer,
    -- Why it was destroyed: erased, appeal_over or asked.
    why text,
    -- Whether the ledger says that it was destroyed.
    recorded integer not null default 0 check (recorded in (0, 1)),
    primary key (device, epoch),
    check ((sealed is null) = (why is not null)),
    check (recorded = 0 or sealed is null),
    -- The half of a running lease is never destroyed.
    check (sealed is not null or due_at is not null)
) strict;

-- What is due is few among what is kept, and what is not recorded yet is fewer.
create index halves_due on halves (due_at) where sealed is not null and due_at is not null;
create index halves_unrecorded on halves (device, epoch) where sealed is null and recorded = 0;
