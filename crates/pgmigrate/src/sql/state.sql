create extension if not exists plpgsql;
create schema if not exists tierlift;
-- The schema may have been there: a backfill keeps its progress in it too.
create table tierlift.copy (
    only_one boolean primary key default true check (only_one),
    source jsonb not null,
    run text,
    before jsonb not null,
    writes jsonb not null,
    selection jsonb not null,
    schema_done boolean not null default false,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);
comment on table tierlift.copy is 'progress of a migration by tierlift; dropped when it is rolled back';
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
-- A part is recorded in the transaction that brings its rows, and only once: whatever goes wrong between two processes,
-- its rows cannot arrive twice.
create function tierlift.refuse_repeated_part() returns trigger language plpgsql as $$
begin
    raise exception using errcode = 'serialization_failure',
        message = format('part %s of %s is on the target already', old.part, old.relation);
end $$;
create trigger once before update on tierlift.copy_part for each row
    when (old.done_at is not null and new.done_at is not null) execute function tierlift.refuse_repeated_part();
alter table tierlift.copy_part enable always trigger once;
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
-- What the target refused and what needs that; `instead` is what is sent in the entry's place.
create table tierlift.copy_refused (
    place int4 generated always as identity,
    entry text not null,
    class oid not null,
    oid oid not null,
    instead text,
    object text not null,
    needs text,
    error text not null,
    primary key (entry, object)
);
