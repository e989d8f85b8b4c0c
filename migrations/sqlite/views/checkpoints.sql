-- How far each read model is folded. Written in the same transaction as its rows, so the two never disagree.
create table if not exists checkpoints (
    view text primary key,
    -- The fold's version and the digest of the table's form: a program that has others rebuilds the view.
    version integer not null,
    digest blob not null,
    -- Counts rebuilds: whoever holds rows in memory sees that the table under them was replaced.
    generation integer not null,
    -- The first position of the log that is not folded yet.
    next integer not null check (next >= 0),
    -- The id of the event before it: a log that has another event there is another log.
    last blob
) strict, without rowid;
