-- Refunds and payouts on their way out of escrow.
create table settlements (
    settlement blob primary key,
    -- The event that made it due; lists are in this order.
    position integer not null,
    revision integer not null,
    updated integer not null,
    -- refund or payout.
    kind text not null,
    -- due, started, settled, failed or quarantined.
    status text not null,
    order_key text not null,
    -- Who holds the money.
    marketplace text not null,
    contract blob,
    -- Who gets it.
    recipient blob not null,
    amount text not null,
    due_at integer not null,
    -- Tries so far.
    attempt integer not null,
    method text,
    started_at integer,
    ended_at integer,
    -- What really moved, once it did.
    reference text,
    moved text,
    network_fee text,
    -- Why the last try failed or is in doubt.
    reason text
) strict, without rowid;

create unique index settlements_by_position on settlements (position);
-- The work of each marketplace, oldest first.
create index settlements_by_status on settlements (kind, status, position);
create index settlements_by_marketplace on settlements (marketplace, kind, status, position);
create index settlements_by_recipient on settlements (recipient, kind, position);
create index settlements_by_contract on settlements (contract, position) where contract is not null;
