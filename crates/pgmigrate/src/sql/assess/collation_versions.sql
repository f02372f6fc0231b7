-- Collations in use whose library is no longer the one that their indexes were built with.
select format('collation %s', c.oid::regcollation),
       format('it was version %s when it was made and is %s now', c.collversion, pg_collation_actual_version(c.oid))
  from pg_collation c
 where c.collversion is not null and c.collversion <> pg_collation_actual_version(c.oid)
   and c.collencoding in (-1, (select encoding from pg_database where datname = current_database()))
   and exists (select from pg_attribute a where a.attcollation = c.oid)
 order by 1
