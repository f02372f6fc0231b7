-- Collation columns differ from one major version to the next, hence the detour over jsonb.
select current_setting('server_version'), current_database()::text, pg_encoding_to_char(encoding)::text,
     format('%s %s', case to_jsonb(d) ->> 'datlocprovider' when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end,
            coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', datcollate)),
     pg_is_in_recovery()
from pg_database d where datname = current_database()
