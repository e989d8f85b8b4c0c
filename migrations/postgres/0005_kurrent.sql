-- The mirror of a KurrentDB: its events stand in `events` as if they had been appended here, in its order, so that
-- positions are dense and reads need no other database. Whatever stands here can be read again from there.

-- What is mirrored, and how far. No row: this database's log is its own.
create table kurrent_mirror (
    id integer primary key check (id = 1),
    -- What Berth's streams begin with there.
    prefix text collate "C" not null,
    -- Everything up to here is in `events`: written in the transaction that writes these. -1: nothing was read yet.
    commit_position bigint not null,
    prepare_position bigint not null
);

-- Streams whose events somebody lets go away there, by deleting them or by their metadata: an audit failure. What was
-- mirrored stays.
create table kurrent_withdrawn (
    stream text collate "C" primary key,
    -- Null when what was done has been undone.
    why text,
    -- Whether nothing can be appended.
    deleted boolean not null,
    -- When, so that a node that is behind does not bring back what was before.
    commit_position bigint not null
);

-- Mirrors events, in one call, so that the lock is never held while a node thinks. Any number of nodes may call it with
-- the same events: under the lock of `append_to_log` each event is inserted once, in the order of the first that comes.
-- An event that is there already must be the same; a revision must follow its stream's last. Answers the next position,
-- or, with nothing changed, the number (from 1) of the first event that breaks this.
--
-- `names` are the streams, each once; `owners` says whose an event is (from 1). Then what was done to streams, and the
-- place up to which KurrentDB was read.
create function mirror_kurrent(
    names text[],
    owners integer[], revisions bigint[], event_ids bytea[], kinds text[], schemas bigint[], recorded bigint[],
    effective bigint[], actors text[], behalf bytea[], commands bytea[], causes bytea[], correlations bytea[],
    payloads bytea[],
    changed text[], whys text[], deletions boolean[], changes bigint[],
    upto_commit bigint, upto_prepare bigint
) returns table (next bigint, bad integer) language plpgsql as $$
declare
    ids bigint[];
    lasts bigint[];
    head bigint;
    wrong integer;
begin
    perform pg_advisory_xact_lock(1114797160);

    select array_agg(coalesce(s.id, nextval('streams_id_seq')) order by ord),
        array_agg(coalesce((select max(revision) from events where stream = s.id), -1) order by ord)
    into ids, lasts
    from unnest(names) with ordinality as g (name, ord)
    left join streams s on s.name = g.name;
    select coalesce(max(position) + 1, 0) into head from events;

    select min(ord) into wrong
    from (
        select ord, owner, revision, event_id,
            greatest(lasts[owner], lag(revision) over (partition by owner order by ord)) as before
        from unnest(owners, revisions, event_ids) with ordinality as g (owner, revision, event_id, ord)
    ) arrived
    where case
        when revision <= lasts[owner] then not exists (
            select from events e
            where e.stream = ids[owner] and e.revision = arrived.revision and e.event_id = arrived.event_id
        )
        else revision <> before + 1
    end;
    if wrong is not null then
        return query select head, wrong;
        return;
    end if;

    insert into streams (id, name)
    select ids[ord], name from unnest(names) with ordinality as g (name, ord)
    where lasts[ord] = -1;

    insert into events (
        position, stream, revision, event_id, kind, schema, recorded_at, effective_at, actor, on_behalf_of, command_id,
        causation_id, correlation_id, payload
    )
    select head + row_number() over (order by ord) - 1, ids[owner], revision, event_id, kind, schema, recorded_at,
        effective_at, actor, on_behalf_of, command_id, causation_id, correlation_id, payload
    from unnest(
        owners, revisions, event_ids, kinds, schemas, recorded, effective, actors, behalf, commands, causes,
        correlations, payloads
    ) with ordinality as e (
        owner, revision, event_id, kind, schema, recorded_at, effective_at, actor, on_behalf_of, command_id,
        causation_id, correlation_id, payload, ord
    )
    where revision > lasts[owner];
    get diagnostics wrong = row_count;
    head := head + wrong;

    insert into kurrent_withdrawn (stream, why, deleted, commit_position)
    select * from unnest(changed, whys, deletions, changes)
    on conflict (stream) do update
        set why = excluded.why, deleted = excluded.deleted, commit_position = excluded.commit_position
        where kurrent_withdrawn.commit_position < excluded.commit_position;

    update kurrent_mirror set commit_position = upto_commit, prepare_position = upto_prepare
    where (commit_position, prepare_position) < (upto_commit, upto_prepare);

    return query select head, null::integer;
end $$;
