-- What may be changed and forgotten: people, their tokens, sealed secrets, presence. Nothing here is needed to replay the
-- ledger; rows refer to it by opaque ids only. Times are seconds since 1970; texts are compared byte by byte.

-- A person or an integration. `marketplace` names the stream prefix of its orders, so two integrations cannot share one.
create table accounts (
    id bytea primary key,
    name text collate "C" not null,
    email text collate "C",
    refund_address text collate "C",
    payout_address text collate "C",
    marketplace text collate "C" unique,
    created_at bigint not null
);

-- API tokens; only their SHA-256 is kept. `roles` is a comma-separated subset of the account's roles.
create table tokens (
    id bytea primary key,
    hash bytea not null unique,
    account bytea not null,
    label text collate "C" not null,
    roles text collate "C" not null,
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint
);

create index tokens_by_account on tokens (account, created_at);

-- The one-time set-up code of the first start; at most one row, gone once used.
create table setup (
    id bigint primary key check (id = 1),
    hash bytea not null
);

-- A device's name as its owner calls it.
create table device_names (
    device bytea primary key,
    name text collate "C" not null
);

-- Sealed with the vault key, which lies outside this database: renters' credentials, one row per lease.
create table secrets (
    device bytea not null,
    epoch bigint not null,
    sealed bytea not null,
    primary key (device, epoch)
);

-- The SSH host keys of the workload that runs for a lease, as its device reports them: renters check them when they
-- connect. Public, and worth nothing once the lease is over.
create table host_keys (
    device bytea not null,
    epoch bigint not null,
    -- One line for each, as OpenSSH writes them.
    keys text collate "C" not null,
    primary key (device, epoch)
);

-- When a device was last heard of. Only watched devices can get lost, so the scheduler reads `watched, last_seen`. Written
-- all the time: pages keep room for new versions of their rows.
create table presence (
    device bytea primary key,
    last_seen bigint not null,
    watched bigint not null check (watched in (0, 1))
) with (fillfactor = 70);

create index presence_by_silence on presence (watched, last_seen);

-- Answers given under an Idempotency-Key. A row without an answer is a request in flight (or cut off by a crash).
create table idempotency (
    account bytea not null,
    key text collate "C" not null,
    request_hash bytea not null,
    started_at bigint not null,
    sealed_answer bytea,
    primary key (account, key)
);

create index idempotency_by_age on idempotency (started_at);

-- How far a follower of the log has come: the next position it will read.
create table followers (
    name text collate "C" primary key,
    next_position bigint not null
);

-- What a human should look at, and why; one row per cause.
create table attention (
    subject text collate "C" not null,
    what text collate "C" not null,
    detail text collate "C" not null,
    since bigint not null,
    primary key (subject, what)
);

-- Where events are delivered, and how far each has come. Only what was delivered moves `next_position`, so whatever
-- breaks off is repeated and nothing is left out.
create table webhooks (
    -- In the order in which they were added; never given twice, so that a list can be walked while it changes.
    seq bigint generated always as identity primary key,
    id bytea not null unique,
    url text collate "C" not null,
    label text collate "C",
    -- Only what concerns the orders of this marketplace; null for everything.
    marketplace text collate "C",
    -- Names of events, comma-separated; empty for all.
    types text collate "C" not null,
    created_at bigint not null,
    -- Counts changes, for ETags.
    revision bigint not null default 0,
    -- Sealed with the vault key, which lies outside this database.
    sealed_secret bytea not null,
    -- The command that made the secret: repeated, it makes it anew, because nobody has seen it.
    secret_by bytea not null,
    -- The secret before, which signs too until then.
    sealed_old_secret bytea,
    old_secret_until bigint,
    -- The first position not passed yet.
    next_position bigint not null,
    -- Tries of the event at `next_position` that failed, and when it is tried again.
    failures bigint not null default 0,
    next_try_at bigint,
    last_success_at bigint,
    last_error text collate "C",
    last_error_at bigint,
    disabled_at bigint,
    check ((sealed_old_secret is null) = (old_secret_until is null)),
    check ((last_error is null) = (last_error_at is null))
);

