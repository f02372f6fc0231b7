-- Values that only the source's key can open. Sizes need no right to read the table.
select 'table vault.secrets', 'its secrets are encrypted with a key that only this server has'
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'vault' and c.relname = 'secrets' and c.relkind = 'r' and pg_relation_size(c.oid) > 0
union all
select pg_describe_object(l.classoid, l.objoid, l.objsubid), 'pgsodium encrypts it with a key that only this server has'
  from pg_seclabel l where l.provider = 'pgsodium' and l.label like 'ENCRYPT%'
