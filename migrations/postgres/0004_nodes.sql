-- What nodes of different versions on one database agree on.

-- The lowest schema whose programs can still use this database. A migration that only adds leaves it as it is, so nodes
-- of the version before go on; one that takes something away raises it, and nodes that know less refuse to start.
create table schema_floor (
    id integer primary key check (id = 1),
    version bigint not null
);

insert into schema_floor (id, version) values (1, 4);

-- Things that only one node does at a time, by the database's clock: nodes' clocks may differ.
create table leader_leases (
    name text collate "C" primary key,
    holder bytea not null,
    -- Grows with every change of hands.
    fence bigint not null,
    until timestamptz not null
);

-- The read models of each form that a program knows stand in a schema of their own, so nodes of two versions serve side
-- by side. A form that nobody has used for a day is dropped.
create table view_forms (
    form text collate "C" primary key,
    used_at timestamptz not null
);
