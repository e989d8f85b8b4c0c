-- Passkeys: what phones, computers and security keys keep, so that people sign in without a password.

create table passkeys (
    id blob primary key,
    -- What the authenticator calls it. Browsers tell it at sign-in, before anybody is known, so it leads to one account.
    credential_id blob not null unique,
    account blob not null,
    -- What the person calls it.
    name text not null,
    -- The public key, its counter, and what else is held against an answer, as JSON.
    credential text not null,
    created_at integer not null,
    last_used_at integer
) strict, without rowid;

create index passkeys_by_account on passkeys (account, created_at);

-- Challenges that authenticators were asked to sign. Each is answered once: the row is deleted by whoever answers, so an
-- answer that was overheard is worth nothing. Only the SHA-256 of the challenge's name is kept.
create table passkey_challenges (
    hash blob primary key,
    -- Who adds a passkey, and in which session; both are null when somebody signs in.
    account blob,
    session blob,
    -- What the answer is held against, as JSON.
    state text not null,
    expires_at integer not null
) strict, without rowid;

create index passkey_challenges_by_account on passkey_challenges (account);
create index passkey_challenges_by_end on passkey_challenges (expires_at);