-- Mails that are to be sent, and which were. A mail has one cause, and a cause has one mail: a row stays after it was sent,
-- so that nothing is told twice.
create table outbox (
    -- Roughly in the order in which they were caused.
    id bigint generated always as identity primary key,
    cause text collate "C" not null unique,
    -- To whom and what about, sealed with the vault key, which lies outside this database; gone once nothing is to be sent.
    sealed bytea,
    created_at bigint not null,
    -- The event that caused it; null when a request did. Only what its follower has passed cannot be caused again.
    position bigint,
    -- When it was to be sent, and when it is tried next: null while it is on its way and after that.
    due_at bigint not null,
    next_try_at bigint,
    -- Tries that were refused.
    failures bigint not null default 0,
    last_error text collate "C",
    -- Written before the mail leaves this server: found without an outcome, nobody knows whether it left.
    started_at bigint,
    outcome text collate "C" check (outcome in ('sent', 'dropped', 'given_up', 'in_doubt')),
    ended_at bigint,
    check ((outcome is null) = (ended_at is null)),
    check ((outcome is null) = (sealed is not null)),
    check ((next_try_at is null) = (started_at is not null or outcome is not null))
);

-- A look reads the head of this index: it costs what is due, not what waits or was sent.
create index outbox_due on outbox (next_try_at, id) where next_try_at is not null;
create index outbox_started on outbox (id) where started_at is not null and outcome is null;
create index outbox_ended on outbox (ended_at) where ended_at is not null;

-- What proves that somebody is the person of an account. One row per account that can sign in with a password.
create table logins (
    account bytea primary key,
    -- The address in lower case: what is typed at sign-in. No two accounts share one.
    email text collate "C" not null unique,
    -- Argon2id, as a PHC string.
    password text collate "C" not null,
    -- When the address was proved by a link that was mailed to it; null until then.
    confirmed_at bigint
);

-- Who is signed in on which browser. Only the SHA-256 of the cookie is kept.
create table sessions (
    hash bytea primary key,
    account bytea not null,
    -- The API token that it was opened with; it has that token's roles and ends with it. Null for a password.
    token bytea,
    created_at bigint not null,
    seen_at bigint not null,
    expires_at bigint not null
);

create index sessions_by_account on sessions (account);
create index sessions_by_end on sessions (expires_at);

-- Codes of links that were mailed; each works once. Only the SHA-256 is kept.
create table mailed_codes (
    hash bytea primary key,
    account bytea not null,
    -- confirm or reset.
    purpose text collate "C" not null,
    -- The address it was mailed to, in lower case: a code for an address that was replaced proves nothing.
    email text collate "C" not null,
    expires_at bigint not null
);

create index mailed_codes_by_account on mailed_codes (account);
create index mailed_codes_by_end on mailed_codes (expires_at);

-- Tries that are counted against guessing and flooding, by who tries what.
create table tries (
    what text collate "C" primary key,
    since bigint not null,
    count bigint not null
);

create index tries_by_age on tries (since);

-- Passkeys: what phones, computers and security keys keep, so that people sign in without a password.
create table passkeys (
    id bytea primary key,
    -- What the authenticator calls it. Browsers tell it at sign-in, before anybody is known, so it leads to one account.
    credential_id bytea not null unique,
    account bytea not null,
    -- What the person calls it.
    name text collate "C" not null,
    -- The public key, its counter, and what else is held against an answer, as JSON.
    credential text collate "C" not null,
    created_at bigint not null,
    last_used_at bigint
);

create index passkeys_by_account on passkeys (account, created_at);

-- Challenges that authenticators were asked to sign. Each is answered once: the row is deleted by whoever answers, so an
-- answer that was overheard is worth nothing. Only the SHA-256 of the challenge's name is kept.
create table passkey_challenges (
    hash bytea primary key,
    -- Who adds a passkey, and in which session; both are null when somebody signs in.
    account bytea,
    session bytea,
    -- What the answer is held against, as JSON.
    state text collate "C" not null,
    expires_at bigint not null
);

create index passkey_challenges_by_account on passkey_challenges (account);
create index passkey_challenges_by_end on passkey_challenges (expires_at);

-- What the OpenBazaar connector remembers between two looks at its node. The ledger knows every order and what became of
-- it; this only saves looking at what has not changed.

-- Orders as the node had them when they were last looked at. Those with `look_at` are looked at then, changed or not.
create table openbazaar_orders (
    id text collate "C" primary key,
    state text collate "C" not null,
    -- Whether something is to be done about it, or waited for.
    open bigint not null check (open in (0, 1)),
    look_at bigint,
    failures bigint not null default 0
);

create index openbazaar_orders_open on openbazaar_orders (id) where open = 1;
create index openbazaar_orders_look on openbazaar_orders (look_at) where look_at is not null;

-- Listings that are on the node, with a digest of what they say.
create table openbazaar_listings (
    slug text collate "C" primary key,
    content bytea not null
);

-- When the connector first saw its node: what was ordered before is nobody's business here.
create table openbazaar_since (
    id bigint primary key check (id = 1),
    at bigint not null
);

-- Which server keys this database is used with, by a digest of them: a node with others is refused.
create table server_keys (
    id bigint primary key check (id = 1),
    fingerprint bytea not null
);
