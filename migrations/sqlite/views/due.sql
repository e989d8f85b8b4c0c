-- What must be done at a time: one row for each command that the scheduler will issue. Done rows are gone, so the table
-- holds the future and not the past.
create table due (
    -- expiry, extension_lapse, lost_grace, payout or port_reclaim.
    kind text not null,
    -- A contract, a device, or <gateway>/<port>/<device>/<epoch>.
    subject text not null,
    due_at integer not null,
    -- Only of an expiry: seconds from the end of the rental to its payout.
    payout_delay_s integer not null,
    -- Disputes that must be decided before the payout.
    held integer not null,
    updated integer not null,
    primary key (kind, subject)
) strict, without rowid;

-- A run reads the head of this index: it costs what is due, not what exists.
create index due_by_time on due (kind, due_at, subject);
