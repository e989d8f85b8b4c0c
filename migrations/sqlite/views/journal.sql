-- The journal in double entry: one entry for each event that moves money or a claim on it.
create table journal (
    -- The event. Entries only ever come at the end.
    position integer primary key,
    -- The event's name and stream.
    kind text not null,
    stream text not null,
    recorded_at integer not null,
    effective_at integer not null,
    -- Debits and credits in order; the form is in projections/src/views/journal/postings.rs.
    postings blob not null
) strict;

-- What every account holds after the last entry: debits less credits, in minor units, as exact text.
create table balances (
    account text not null,
    asset text not null,
    minor text not null,
    -- The entries that first and last changed it.
    since integer not null,
    updated integer not null,
    primary key (account, asset)
) strict, without rowid;

-- Most accounts came to nothing: whoever looks for what is left must not read them.
create index balances_by_account on balances (account, asset) where minor <> '0';

-- What accrued to each owner in all contracts together: an owner may have thousands that run, each an account.
create table accrued (
    owner blob not null,
    asset text not null,
    minor text not null,
    updated integer not null,
    primary key (owner, asset)
) strict, without rowid;

-- What the next entries will be posted against: contracts that are not closed, settlements that have not come to their
-- end. Closed ones are gone, so the table holds what is open and not what was.
create table journal_open (
    -- A contract or a settlement.
    subject blob primary key,
    -- What was posted for it so far, as JSON.
    open text not null
) strict, without rowid;
