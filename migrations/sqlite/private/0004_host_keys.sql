-- The SSH host keys of the workload that runs for a lease, as its device reports them: renters check them when they
-- connect. Public, and worth nothing once the lease is over.
create table host_keys (
    device blob not null,
    epoch integer not null,
    -- One line for each, as OpenSSH writes them.
    keys text not null,
    primary key (device, epoch)
) strict, without rowid;
