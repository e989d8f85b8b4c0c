-- What several servers on one store must know of each other. A server that has the store for itself writes none of it.

-- The servers that run, each start under an id of its own. When one was heard of is told by the store's clock, in
-- milliseconds: servers' clocks may differ.
create table nodes (
    id blob primary key,
    -- What of the server it runs, comma-separated.
    roles text not null,
    -- Where it listens.
    address text not null,
    -- The program's version.
    version text not null,
    started_at integer not null,
    heard_ms integer not null
) strict;

-- Since when some server with the API has listened without a gap: before that, silence is nobody's fault. What is a gap
-- is told by the store's clock.
create table listening (
    id integer primary key check (id = 1),
    since integer not null,
    heard_ms integer not null
) strict;

-- What is remembered of a device from request to request, as JSON; empty when it was forgotten. Whoever changes it names
-- the version that it read, so of two servers one reads again. A version is never given twice, so rows stay.
create table device_memories (
    kind text not null,
    device blob not null,
    version integer not null,
    value text not null,
    primary key (kind, device)
) strict;

-- What a part that runs on one server tells of itself to those who ask another, as JSON.
create table statuses (
    name text primary key,
    value text not null,
    at integer not null
) strict;

-- The gateways, whichever server they report to.
create table gateways (
    name text primary key,
    -- What it says of itself and of its tunnels, as JSON.
    announcement text not null,
    tunnels text not null,
    -- Counts its reports.
    version integer not null,
    since integer not null,
    heard_ms integer not null
) strict;
