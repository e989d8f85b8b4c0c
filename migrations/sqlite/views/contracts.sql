-- Rentals, each with its paid segments, running or over.
create table contracts (
    contract blob primary key,
    -- The event that started it; lists are in this order.
    position integer not null,
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
    -- JSON: [{"start","end","paid","order"}], in order of time.
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
    -- The request that waits to be paid, as JSON.
    extension text,
    started_by text not null,
    offer text not null,
    policy text not null
) strict, without rowid;

create unique index contracts_by_position on contracts (position);
create index contracts_by_renter on contracts (renter, position);
create index contracts_by_owner on contracts (owner, position);
create index contracts_by_device on contracts (device, position);
-- What runs is few among what was.
create index contracts_by_status on contracts (status, position);
