-- What several servers on one database must know of each other.

-- The servers that run, each start under an id of its own. When one was heard of is told by the store's clock, in
-- milliseconds: servers' clocks may differ.
create table nodes (
    id bytea primary key,
    -- What of the server it runs, comma-separated.
    roles text collate "C" not null,
    -- Where it listens.
    address text collate "C" not null,
    -- The program's version.
    version text collate "C" not null,
    started_at bigint not null,
    heard_ms bigint not null
);

-- Since when some server with the API has listened without a gap: before that, silence is nobody's fault. What is a gap
-- is told by the store's clock.
create table listening (
    id bigint primary key check (id = 1),
    since bigint not null,
    heard_ms bigint not null
);

-- What is remembered of a device from request to request, as JSON; empty when it was forgotten. Whoever changes it names
-- the version that it read, so of two servers one reads again. A version is never given twice, so rows stay.
create table device_memories (
    kind text collate "C" not null,
    device bytea not null,
    version bigint not null,
    value text collate "C" not null,
    primary key (kind, device)
);

-- What a part that runs on one server tells of itself to those who ask another, as JSON.
create table statuses (
    name text collate "C" primary key,
    value text collate "C" not null,
    at bigint not null
);

-- The gateways, whichever server they report to.
create table gateways (
    name text collate "C" primary key,
    -- What it says of itself and of its tunnels, as JSON.
    announcement text collate "C" not null,
    tunnels text collate "C" not null,
    -- Counts its reports.
    version bigint not null,
    since bigint not null,
    heard_ms bigint not null
);
