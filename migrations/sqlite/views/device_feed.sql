-- What a device may know about itself, in the order of the log. Payloads are read from the log by position.
create table device_feed (
    device blob not null,
    position integer not null,
    kind text not null,
    -- The lease it is about; null when it is about none.
    epoch integer,
    recorded_at integer not null
) strict;

-- Rows only ever come at the end of the table; the order that is asked for is here. An event twice is a fault.
create unique index device_feed_by_device on device_feed (device, position);
