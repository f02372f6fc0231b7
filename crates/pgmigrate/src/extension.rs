//! Extensions: which the application leans on, and what the target can offer.

use pg_session::{Ident, Session};
use runbook::{Finding, Severity};

use crate::auth::schema_users;
use crate::choice::Choice;
use crate::error::Error;
use crate::findings::finding;
use crate::provider::Provider;

/// An extension of the source and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Extension {
    pub name: String,
    pub schema: String,
    pub source_version: String,
    pub fate: Fate,
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
    /// It stays behind.
    Skipped,
}

impl Extension {
    /// True when both ends will run the same version, so that its types' binary forms agree.
    pub fn same_version(&self) -> bool {
        matches!(&self.fate, Fate::Present(v) | Fate::Create(v) if *v == self.source_version)
    }

    /// The statements that install it; its schema may be one that otherwise stays behind.
    pub fn create_sql(&self) -> Option<String> {
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
    let rows = source.query(sql, &[&choice.schemas, &classes, &oids]).await.map_err(Error::on(source))?;
    let offered = target
        .query(
            "select a.name::text, a.default_version, a.installed_version, n.nspname::text
               from pg_available_extensions a
               left join pg_extension x on x.extname = a.name
               left join pg_namespace n on n.oid = x.extnamespace",
            &[],
        )
        .await
        .map_err(Error::on(target))?;
    let mut extensions = Vec::new();
    for row in rows {
        let (name, source_version, schema): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (has_config, used_by): (bool, Vec<String>) = (row.get(3), row.get(4));
        let object = format!("extension {name}");
        let offer = offered.iter().find(|r| r.get::<_, &str>(0) == name);
        let installed: Option<(String, String)> = offer.and_then(|r| Some((r.get::<_, Option<String>>(2)?, r.get(3))));
        let unwanted = used_by.is_empty() && provider.preinstalls(&name);
        let fate = match (offer, installed) {
            (_, Some((version, at))) => {
                if at != schema && !used_by.is_empty() {
                    findings.push(finding(
                        Severity::Blocks,
                        &object,
                        format!(
                            "it is in schema {schema} on the source and {at} on the target, and {} uses it",
                            list(&used_by)
                        ),
                        format!("run `alter extension {} set schema {}` on the target", Ident(&name), Ident(&schema)),
                    ));
                }
                Fate::Present(version)
            }
            (Some(_), None) if unwanted => Fate::Skipped,
            (Some(offer), None) => Fate::Create(offer.get(1)),
            (None, None) => Fate::Skipped,
        };
        match &fate {
            Fate::Skipped if !used_by.is_empty() => findings.push(finding(
                Severity::Blocks,
                &object,
                format!("the target does not offer it, and {} uses it", list(&used_by)),
                "enable it on the target's server, or remove what uses it from the source",
            )),
            Fate::Skipped => findings.push(finding(
                Severity::Changes,
                &object,
                "nothing of the application uses it",
                "it is not created on the target",
            )),
            Fate::Create(version) => findings.push(finding(
                Severity::Changes,
                &object,
                format!("version {source_version} on the source"),
                format!("version {version} is created on the target in schema {schema}"),
            )),
            Fate::Present(version) if *version != source_version => findings.push(finding(
                Severity::Note,
                &object,
                format!("version {source_version} on the source, {version} on the target"),
                "the target's stays as it is",
            )),
            Fate::Present(_) => {}
        }
        if has_config && fate != Fate::Skipped && name != "plpgsql" {
            findings.push(finding(
                Severity::Changes,
                &object,
                "it keeps configuration in tables of its own",
                "those rows are not copied; set it up again on the target if you changed them",
            ));
        }
        let users = if provider.manages_schema(&schema) && matches!(fate, Fate::Create(_)) {
            schema_users(source, &schema, provider).await?
        } else {
            Vec::new()
        };
        extensions.push(Extension { users, name, schema, source_version, fate });
    }
    Ok(extensions)
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
