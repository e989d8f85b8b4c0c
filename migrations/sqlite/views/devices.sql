-- Every device ever enrolled, with its latest lease.
create table devices (
    device blob primary key,
    -- The event that enrolled it; lists are in this order.
    position integer not null,
    -- The device stream's last revision: its ETag.
    revision integer not null,
    -- The last event that changed the row.
    updated integer not null,
    owner blob not null,
    owner_gen integer not null,
    enrolled_at integer not null,
    -- SHA-256; null after a transfer until the new owner sets one.
    enrolment_key blob,
    retired_at integer,
    -- What is asked, as JSON; null while off the market.
    offer text,
    -- The latest lease, kept after its end until the next: 0 before the first.
    epoch integer not null,
    gateway text,
    port integer,
    subdomain text,
    device_key blob,
    config_hash blob,
    hardware text,
    granted_at integer,
    lease_ended_at integer,
    lease_end text,
    erased_at integer,
    -- The rental of the latest lease; null while there was none.
    contract blob,
    is_let integer not null,
    -- When it was last heard of, while it is lost.
    lost_since integer,
    give_up_at integer,
    -- For the uptime: seconds lost while leased, since the first lease.
    first_leased_at integer,
    lost_total_s integer not null
) strict, without rowid;

create unique index devices_by_position on devices (position);
create index devices_by_owner on devices (owner, position);
-- What an operator looks after is few among all devices: those that are lost, and those whose lease ended and whose data
-- is not proved to be erased. They are counted without a look at the rows: that needs the columns of the conditions.
create index devices_by_lost on devices (position, lost_since) where lost_since is not null;
create index devices_by_unerased on devices (position, lease_ended_at, erased_at)
    where lease_ended_at is not null and erased_at is null;
-- A registering device is known by its enrolment key. Not unique: nothing stops an owner from copying a key, and the
-- domain decides what that means.
create index devices_by_enrolment_key on devices (enrolment_key) where enrolment_key is not null;
