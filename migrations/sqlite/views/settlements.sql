-- Refunds and payouts on their way out of escrow.
create table settlements (
    -- The event that made it due. The table lies in this order, and every index ends in it.
    position integer primary key,
    settlement blob not null unique,
    revision integer not null,
    updated integer not null,
    -- refund, payout or moderation.
    kind text not null,
    -- due, started, settled, failed, quarantined or withdrawn.
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
) strict;

-- What is left to do is few among what was done.
create index settlements_by_status on settlements (status);
create index settlements_by_marketplace on settlements (marketplace, status);
create index settlements_by_recipient on settlements (recipient);
create index settlements_by_contract on settlements (contract) where contract is not null;
