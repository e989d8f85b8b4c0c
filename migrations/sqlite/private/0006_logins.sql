-- How people sign in on the pages.

-- What proves that somebody is the person of an account. One row per account that can sign in with a password.
create table logins (
    account blob primary key,
    -- The address in lower case: what is typed at sign-in. No two accounts share one.
    email text not null unique,
    -- Argon2id, as a PHC string.
    password text not null,
    -- When the address was proved by a link that was mailed to it; null until then.
    confirmed_at integer
) strict, without rowid;

-- Who is signed in on which browser. Only the SHA-256 of the cookie is kept.
create table sessions (
    hash blob primary key,
    account blob not null,
    -- The API token that it was opened with; it has that token's roles and ends with it. Null for a password.
    token blob,
    created_at integer not null,
    seen_at integer not null,
    expires_at integer not null
) strict, without rowid;

create index sessions_by_account on sessions (account);
create index sessions_by_end on sessions (expires_at);

-- Codes of links that were mailed; each works once. Only the SHA-256 is kept.
create table mailed_codes (
    hash blob primary key,
    account blob not null,
    -- confirm or reset.
    purpose text not null,
    -- The address it was mailed to, in lower case: a code for an address that was replaced proves nothing.
    email text not null,
    expires_at integer not null
) strict, without rowid;

create index mailed_codes_by_account on mailed_codes (account);
create index mailed_codes_by_end on mailed_codes (expires_at);

-- Tries that are counted against guessing and flooding, by who tries what.
create table tries (
    what text primary key,
    since integer not null,
    count integer not null
) strict, without rowid;

create index tries_by_age on tries (since);
