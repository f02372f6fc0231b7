-- $1: schemas. What a copy has to make: index bytes by how fast they are built, indexes, and everything else.
select coalesce(sum(pg_relation_size(i.indexrelid)) filter (where a.amname in ('btree', 'hash', 'brin')), 0)::int8,
       coalesce(sum(pg_relation_size(i.indexrelid)) filter (where a.amname not in ('btree', 'hash', 'brin')), 0)::int8,
       count(*),
       (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c'))
       + (select count(*) from pg_constraint k join pg_namespace n on n.oid = k.connamespace
           where n.nspname = any ($1) and k.contype in ('f', 'x'))
       + (select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any ($1))
       + (select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = any ($1) and not t.tgisinternal)
       + (select count(*) from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = any ($1))
       + (select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname = any ($1) and c.relacl is not null)
  from pg_index i
  join pg_class c on c.oid = i.indexrelid
  join pg_am a on a.oid = c.relam
  join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any ($1)
