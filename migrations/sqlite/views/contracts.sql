-- Rentals, each with its paid segments, running or over.
create table contracts (
    -- The event that started it. The table lies in this order: what is written together stands together, and every
    -- index ends in it, so that lists need no sorting.
    position integer primary key,
    contract blob not null unique,
    -- The contract stream's last revision: its ETag.
    revision integer not null,
    updated integer not null,
    device blob not null,
    epoch integer not null,
    owner blob not null,
    renter blob not null,
    -- running, expired or terminated.
    status text not null,
    ended_by text,
    -- JSON: [{"start","end","paid","order","refunded","verdict"}], in order of time; a closed one with "payout", "fee".
    segments text not null,
    starts_at integer not null,
    -- End of the paid time.
    ends_at integer not null,
    ended_at integer,
    -- Money is exact text such as '12.30 USD'.
    paid text not null,
    refunded text not null,
    payout text,
    fee text,
    moderation text not null,
    -- When the money of a served segment may be decided; null when no segment waits for that.
    segment_due_at integer,
    -- The request that waits to be paid, as JSON.
    extension text,
    started_by text not null,
    offer text not null,
    policy text not null,
    -- 0 or 1.
    offline_resume integer not null,
    erased_at integer,
    key_destroyed_at integer,
    -- erased, appeal_over or asked.
    key_end text,
    key_commitment blob
) strict;

create index contracts_by_renter on contracts (renter);
create index contracts_by_owner on contracts (owner);
create index contracts_by_device on contracts (device);
-- Somebody's running contracts are few among those that were; so may be those of any status.
create index contracts_by_renter_status on contracts (renter, status);
create index contracts_by_owner_status on contracts (owner, status);
create index contracts_by_device_status on contracts (device, status);
-- What runs is few among what was.
create index contracts_by_status on contracts (status);
create index contracts_by_segment_due on contracts (segment_due_at) where segment_due_at is not null;
