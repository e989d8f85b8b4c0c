-- What may be changed and forgotten: people, their tokens, sealed secrets, presence. Nothing here is needed to replay the
-- ledger; rows refer to it by opaque ids only.

-- A person or an integration. `marketplace` names the stream prefix of its orders, so two integrations cannot share one.
create table accounts (
    id blob primary key,
    name text not null,
    email text,
    refund_address text,
    payout_address text,
    marketplace text unique,
    created_at integer not null
) strict;

-- API tokens; only their SHA-256 is kept. `roles` is a comma-separated subset of the account's roles.
create table tokens (
    id blob primary key,
    hash blob not null unique,
    account blob not null,
    label text not null,
    roles text not null,
    created_at integer not null,
    expires_at integer,
    revoked_at integer
) strict;

create index tokens_by_account on tokens (account, created_at);

-- The one-time set-up code of the first start; at most one row, gone once used.
create table setup (
    id integer primary key check (id = 1),
    hash blob not null
) strict;

-- A device's name as its owner calls it.
create table device_names (
    device blob primary key,
    name text not null
) strict;

-- Sealed with the vault key, which lies outside this file: renters' credentials, one row per lease.
create table secrets (
    device blob not null,
    epoch integer not null,
    sealed blob not null,
    primary key (device, epoch)
) strict, without rowid;

-- When a device was last heard of. Only watched devices can get lost, so the scheduler reads `watched, last_seen`.
create table presence (
    device blob primary key,
    last_seen integer not null,
    watched integer not null check (watched in (0, 1))
) strict;

create index presence_by_silence on presence (watched, last_seen);

-- Answers given under an Idempotency-Key. A row without an answer is a request in flight (or cut off by a crash).
create table idempotency (
    account blob not null,
    key text not null,
    request_hash blob not null,
    started_at integer not null,
    sealed_answer blob,
    primary key (account, key)
) strict, without rowid;

create index idempotency_by_age on idempotency (started_at);

-- How far a follower of the log has come: the next position it will read.
create table followers (
    name text primary key,
    next_position integer not null
) strict;

-- What a human should look at, and why; one row per cause.
create table attention (
    subject text not null,
    what text not null,
    detail text not null,
    since integer not null,
    primary key (subject, what)
) strict, without rowid;
