-- What the OpenBazaar connector remembers between two looks at its node. The ledger knows every order and what became of
-- it; this only saves looking at what has not changed.

-- Who does a thing that only one server may do, and until when. `fence` counts changes of hands.
create table leader_leases (
    name text primary key,
    holder blob not null,
    fence integer not null,
    until integer not null
) strict;

-- Orders as the node had them when they were last looked at. Those with `look_at` are looked at then, changed or not.
create table openbazaar_orders (
    id text primary key,
    state text not null,
    -- Whether something is to be done about it, or waited for.
    open integer not null check (open in (0, 1)),
    look_at integer,
    failures integer not null default 0
) strict, without rowid;

create index openbazaar_orders_open on openbazaar_orders (id) where open = 1;
create index openbazaar_orders_look on openbazaar_orders (look_at) where look_at is not null;

-- Listings that are on the node, with a digest of what they say.
create table openbazaar_listings (
    slug text primary key,
    content blob not null
) strict, without rowid;

-- When the connector first saw its node: what was ordered before is nobody's business here.
create table openbazaar_since (
    id integer primary key check (id = 1),
    at integer not null
) strict;
