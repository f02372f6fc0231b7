-- $1: a table's oid. What is known of each of its columns, if all is known, as young as autovacuum would have it, and of the
-- kinds that a server takes over: statistics of expressions, of several columns at once, of heirs, and of types that gather
-- their own (arrays, ranges, tsvector) are not.
with fresh as materialized (
  select n.nspname, c.relname
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_stat_all_tables s on s.relid = c.oid
   where c.oid = $1
     and coalesce(s.last_analyze, s.last_autoanalyze) is not null
     and s.n_mod_since_analyze <= 50 + 0.1 * greatest(c.reltuples, 0)
     -- Building an index tells the target how many rows and pages there are.
     and exists (select from pg_catalog.pg_index i where i.indrelid = c.oid)
     and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indexprs is not null)
     and not exists (select from pg_catalog.pg_statistic_ext x where x.stxrelid = c.oid)
     and not exists (select from pg_catalog.pg_inherits h where h.inhparent = c.oid)
     and not exists (
       select from pg_catalog.pg_attribute a
         join pg_catalog.pg_type t on t.oid = a.atttypid
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          and (t.typanalyze <> 0
               or a.attstattarget is distinct from 0
                  and not exists (select from pg_catalog.pg_stats p
                                   where p.schemaname = n.nspname and p.tablename = c.relname and p.attname = a.attname)))
)
select p.attname::text, p.null_frac::text, p.avg_width::text, p.n_distinct::text, p.most_common_vals::text,
       p.most_common_freqs::text, p.histogram_bounds::text, p.correlation::text
  from fresh
  join pg_catalog.pg_stats p on p.schemaname = fresh.nspname and p.tablename = fresh.relname and not p.inherited
