//! Questions about objects of kinds that are easily forgotten: what arrives differently or not at all.

use runbook::Severity;

use super::question::Question;

use Severity::{Blocks, Changes, Note};

const fn question(sql: &'static str, severity: Severity, message: &'static str, remedy: &'static str) -> Question {
    Question { severity, sql, message, remedy }
}

pub(super) const QUESTIONS: &[Question] = &[
    question(
        "select pg_describe_object('pg_class'::regclass, c.oid, 0)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'tierlift' and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and c.relname <> all ('{copy,copy_part,copy_entry,copy_large_object,copy_refused,backfill,backfill_chunk,backfill_dead,backfill_kept}')
          order by 1",
        Blocks,
        "it is in schema tierlift, which is tierlift's own at both ends and stays behind",
        "rename the schema on the source (`alter schema tierlift rename to ...`)",
    ),
    question(
        include_str!("../sql/assess/in_system_schemas.sql"),
        Changes,
        "it was made in a schema of the system's own, of which no dump takes anything",
        "it stays behind, and what needs it is refused by the target: make it there by hand, better in a schema of yours",
    ),
    question(
        "select format('check constraint %I on %s', k.conname, k.conrelid::regclass)
           from pg_constraint k join pg_namespace n on n.oid = k.connamespace
          where n.nspname = any ($1) and k.contype = 'c' and k.conrelid <> 0 and k.conparentid = 0
            and exists (select from pg_depend d join pg_proc p on p.oid = d.refobjid and d.refclassid = 'pg_proc'::regclass
                         where d.classid = 'pg_constraint'::regclass and d.objid = k.oid and p.provolatile <> 'i')
          order by 1",
        Changes,
        "it calls a function that is not immutable, which may look at other tables; rows come in any order",
        "if the target refuses rows because of it: drop it on the source, and add it on the target after the copy",
    ),
    question(
        "select format('column %I.%I.%I', n.nspname, c.relname, a.attname)
           from pg_attribute a join pg_type t on t.oid = a.atttypid
           join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = any ($1) and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
            and 'regclass'::regtype in (t.oid, t.typbasetype, t.typelem)
          order by 1",
        Note,
        "its values travel by name, and rows come before indexes",
        "if one names an index, the target refuses it and the copy ends there: leave that row out with --where, and insert it afterwards",
    ),
    question(
        "select format('%s large objects, the first of them %s', count(*), min(oid::int8)) from pg_largeobject_metadata m
          where current_setting('is_superuser') = 'off' and current_setting('lo_compat_privileges') = 'off'
            and not exists (select from aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) x
                             where x.privilege_type = 'SELECT' and case x.grantee when 0 then true else pg_has_role(x.grantee, 'usage') end)
         having count(*) > 0",
        Blocks,
        "the source role may not read them",
        "connect as their owner, or `grant select on large object ...` to the source role",
    ),
    question(
        "select case r.setrole when 0 then format('database setting %s', split_part(s, '=', 1))
                else format('setting %s of role %s in this database', split_part(s, '=', 1), pg_get_userbyid(r.setrole)) end
           from pg_db_role_setting r, unnest(r.setconfig) s
          where r.setdatabase = (select oid from pg_database where datname = current_database())
            and not (r.setrole = 0 and s ~ '^default_transaction_read_only=') order by 1",
        Changes,
        "it is set for the whole database",
        "settings of a database are not copied; set it on the target if the application relies on it",
    ),
    question(
        "select format('privileges on database %I', datname) from pg_database
          where datname = current_database() and datacl is not null",
        Changes,
        "who may connect to the database and create schemas in it was changed",
        "privileges on the database itself are not copied; grant or revoke them on the target",
    ),
    question(
        "select format('comment on database %I', datname) from pg_database
          where datname = current_database() and shobj_description(oid, 'pg_database') is not null",
        Changes,
        "the database itself has a comment",
        "it is not copied; run `comment on database` on the target",
    ),
    question(
        "select format('user mapping for %s on server %I', case umuser when 0 then 'public' else quote_ident(usename) end, srvname)
           from pg_user_mappings order by 1",
        Changes,
        "it may hold a password of another server",
        "it is not copied; run `create user mapping` on the target",
    ),
    question(
        "select format('%s %I.%I (tablespace %I)', case c.relkind when 'i' then 'index' when 'I' then 'index' when 'm' then 'materialized view'
                       else 'table' end, n.nspname, c.relname, t.spcname)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_tablespace t on t.oid = c.reltablespace
          where n.nspname = any ($1) order by 1",
        Changes,
        "it is kept in a tablespace of its own",
        "it comes in the target's default tablespace",
    ),
    question(
        "select format('table %I.%I (access method %I)', n.nspname, c.relname, a.amname)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
          where n.nspname = any ($1) and c.relkind in ('r', 'p', 'm') and a.amname <> 'heap' order by 1",
        Changes,
        "its rows are stored by an access method of its own",
        "it comes stored as the target's default_table_access_method says",
    ),
    question(
        "select format('table %I.%I', n.nspname, c.relname)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = any ($1) and c.relkind = 'r' and not c.relispartition
            and (select array_agg(a.attnum order by a.attnum) is distinct from array_agg(a.attnum order by p.place, a.attnum)
                   from pg_attribute a
                   left join lateral (select min(array[i.inhseqno::int, pa.attnum]) as place
                                        from pg_inherits i join pg_attribute pa on pa.attrelid = i.inhparent
                                       where i.inhrelid = c.oid and pa.attname = a.attname and pa.attnum > 0) p on true
                  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
            and exists (select from pg_inherits i where i.inhrelid = c.oid)
          order by 1",
        Changes,
        "it was attached to its parent later, and has its columns in another order",
        "on the target the parent's columns come first; name columns rather than select * or insert by position",
    ),
    question(
        "select format('%s %I.%I', case p.prokind when 'p' then 'procedure' else 'function' end, n.nspname, p.proname)
           from pg_proc p join pg_namespace n on n.oid = p.pronamespace
          where p.prosecdef and n.nspname = any ($1)
            and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
          order by 1",
        Note,
        "it runs with its owner's rights (security definer)",
        "on the target its owner is the role that makes it; check that this suffices",
    ),
    question(
        "select format('%s (label provider %s)', pg_describe_object(l.classoid, l.objoid, l.objsubid), l.provider)
           from pg_seclabel l where l.classoid <> 'pg_largeobject'::regclass order by 1",
        Note,
        "it has a security label",
        "the label comes; the target's server must have loaded its provider",
    ),
    question(
        "select format('large object %s (label provider %s)', l.objoid, l.provider)
           from pg_seclabel l where l.classoid = 'pg_largeobject'::regclass order by 1",
        Changes,
        "it has a security label",
        "labels of large objects are not copied; run `security label` on the target",
    ),
];
