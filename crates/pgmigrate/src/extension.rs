//! Extensions: which the application leans on, and what the target can offer.

use std::collections::BTreeMap;

use pg_session::{Ident, Session, literal};
use runbook::{Context, Finding, Severity};

use crate::auth::schema_users;
use crate::choice::Choice;
use crate::error::Error;
use crate::findings::finding;
use crate::provider::Provider;
use crate::refused::Decisions;
use crate::state;
use crate::trial;

/// An extension of the source and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Extension {
    pub oid: u32,
    pub name: String,
    pub schema: String,
    pub source_version: String,
    pub fate: Fate,
    /// What of the application cannot be without it.
    pub used_by: Vec<String>,
    /// Roles to be let into its schema, when that is a provider's and so comes from no dump.
    pub users: Vec<String>,
}

/// What becomes of a source's extension on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there already, in this version.
    Present(String),
    /// `create extension` will install this version.
    Create(String),
    /// It stays behind, and nothing of the application uses it.
    Skipped,
    /// The target does not offer it, and the application uses it.
    Absent,
}

/// How an extension that the copy made is recorded, and one that it could not make.
pub(crate) const EXTENSION: &str = "EXTENSION ";

/// `pg_extension`, in every Postgres.
const PG_EXTENSION: u32 = 3079;

impl Extension {
    /// True when both ends will run the same version, so that its types' binary forms agree.
    pub fn same_version(&self) -> bool {
        matches!(&self.fate, Fate::Present(v) | Fate::Create(v) if *v == self.source_version)
    }

    /// The statements that install it; its schema may be one that otherwise stays behind.
    fn create_sql(&self) -> Option<String> {
        let Fate::Create(_) = self.fate else { return None };
        let (name, schema) = (Ident(&self.name), Ident(&self.schema));
        Some(if self.schema == "pg_catalog" {
            format!("create extension if not exists {name};")
        } else {
            let grants: String =
                self.users.iter().map(|role| format!("grant usage on schema {schema} to {};\n", Ident(role))).collect();
            format!(
                "create schema if not exists {schema};\n{grants}create extension if not exists {name} with schema {schema};"
            )
        })
    }

    fn key(&self) -> String {
        format!("{EXTENSION}{}", self.name)
    }
}

/// Makes the extensions that the target lacks. One that is refused or not offered stays behind with what leans on it;
/// `numbers` are the dump's for them.
pub(crate) async fn create(
    target: &Session,
    extensions: &[Extension],
    numbers: &BTreeMap<String, u32>,
    decisions: &mut Decisions,
    cx: &Context,
) -> Result<(), Error> {
    for extension in extensions {
        let object = format!("extension {}", extension.name);
        let error = match extension.create_sql() {
            Some(sql) => {
                let sql = format!(
                    "insert into tierlift.copy_entry (entry) values ({}), ({}) on conflict do nothing;\n{sql}",
                    literal(&extension.key()),
                    literal(&format!("EXTENSION SCHEMA {}", extension.schema))
                );
                match state::in_one_transaction(target, &sql).await {
                    Ok(()) => continue,
                    Err(error) if trial::is_refusal(&error) => error.to_string(),
                    Err(source) => return Err(Error::Entry { object, source }),
                }
            }
            None if extension.fate == Fate::Absent => "the target does not offer it".to_owned(),
            None => continue,
        };
        if extension.used_by.is_empty() {
            cx.note(format!("{object} was left out, and nothing of the application uses it: {error}"));
            continue;
        }
        let number = numbers.get(&extension.name).copied();
        decisions.refuse_named(object, &extension.key(), (PG_EXTENSION, extension.oid), number, &error);
    }
    Ok(())
}

/// What the target can give.
struct Offer {
    name: String,
    default_version: String,
    /// Version and schema.
    installed: Option<(String, String)>,
    /// Only a superuser may create it, as far as Postgres itself is concerned, and we are none.
    needs_superuser: bool,
}

async fn offers(target: &Session) -> Result<Vec<Offer>, Error> {
    let rows = target
        .query(
            "select a.name::text, a.default_version, x.extversion, n.nspname::text,
                    coalesce(v.superuser and not v.trusted, false)
                      and not (select rolsuper from pg_roles where rolname = current_user)
               from pg_available_extensions a
               left join pg_available_extension_versions v on v.name = a.name and v.version = a.default_version
               left join pg_extension x on x.extname = a.name
               left join pg_namespace n on n.oid = x.extnamespace
             union all
             select x.extname::text, x.extversion, x.extversion, n.nspname::text, false
               from pg_extension x join pg_namespace n on n.oid = x.extnamespace
              where not exists (select from pg_available_extensions a where a.name = x.extname)",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    Ok(rows
        .iter()
        .map(|row| Offer {
            name: row.get(0),
            default_version: row.get(1),
            installed: row.get::<_, Option<String>>(2).map(|version| (version, row.get(3))),
            needs_superuser: row.get(4),
        })
        .collect())
}

