-- $1: schemas.
select format('sequence %I.%I', n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any ($1)
   and case c.relkind when 'S' then not (has_sequence_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage'))
                     else false end
 order by 1
