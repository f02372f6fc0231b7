//! What the application leans on in the provider's schemas, and the stand-in for Supabase's `auth` on the target.
//!
//! Row-level security there asks `auth.uid()`, and tables point at `auth.users`. Both come as a shim: four functions
//! that read `request.jwt.claims`, as PostgREST sets it, and a table with the columns that are pointed at. Password
//! hashes, tokens and everything else of Supabase's auth stay behind.

use std::collections::BTreeSet;

use pg_session::{Ident, Relation, Session};
use runbook::{Finding, Severity};

use crate::catalog::{self, Table};
use crate::choice::{Choice, PROCEDURE};
use crate::error::Error;
use crate::findings::finding;
use crate::provider::Provider;

/// Their names, and how they read a request's token as PostgREST hands it over: all claims in one setting, or (its
/// older way, which comes first as on Supabase) one setting a claim.
const FUNCTIONS: &[(&str, &str)] = &[
    (
        "uid",
        "create function auth.uid() returns uuid language sql stable
         return coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                         nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;",
    ),
    (
        "jwt",
        "create function auth.jwt() returns jsonb language sql stable
         return coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                         nullif(current_setting('request.jwt.claims', true), ''))::jsonb;",
    ),
    (
        "role",
        "create function auth.role() returns text language sql stable
         return coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
                         nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role');",
    ),
    (
        "email",
        "create function auth.email() returns text language sql stable
         return coalesce(nullif(current_setting('request.jwt.claim.email', true), ''),
                         nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email');",
    ),
];

/// Columns of `auth.users` that come when they exist, whether or not anything points at them.
const USUAL_COLUMNS: &[&str] = &["id", "email", "created_at"];

/// Columns that must not leave the provider, whatever points at them.
fn is_secret(column: &str) -> bool {
    ["password", "token", "secret", "otp", "nonce"].iter().any(|word| column.contains(word))
}

/// The stand-in for `auth`.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuthShim {
    /// Some function of `auth` is called.
    pub functions: bool,
    /// `auth.users` with only the columns that come.
    pub users: Option<Table>,
    /// Columns that foreign keys point at.
    keys: Vec<String>,
    /// Roles that may call the functions.
    pub callers: Vec<String>,
}

/// What leans on the provider's schemas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Managed {
    pub shim: Option<AuthShim>,
    /// (class oid, object oid) of entries that cannot come.
    pub skipped: BTreeSet<(u32, u32)>,
}

impl AuthShim {
    /// The statements that make it, empty, in a database that has no `auth`.
    pub fn create_sql(&self) -> String {
        let mut sql = String::from("create schema if not exists auth;\n");
        for role in &self.callers {
            sql.push_str(&format!("grant usage on schema auth to {};\n", Ident(role)));
        }
        if self.functions {
            for (_, statement) in FUNCTIONS {
                sql.push_str(statement);
                sql.push('\n');
            }
        }
        if let Some(users) = &self.users {
            let columns: Vec<_> = users.columns.iter().map(|c| format!("{} {}", Ident(&c.name), c.type_name)).collect();
            let keys: Vec<_> = self
                .keys
                .iter()
                .map(|k| if k == "id" { "primary key (id)".to_owned() } else { format!("unique ({})", Ident(k)) })
                .collect();
            sql.push_str(&format!("create table auth.users ({});\n", [columns, keys].concat().join(", ")));
            sql.push_str("comment on table auth.users is 'stand-in made by tierlift: identities only';\n");
        }
        sql
    }
}

/// Finds what of the application leans on the provider's schemas.
pub(crate) async fn managed(
    source: &Session,
    choice: &Choice,
    managed_schemas: &[String],
    provider: Provider,
    findings: &mut Vec<Finding>,
) -> Result<Managed, Error> {
    let schemas = choice.schemas.as_slice();
    let mut found = Managed::default();
    if provider != Provider::Supabase || managed_schemas.is_empty() {
        return Ok(found);
    }
    let sql = concat!(include_str!("sql/app_objects.sql"), include_str!("sql/strangers.sql"));
    let rows = source.query(sql, &[&schemas, &managed_schemas]).await.map_err(Error::on(source))?;
    let mut columns: BTreeSet<String> = USUAL_COLUMNS.iter().map(|c| (*c).to_owned()).collect();
    let (mut keys, mut callers_of_auth, mut users_of_users) =
        (BTreeSet::from(["id".to_owned()]), BTreeSet::new(), BTreeSet::new());
    for row in rows {
        let (class, oid, dependant): (u32, u32, String) = (row.get(0), row.get(1), row.get(2));
        let (schema, name, is_relation): (String, String, bool) = (row.get(3), row.get(4), row.get(5));
        let (column, needed): (String, String) = (row.get(6), row.get(7));
        if choice.left_out.contains(&(class, oid)) {
            continue;
        }
        if schema == "auth" && !is_relation && FUNCTIONS.iter().any(|(known, _)| *known == name) {
            callers_of_auth.insert(dependant);
        } else if schema == "auth" && name == "users" && is_secret(&column) {
            findings.push(finding(
                Severity::Blocks,
                &dependant,
                format!("it needs auth.users.{column}, and such secrets stay behind"),
                "rewrite it without that column, or drop it from the source",
            ));
        } else if schema == "auth" && name == "users" {
            if class == CONSTRAINT && !column.is_empty() {
                keys.insert(column.clone());
            }
            if !column.is_empty() {
                columns.insert(column);
            }
            users_of_users.insert(dependant);
        } else if class == CONSTRAINT || class == TRIGGER {
            if found.skipped.insert((class, oid)) {
                findings.push(finding(
                    Severity::Changes,
                    &dependant,
                    format!("it needs {needed}, which is Supabase's and stays behind"),
                    "it is not created on the target",
                ));
            }
        } else {
            findings.push(finding(
                Severity::Blocks,
                &dependant,
                format!("it needs {needed}, which is Supabase's and stays behind"),
                "rewrite it without that, or drop it from the source",
            ));
        }
    }
    text_callers(source, choice, &mut callers_of_auth, &mut users_of_users, &mut columns).await?;
    left_behind_triggers(source, schemas, managed_schemas, findings).await?;
    if callers_of_auth.is_empty() && users_of_users.is_empty() {
        return Ok(found);
    }
    let mut shim = AuthShim {
        functions: !callers_of_auth.is_empty(),
        callers: schema_users(source, "auth", provider).await?,
        ..AuthShim::default()
    };
    for caller in callers_of_auth {
        findings.push(finding(
            Severity::Changes,
            caller,
            "it calls auth.uid(), auth.jwt(), auth.role() or auth.email()",
            "schema auth with these four functions is created on the target, reading the setting request.jwt.claims",
        ));
    }
    if !users_of_users.is_empty() {
        let users = catalog::tables(source, &["auth".to_owned()], &[])
            .await?
            .into_iter()
            .find(|t| t.relation == Relation::new("auth", "users"))
            .ok_or_else(|| Error::Internal("auth.users is depended on but is no table".into()))?;
        let users = keep_columns(users, &columns);
        let kept: Vec<_> = users.columns.iter().map(|c| c.name.clone()).collect();
        for user in users_of_users {
            findings.push(finding(
                Severity::Changes,
                user,
                "it points at table auth.users",
                format!(
                    "a stand-in with the columns {} is created and filled; password hashes and tokens stay behind",
                    kept.join(", ")
                ),
            ));
        }
        shim.keys = keys.into_iter().filter(|k| kept.contains(k)).collect();
        shim.users = Some(users);
    }
    found.shim = Some(shim);
    Ok(found)
}

