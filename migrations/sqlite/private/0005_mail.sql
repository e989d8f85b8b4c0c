-- Mails that are to be sent, and which were. A mail has one cause, and a cause has one mail: a row stays after it was sent,
-- so that nothing is told twice.
create table outbox (
    -- In the order in which they were caused.
    id integer primary key autoincrement,
    cause text not null unique,
    -- To whom and what about, sealed with the vault key, which lies outside this file; gone once nothing is to be sent.
    sealed blob,
    created_at integer not null,
    -- The event that caused it; null when a request did. Only what its follower has passed cannot be caused again.
    position integer,
    -- When it was to be sent, and when it is tried next: null while it is on its way and after that.
    due_at integer not null,
    next_try_at integer,
    -- Tries that were refused.
    failures integer not null default 0,
    last_error text,
    -- Written before the mail leaves this server: found without an outcome, nobody knows whether it left.
    started_at integer,
    outcome text check (outcome in ('sent', 'dropped', 'given_up', 'in_doubt')),
    ended_at integer,
    check ((outcome is null) = (ended_at is null)),
    check ((outcome is null) = (sealed is not null)),
    check ((next_try_at is null) = (started_at is not null or outcome is not null))
) strict;

-- A look reads the head of this index: it costs what is due, not what waits or was sent.
create index outbox_due on outbox (next_try_at, id) where next_try_at is not null;
create index outbox_started on outbox (id) where started_at is not null and outcome is null;
create index outbox_ended on outbox (ended_at) where ended_at is not null;
