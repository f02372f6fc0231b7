-- $1: schemas. Expressions that Postgres evaluates without a search_path, with the functions they call whose bodies
-- name a function, relation or type without its schema: (object, function, names, table, expression).
with uses (object, class, id, tbl, expression) as (
    select format('index %I.%I', n.nspname, c.relname), 'pg_class'::regclass::oid, i.indexrelid, i.indrelid,
           concat_ws(', ', pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid))
      from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1) and (i.indexprs is not null or i.indpred is not null)
    union all
    select format('check constraint %I on %s', k.conname,
                  case when k.conrelid <> 0 then k.conrelid::regclass::text else k.contypid::regtype::text end),
           'pg_constraint'::regclass, k.oid, coalesce(nullif(k.conrelid, 0), v.attrelid),
           case when k.conrelid <> 0 then pg_get_expr(k.conbin, k.conrelid)
                else format('(%I::%s)::%s', v.attname, format_type(t.typbasetype, t.typtypmod), t.oid::regtype) end
      from pg_constraint k join pg_namespace n on n.oid = k.connamespace
      left join pg_type t on t.oid = k.contypid
      -- A domain's check is tried by taking the domain off a value and putting it on again.
      left join lateral (
        select a.attrelid, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
         where a.atttypid = k.contypid and k.contypid <> 0 and not a.attisdropped
         order by pg_relation_size(c.oid) desc limit 1) v on true
     where n.nspname = any ($1) and k.contype = 'c'
    union all
    select format('partition key of table %I.%I', n.nspname, c.relname), 'pg_class'::regclass, c.oid,
           (select t.relid from pg_partition_tree(c.oid) t where t.isleaf order by pg_relation_size(t.relid) desc limit 1),
           pg_get_expr(p.partexprs, c.oid)
      from pg_partitioned_table p join pg_class c on c.oid = p.partrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1) and p.partexprs is not null
    union all
    select format('generated column %I.%I.%I', n.nspname, c.relname, a.attname), 'pg_attrdef'::regclass, d.oid, c.oid,
           pg_get_expr(d.adbin, d.adrelid)
      from pg_attrdef d
      join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
      join pg_class c on c.oid = d.adrelid
      join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1) and a.attgenerated <> ''
    union all
    select format('materialized view %I.%I', n.nspname, c.relname), 'pg_rewrite'::regclass, w.oid, null, null
      from pg_rewrite w join pg_class c on c.oid = w.ev_class join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = any ($1) and c.relkind = 'm'
),
suspects as (
    select u.*, p.oid as func, p.prosrc
      from uses u
      join pg_depend d on d.classid = u.class and d.objid = u.id and d.refclassid = 'pg_proc'::regclass
      join pg_proc p on p.oid = d.refobjid
      join pg_language l on l.oid = p.prolang and l.lanname in ('sql', 'plpgsql')
     where to_jsonb(p) ->> 'prosqlbody' is null
       and not exists (select from unnest(p.proconfig) s where s like 'search\_path=%')
),
-- Only names that are there and that pg_catalog does not have; position() before the pattern, which is slow.
named as (
    select s.func, string_agg(distinct f.name, ', ' order by f.name) as names
      from (select distinct func, prosrc from suspects) s
     cross join lateral (
        select p.proname::text as name from pg_proc p
         where p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
           and p.proname ~ '^\w+$' and position(lower(p.proname) in lower(s.prosrc)) > 0
           and case when position(lower(p.proname) in lower(s.prosrc)) > 0
                    then s.prosrc ~* ('(^|[^.\w"])"?' || p.proname || '"?\s*\(') end
           and not exists (select from pg_proc b where b.proname = p.proname and b.pronamespace = 'pg_catalog'::regnamespace)
        union
        select c.relname::text from pg_class c
         where c.relkind in ('r', 'p', 'v', 'm', 'f')
           and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
           and c.relname ~ '^\w+$'
           and case when position(lower(c.relname) in lower(s.prosrc)) > 0
                    then s.prosrc ~* ('\m(from|join|into|update|only)\s+"?' || c.relname || '\M"?(?!\s*\.)') end
           and not exists (select from pg_class b where b.relname = c.relname and b.relnamespace = 'pg_catalog'::regnamespace)
        union
        select t.typname::text from pg_type t
         where t.typtype in ('e', 'd', 'c', 'r', 'b') and t.typelem = 0
           and t.typnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
           and t.typname ~ '^\w+$'
           and case when position(lower(t.typname) in lower(s.prosrc)) > 0
                    then s.prosrc ~* ('(::\s*|\mas\s+)"?' || t.typname || '\M"?(?!\s*\.)') end
           and not exists (select from pg_type b where b.typname = t.typname and b.typnamespace = 'pg_catalog'::regnamespace)
     ) f
     group by s.func
)
select s.object, s.func::regprocedure::text, n.names, s.tbl::regclass::text, s.expression
  from suspects s join named n on n.func = s.func
 group by 1, 2, 3, 4, 5
 order by 1, 2
