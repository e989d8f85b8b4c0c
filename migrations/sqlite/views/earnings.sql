-- What owners have earned and got, by month: one row for each device, and one with a device of zero bytes for all that
-- month; month 0 is all months together. A chart of a year reads twelve rows, however many devices there are.
create table earnings (
    owner blob not null,
    device blob not null,
    asset text not null,
    -- Years times 12, and the month of the year from 0.
    month integer not null,
    -- Minor units, 39 digits with leading zeros: sorts as text, and holds what no integer column can.
    earned text not null,
    paid text not null,
    payouts integer not null,
    rentals integer not null,
    updated integer not null,
    primary key (owner, device, asset, month)
) strict, without rowid;

-- The devices that earned most; the row for all devices is none of them.
create index earnings_by_earned on earnings (owner, asset, month, earned, device)
    where device <> x'00000000000000000000000000000000';

-- What later events do not repeat: the device of a contract that is not closed, and which devices' money a payout moves
-- that has not come to its end.
create table earnings_open (
    subject blob primary key,
    -- JSON.
    open text not null
) strict, without rowid;
