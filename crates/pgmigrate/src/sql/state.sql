create schema if not exists tierlift;
comment on schema tierlift is 'progress of a migration by tierlift; dropped when it is rolled back';
create table tierlift.copy (
    only_one boolean primary key default true check (only_one),
    source jsonb not null,
    run text,
    before jsonb not null,
    writes jsonb not null,
    schema_done boolean not null default false,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);
create table tierlift.copy_part (
    relation text not null,
    part int4 not null,
    parts int4 not null,
    first_block int8 not null,
    end_block int8,
    rows int8,
    bytes int8,
    done_at timestamptz,
    primary key (relation, part)
);
create table tierlift.copy_entry (
    entry text primary key,
    done_at timestamptz not null default clock_timestamp()
);
-- A row is what one transaction brought: several whole large objects, or one of which `bytes` are there so far.
create table tierlift.copy_large_object (
    last_oid oid primary key,
    oids oid[] not null,
    bytes int8 not null,
    complete boolean not null
);
