-- $1: schemas. One digest over everything whose change would make a plan stale.
select pg_catalog.md5(coalesce(string_agg(line, e'\n' order by line collate "C"), ''))
  from (
    select format('column %I.%I.%I %s %s %s', n.nspname, c.relname, a.attname,
                  pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
                  coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '-'))
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_class c on c.oid = a.attrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where n.nspname = any ($1) and a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
    union all
    select format('relation %I.%I %s %s', n.nspname, c.relname, c.relkind, c.relpersistence)
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1)
    union all
    select format('index %s', pg_catalog.pg_get_indexdef(i.indexrelid))
      from pg_catalog.pg_index i
      join pg_catalog.pg_class c on c.oid = i.indexrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1)
    union all
    select format('constraint %I.%I %s', n.nspname, k.conname, pg_catalog.pg_get_constraintdef(k.oid))
      from pg_catalog.pg_constraint k join pg_catalog.pg_namespace n on n.oid = k.connamespace
     where n.nspname = any ($1)
    union all
    select format('function %I.%s %s', n.nspname, p.oid::regprocedure, pg_catalog.md5(coalesce(p.prosrc, '')))
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname = any ($1)
    union all
    select format('trigger %s', pg_catalog.pg_get_triggerdef(t.oid))
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_class c on c.oid = t.tgrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1) and not t.tgisinternal
    union all
    select format('policy %I on %I.%I %s %s', p.polname, n.nspname, c.relname,
                  pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
      from pg_catalog.pg_policy p
      join pg_catalog.pg_class c on c.oid = p.polrelid
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1)
  ) lines (line)
