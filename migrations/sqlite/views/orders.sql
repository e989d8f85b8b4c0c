-- Orders: payments received by marketplaces and what became of them.
create table orders (
    -- The event that received it. The table lies in this order, and every index ends in it.
    position integer primary key,
    -- <marketplace>-<the marketplace's own id>
    order_key text not null unique,
    revision integer not null,
    updated integer not null,
    marketplace text not null,
    -- What was bought, as JSON.
    item text not null,
    renter blob not null,
    paid text not null,
    -- received, accepted or rejected.
    status text not null,
    received_at integer not null,
    decided_at integer,
    -- Why it was rejected, as JSON.
    reason text,
    contract blob,
    -- The time it bought, as JSON.
    segment text,
    -- The refund of a rejected order.
    settlement blob
) strict;

create index orders_by_renter on orders (renter);
create index orders_by_marketplace on orders (marketplace);
create index orders_by_contract on orders (contract) where contract is not null;
-- Orders are received for a moment only: whoever looks for one that was left behind must not read the others.
create index orders_by_received on orders (status) where status = 'received';
-- Orders are rarely rejected: whoever looks for the latest must not read the others.
create index orders_by_rejected on orders (status) where status = 'rejected';
