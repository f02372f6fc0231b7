-- $1: table oids. Triggers and rules that act on written rows.
select tgrelid as relation, 'trigger' as kind, tgname::text as name, tgenabled::text as state
  from pg_catalog.pg_trigger
 where tgrelid = any ($1) and not tgisinternal and tgenabled <> 'D'
union all
select ev_class, 'rule', rulename::text, ev_enabled::text
  from pg_catalog.pg_rewrite
 where ev_class = any ($1) and ev_type <> '1' and ev_enabled <> 'D'
 order by 1, 2, 3
