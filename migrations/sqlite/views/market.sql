-- The market: every device in service, and whether it can be rented now. Closed ones stay, because what opens them again
-- (a recovery, a new lease) does not repeat what they are.
create table market (
    device blob primary key,
    -- The event that last put it on the market; "newest" is in this order.
    position integer not null,
    updated integer not null,
    owner blob not null,
    epoch integer not null,
    -- Offered, leased, never let in this lease, not lost.
    open integer not null,
    leased integer not null,
    taken integer not null,
    lost_since integer,
    first_leased_at integer,
    lost_total_s integer not null,
    -- Share of the time since the first lease in which it was not lost, in millionths, as of the last event that changed it.
    uptime_ppm integer not null,
    offer text,
    hardware text,
    asset text,
    -- Minor units for 5,040 hours (210 days: a whole number of every unit of time, so this is exact), 32 digits with
    -- leading zeros: sorts as text, and holds what no integer column can.
    price_key text not null,
    memory_mib integer not null,
    disk_mib integer not null,
    cores integer not null,
    place text,
    title text not null
) strict, without rowid;

-- One index for each order of the market; each ends in what breaks ties and continues a list.
create index market_by_price on market (asset, price_key, device) where open = 1;
create index market_by_any_price on market (price_key, device) where open = 1;
create index market_by_memory on market (memory_mib, device) where open = 1;
create index market_by_disk on market (disk_mib, device) where open = 1;
create index market_by_uptime on market (uptime_ppm, device) where open = 1;
create index market_by_position on market (position, device) where open = 1;
