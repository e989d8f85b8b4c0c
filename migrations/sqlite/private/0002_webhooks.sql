-- Where events are delivered, and how far each has come. Only what was delivered moves `next_position`, so whatever
-- breaks off is repeated and nothing is left out.

create table webhooks (
    -- In the order in which they were added; never given twice, so that a list can be walked while it changes.
    seq integer primary key autoincrement,
    id blob not null unique,
    url text not null,
    label text,
    -- Only what concerns the orders of this marketplace; null for everything.
    marketplace text,
    -- Names of events, comma-separated; empty for all.
    types text not null,
    created_at integer not null,
    -- Counts changes, for ETags.
    revision integer not null default 0,
    -- Sealed with the vault key, which lies outside this file.
    sealed_secret blob not null,
    -- The command that made the secret: repeated, it makes it anew, because nobody has seen it.
    secret_by blob not null,
    -- The secret before, which signs too until then.
    sealed_old_secret blob,
    old_secret_until integer,
    -- The first position not passed yet.
    next_position integer not null,
    -- Tries of the event at `next_position` that failed, and when it is tried again.
    failures integer not null default 0,
    next_try_at integer,
    last_success_at integer,
    last_error text,
    last_error_at integer,
    disabled_at integer,
    check ((sealed_old_secret is null) = (old_secret_until is null)),
    check ((last_error is null) = (last_error_at is null))
) strict;