/// Every extension of the source with its fate, and a finding for each that is not simply carried over.
pub(crate) async fn extensions(
    source: &Session,
    target: &Session,
    choice: &Choice,
    provider: Provider,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Extension>, Error> {
    let sql = concat!(include_str!("sql/app_objects.sql"), include_str!("sql/extensions.sql"));
    let (classes, oids): (Vec<u32>, Vec<u32>) = choice.left_out.iter().copied().unzip();
    let (rows, offers) = tokio::try_join!(
        async { source.query(sql, &[&choice.schemas, &classes, &oids]).await.map_err(Error::on(source)) },
        offers(target)
    )?;
    let mut extensions = Vec::new();
    for row in rows {
        let (name, source_version, schema): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (config, used_by): (Vec<String>, Vec<String>) = (row.get(3), row.get(4));
        let offer = offers.iter().find(|offer| offer.name == name);
        let unwanted = used_by.is_empty() && provider.preinstalls(&name);
        let fate = match offer {
            Some(Offer { installed: Some((version, _)), .. }) => Fate::Present(version.clone()),
            Some(_) if unwanted => Fate::Skipped,
            Some(offer) => Fate::Create(offer.default_version.clone()),
            None if used_by.is_empty() => Fate::Skipped,
            None => Fate::Absent,
        };
        let users = if provider.manages_schema(&schema) && matches!(fate, Fate::Create(_)) {
            schema_users(source, &schema, provider).await?
        } else {
            Vec::new()
        };
        let extension = Extension { oid: row.get(5), name, schema, source_version, fate, used_by, users };
        findings.extend(findings_about(&extension, offer, &config));
        extensions.push(extension);
    }
    Ok(extensions)
}

fn findings_about(extension: &Extension, offer: Option<&Offer>, config: &[String]) -> Vec<Finding> {
    let Extension { name, schema, source_version, fate, used_by, .. } = extension;
    let object = format!("extension {name}");
    let mut findings = Vec::new();
    let mut add =
        |severity, message: String, remedy: String| findings.push(finding(severity, &object, message, remedy));
    let uses = || format!("what uses it: {}", used_by.join(", "));
    match fate {
        Fate::Absent => add(
            Severity::Blocks,
            format!("the target does not offer it; {}", uses()),
            "enable it on the target's server, or remove what uses it from the source, or leave both out with --on-refused skip".into(),
        ),
        Fate::Skipped => add(
            Severity::Changes,
            "nothing of the application uses it".into(),
            "it is not created on the target".into(),
        ),
        Fate::Create(version) => add(
            Severity::Changes,
            format!("version {source_version} on the source"),
            format!("version {version} is created on the target in schema {schema}"),
        ),
        Fate::Present(version) if version != source_version => add(
            Severity::Note,
            format!("version {source_version} on the source, {version} on the target"),
            "the target's stays as it is".into(),
        ),
        Fate::Present(_) => {}
    }
    if let Some((_, at)) = offer.and_then(|offer| offer.installed.as_ref())
        && at != schema
        && !used_by.is_empty()
    {
        add(
            Severity::Blocks,
            format!("it is in schema {schema} on the source and {at} on the target; {}", uses()),
            format!("run `alter extension {} set schema {}` on the target", Ident(name), Ident(schema)),
        );
    }
    if matches!(fate, Fate::Create(_)) && offer.is_some_and(|offer| offer.needs_superuser) {
        add(
            Severity::Note,
            "PostgreSQL lets only a superuser create it, and the target's role is none".into(),
            "a provider may allow it all the same: the copy tries before it copies any row".into(),
        );
    }
    if !config.is_empty() && matches!(fate, Fate::Create(_) | Fate::Present(_)) && name != "plpgsql" {
        add(
            Severity::Changes,
            format!("it keeps configuration in {}", config.join(", ")),
            "those rows are not copied; set it up again on the target if you changed them".into(),
        );
    }
    findings
}

/// The first few, and how many more.
pub(crate) fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}
