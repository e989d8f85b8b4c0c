-- Which server keys this store is used with, by a digest of them: with others, nothing sealed here can be opened.
create table server_keys (
    id integer primary key check (id = 1),
    fingerprint blob not null
) strict;
