-- The event log. Whatever else Berth knows can be computed again from these two tables.

-- Marks the file as a Berth log ('Brth'), so that another program's database is never taken for one.
pragma application_id = 1114797160;

-- A stream's name is long and repeated by every event of it: events refer to it by number.
-- A stream exists from its first event on; both are inserted in one transaction.
create table streams (
    id integer primary key,
    name text not null unique
) strict;

create table events (
    -- Place in the whole log, dense from 0 in commit order. The only writer at a time chooses it inside its
    -- transaction, so a reader that has seen position p has seen everything before p.
    position integer primary key check (position >= 0),
    stream integer not null references streams (id),
    -- Place in the stream, dense from 0.
    revision integer not null check (revision >= 0),
    -- Ids are 16 bytes. They have no index of their own: one more random index costs a quarter of the throughput, and a
    -- repeated append is found by its stream and revision.
    event_id blob not null,
    -- Name and version stand beside the payload, so that it is decoded once and straight into its type.
    kind text not null,
    schema integer not null check (schema >= 1),
    -- Microseconds since 1970, UTC.
    recorded_at integer not null,
    -- Seconds since 1970, UTC.
    effective_at integer not null,
    actor text not null,
    on_behalf_of blob,
    command_id blob not null,
    causation_id blob,
    correlation_id blob not null,
    -- The exact bytes: canonical JSON. Last, because SQLite reads a row from the front.
    payload blob not null,
    -- Finds a stream's events, and makes two events of the same revision impossible whatever the code does.
    unique (stream, revision)
) strict;

-- What happened stays as it was written, even by hand.
create trigger events_are_not_changed before update on events begin
    select raise(abort, 'events are never changed');
end;

create trigger events_are_not_deleted before delete on events begin
    select raise(abort, 'events are never deleted');
end;
