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
    -- What an hour, a day, a week and a month cost by the offer's own rules, in the same form, in minor units.
    hour_key text not null,
    day_key text not null,
    week_key text not null,
    month_key text not null,
    memory_mib integer not null,
    disk_mib integer not null,
    cores integer not null,
    -- 0 while nobody has measured it.
    bandwidth_kbit_s integer not null,
    place text,
    title text not null,
    -- In small letters.
    processor text not null,
    -- Title, place and processor in small letters, a line each: what texts are looked for in.
    words text not null,
    -- Bits of the three-letter pieces of the words: a row that lacks one of a text's bits does not contain the text.
    pieces_a integer not null,
    pieces_b integer not null
) strict, without rowid;

-- One index for each order of the market; after the order comes what breaks ties and continues a list, then everything
-- that is filtered by. So a search that finds little looks at a hundred thousand narrow entries and not at as many rows.
-- The words stand last: they are compared once nothing before them rules an entry out.
-- `open` says nothing new, but the database asks for it.
create index market_by_price on market (asset, price_key, device, open, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, place, processor, words)
    where open = 1;
create index market_by_any_price on market (price_key, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, place, processor, words)
    where open = 1;
create index market_by_hour_price on market (hour_key, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_day_price on market (day_key, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_week_price on market (week_key, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_month_price on market (month_key, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_memory on market (memory_mib, device, open, asset, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_disk on market (disk_mib, device, open, asset, memory_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_cores on market (cores, device, open, asset, memory_mib, disk_mib, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_bandwidth on market (bandwidth_kbit_s, device, open, asset, memory_mib, disk_mib, cores, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_uptime on market (uptime_ppm, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
create index market_by_position on market (position, device, open, asset, memory_mib, disk_mib, cores, bandwidth_kbit_s, uptime_ppm, pieces_a, pieces_b, price_key, place, processor, words)
    where open = 1;
-- The places there are, one after another.
create index market_by_place on market (place) where open = 1;
