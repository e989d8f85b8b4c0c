-- Which events are about a thing. Who, when and why are read from the log by position.
create table timeline (
    -- The 16 bytes of an id, or the text of an order's key: a blob never equals a text.
    subject any not null,
    position integer not null
) strict;

-- Rows only ever come at the end of the table; the order that is asked for is here. An event twice is a fault.
create unique index timeline_by_subject on timeline (subject, position);
