-- Who holds which port of which gateway now.
create table port_leases (
    gateway text not null,
    port integer not null,
    subdomain text not null,
    device blob not null,
    epoch integer not null,
    leased_at integer not null,
    -- The last event that changed the row.
    updated integer not null,
    primary key (gateway, port)
) strict, without rowid;

-- A subdomain leads to one port only.
create unique index port_leases_by_subdomain on port_leases (subdomain);
create index port_leases_by_device on port_leases (device);
