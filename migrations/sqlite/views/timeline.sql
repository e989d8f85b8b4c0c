-- Which events are about a thing. Who, when and why are read from the log by position.
create table timeline (
    -- The 16 bytes of an id; of an order, those of a UUID (version 5) of its key.
    subject blob not null,
    -- One row holds the events of 65,536 positions, from chunk * 65536 on: a thing has few rows, mostly one.
    chunk integer not null,
    -- What the positions are beyond that, ascending, two bytes each, the high byte first.
    offsets blob not null,
    primary key (subject, chunk)
) strict, without rowid;
