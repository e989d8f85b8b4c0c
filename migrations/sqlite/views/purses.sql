-- Payouts that wait until together they are worth sending: what each purse holds. Empty ones stay, with nothing in them.
create table purses (
    -- <owner>-<marketplace>-<asset>
    purse text primary key,
    -- The event that first held something in it; lists are in this order.
    position integer not null,
    -- The purse stream's last revision: its ETag.
    revision integer not null,
    updated integer not null,
    owner blob not null,
    -- Money is exact text such as '12.30 USD'.
    amount text not null,
    payouts integer not null,
    -- The oldest payout that waits, by its time; null when nothing does.
    held_since integer
) strict, without rowid;

create unique index purses_by_position on purses (position) where held_since is not null;
create index purses_by_owner on purses (owner, position) where held_since is not null;