/// Fixed object ids of the catalogues themselves, the same in every Postgres.
const CONSTRAINT: u32 = 2606;
const TRIGGER: u32 = 2620;

fn keep_columns(mut users: Table, wanted: &BTreeSet<String>) -> Table {
    users.columns.retain(|c| wanted.contains(&c.name));
    for column in &mut users.columns {
        column.generated = false; // a plain column in the stand-in
    }
    users
}

/// Function bodies kept as strings are no dependencies.
async fn text_callers(
    source: &Session,
    choice: &Choice,
    callers: &mut BTreeSet<String>,
    users: &mut BTreeSet<String>,
    columns: &mut BTreeSet<String>,
) -> Result<(), Error> {
    let rows = source
        .query(
            r"select format('function %s', p.oid::regprocedure),
                     p.prosrc ~* '\mauth\.(uid|jwt|role|email)\s*\(', p.prosrc ~* '\mauth\.users\M',
                     array(select a.attname::text from pg_attribute a
                             join pg_class c on c.oid = a.attrelid join pg_namespace s on s.oid = c.relnamespace
                            where s.nspname = 'auth' and c.relname = 'users' and a.attnum > 0 and not a.attisdropped
                              and p.prosrc ~* ('\m' || a.attname || '\M'))
                from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = any ($1) and p.prosrc ~* '\mauth\.(uid|jwt|role|email|users)\M'
                 and p.oid <> all ($2)",
            &[&choice.schemas, &choice.oids_left_out(PROCEDURE)],
        )
        .await
        .map_err(Error::on(source))?;
    for row in rows {
        if row.get(1) {
            callers.insert(row.get(0));
        }
        if row.get(2) {
            users.insert(row.get(0));
            columns.extend(row.get::<_, Vec<String>>(3).into_iter().filter(|column| !is_secret(column)));
        }
    }
    Ok(())
}

/// The usual `on_auth_user_created`: a trigger on the provider's table that calls a function of the application.
async fn left_behind_triggers(
    source: &Session,
    schemas: &[String],
    managed_schemas: &[String],
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let rows = source
        .query(
            "select format('trigger %I on %I.%I', t.tgname, n.nspname, c.relname), p.oid::regprocedure::text
               from pg_trigger t
               join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
               join pg_proc p on p.oid = t.tgfoid join pg_namespace f on f.oid = p.pronamespace
              where not t.tgisinternal and n.nspname = any ($2) and f.nspname = any ($1) order by 1",
            &[&schemas, &managed_schemas],
        )
        .await
        .map_err(Error::on(source))?;
    for row in rows {
        findings.push(finding(
            Severity::Changes,
            row.get::<_, String>(0),
            format!("it calls {} and sits on a table that stays behind", row.get::<_, String>(1)),
            "the function comes, the trigger does not; call the function where sign-ups will happen",
        ));
    }
    Ok(())
}

/// Roles that may use a schema of the provider's, its own roles and superusers aside.
pub(crate) async fn schema_users(source: &Session, schema: &str, provider: Provider) -> Result<Vec<String>, Error> {
    let rows = source
        .query(
            "select r.rolname::text from pg_namespace n
               join pg_roles r on has_schema_privilege(r.oid, n.oid, 'usage')
              where n.nspname = $1 and not r.rolsuper and r.rolname !~ '^pg_' order by r.oid",
            &[&schema],
        )
        .await
        .map_err(Error::on(source))?;
    Ok(rows.iter().map(|row| row.get(0)).filter(|role: &String| !provider.manages_role(role)).collect())
}
