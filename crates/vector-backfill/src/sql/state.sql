create table if not exists tierlift.backfill (
    id int4 generated always as identity primary key,
    relation text not null,
    vector_column text not null,
    text_column text not null,
    key_column text not null,
    model text not null,
    dimensions int4 not null,
    run text,
    pass int4 not null default 0,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    unique (relation, vector_column)
);
comment on table tierlift.backfill is 'columns being filled with embeddings; dropped when that is undone';
create table if not exists tierlift.backfill_chunk (
    job int4 not null references tierlift.backfill on delete cascade,
    chunk int4 generated always as identity,
    pass int4 not null,
    low text,
    high text,
    planned_rows int8 not null,
    token int8 not null default 0,
    worker int4,
    lease_until timestamptz,
    embedded_rows int8,
    done_at timestamptz,
    primary key (job, chunk)
);
comment on table tierlift.backfill_chunk is
    'ranges of keys, low included, high not; token goes up with each claim, so that a late worker is told apart';
create table if not exists tierlift.backfill_dead (
    job int4 not null references tierlift.backfill on delete cascade,
    key text not null,
    text_sha256 bytea not null,
    reason text not null,
    sample text not null,
    attempts int4 not null default 1,
    last_at timestamptz not null default clock_timestamp(),
    primary key (job, key)
);
comment on table tierlift.backfill_dead is 'rows whose text could not be embedded, and why';
create table if not exists tierlift.backfill_kept (
    job int4 not null references tierlift.backfill on delete cascade,
    key text not null,
    primary key (job, key)
);
comment on table tierlift.backfill_kept is 'rows that had an embedding before; undo leaves theirs alone';
create sequence if not exists tierlift.backfill_worker as int4 cycle;
