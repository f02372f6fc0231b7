//! `vector.enable`: the extension and the column.

use async_trait::async_trait;
use pg_session::{Access, PgUrl, Relation, Session};
use runbook::{Action, Check, Context, Effect, Failure, Inspect, Preview};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Look, findings_of, journaled, relation};
use crate::enable::{EnableOptions, Pgvector, check_dimensions, enable, enable_before, undo_enable};
use crate::error::Error;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enable {
    target: PgUrl,
    source: Option<PgUrl>,
    #[serde(deserialize_with = "relation")]
    table: Relation,
    column: String,
    dimensions: usize,
    /// Where the extension goes; unless given, where the source has it, else `public`.
    schema: Option<String>,
}

impl Enable {
    async fn options(&self) -> Result<EnableOptions, Error> {
        let schema = match (&self.schema, &self.source) {
            (Some(schema), _) => schema.clone(),
            // Supabase keeps extensions in a schema of their own, and the application's search_path names it.
            (None, Some(source)) => {
                let session = Session::connect(source, Access::ReadOnly).await?;
                Pgvector::read(&session).await?.installed.map_or_else(|| "public".to_owned(), |(_, schema)| schema)
            }
            (None, None) => "public".to_owned(),
        };
        Ok(self.options_with(schema))
    }

    fn options_with(&self, schema: String) -> EnableOptions {
        EnableOptions {
            target: self.target.clone(),
            table: self.table.clone(),
            column: self.column.clone(),
            dimensions: self.dimensions,
            schema,
        }
    }

    async fn look(&self) -> Result<Preview, Error> {
        check_dimensions(self.dimensions)?;
        let mut preview = Preview::default();
        let session = Session::connect(&self.target, Access::ReadOnly).await?;
        let pgvector = Pgvector::read(&session).await?;
        let extension = match (&pgvector.installed, &pgvector.available) {
            (Some(_), _) => None,
            (None, version) => {
                let schema = self.options().await?.schema;
                Some(format!("extension vector {} in schema {schema}", version.as_deref().unwrap_or_default()))
            }
        };
        preview.changes.extend(extension.iter().map(|what| format!("create {what}")));
        preview.findings.extend(pgvector.finding(&self.target.endpoint()));
        let (table, column) = (self.table.label(), &self.column);
        let mut undo = Vec::new();
        match Look::at(&self.target, self.source.as_ref(), &self.table).await? {
            Ok(look) => match look.table.has_vector(column, self.dimensions) {
                Ok(true) => {}
                Ok(false) => {
                    preview.changes.push(format!("add column {table}.{column} vector({}), empty", self.dimensions));
                    preview.findings.extend(look.table.unalterable().filter(|_| look.on_target()));
                    undo.push(format!("drop column {table}.{column}"));
                }
                Err(finding) => preview.findings.push(finding),
            },
            Err(finding) => preview.findings.push(finding),
        }
        undo.extend(extension.map(|_| "drop extension vector".to_owned()));
        preview.undo = undo.join(", ");
        // Empty columns and an extension's functions: a moment, whatever the table's size.
        preview.estimate.seconds = Some(5.0);
        Ok(preview)
    }
}

#[async_trait]
impl Inspect for Enable {
    fn effect(&self) -> Effect {
        Effect::Reversible
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        match self.look().await {
            Ok(preview) => Ok(preview),
            Err(error) => Ok(Preview { findings: findings_of(error)?, ..Preview::default() }),
        }
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        let before = enable_before(&self.options().await?).await?;
        Ok(if before.is_enabled() { Check::Done } else { Check::Pending { before: json!(before) } })
    }
}

#[async_trait]
impl Action for Enable {
    async fn apply(&self, _cx: &Context, before: &Value) -> Result<Value, Failure> {
        let before: crate::EnableBefore = journaled(before)?;
        Ok(json!(enable(&self.options_with(before.schema)).await?))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        if enable_before(&self.options().await?).await?.is_enabled() {
            return Ok(());
        }
        Err(Error::NotInPlace {
            object: format!("column {}.{}", self.table.label(), self.column),
            message: "the column, or pgvector itself, is not there".into(),
            hint: "look who dropped it, then start again".into(),
        }
        .into())
    }

    async fn undo(&self, _cx: &Context, before: &Value) -> Result<(), Failure> {
        let before: crate::EnableBefore = journaled(before)?;
        Ok(undo_enable(&self.options_with(before.schema.clone()), &before).await?)
    }
}
