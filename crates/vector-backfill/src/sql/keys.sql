-- The columns of table $1 that are a key of it by themselves, the primary key first, each with the operators its type is
-- sorted and compared by: a type of an extension (citext) has its own, in a schema no search_path of ours names.
select a.attname::text, pg_catalog.format_type(a.atttypid, -1),
       pg_catalog.format('operator(%I.%s)', ltn.nspname, lto.oprname),
       pg_catalog.format('operator(%I.%s)', eqn.nspname, eqo.oprname),
       pg_catalog.format('operator(%I.%s)', gen.nspname, geo.oprname)
  from pg_catalog.pg_index i
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  join pg_catalog.pg_opclass oc on oc.oid = i.indclass[0] and oc.opcdefault
  join pg_catalog.pg_am am on am.oid = oc.opcmethod and am.amname = 'btree'
  join pg_catalog.pg_amop lt on lt.amopfamily = oc.opcfamily and lt.amopstrategy = 1
       and lt.amoplefttype = oc.opcintype and lt.amoprighttype = oc.opcintype
  join pg_catalog.pg_operator lto on lto.oid = lt.amopopr
  join pg_catalog.pg_namespace ltn on ltn.oid = lto.oprnamespace
  join pg_catalog.pg_amop eq on eq.amopfamily = oc.opcfamily and eq.amopstrategy = 3
       and eq.amoplefttype = oc.opcintype and eq.amoprighttype = oc.opcintype
  join pg_catalog.pg_operator eqo on eqo.oid = eq.amopopr
  join pg_catalog.pg_namespace eqn on eqn.oid = eqo.oprnamespace
  join pg_catalog.pg_amop ge on ge.amopfamily = oc.opcfamily and ge.amopstrategy = 4
       and ge.amoplefttype = oc.opcintype and ge.amoprighttype = oc.opcintype
  join pg_catalog.pg_operator geo on geo.oid = ge.amopopr
  join pg_catalog.pg_namespace gen on gen.oid = geo.oprnamespace
 where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indnkeyatts = 1 and a.attnotnull
   and i.indpred is null and i.indexprs is null and i.indcollation[0] = a.attcollation
 order by i.indisprimary desc, a.attnum
