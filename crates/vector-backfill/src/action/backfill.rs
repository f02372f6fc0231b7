//! `vector.backfill`: an embedding for every row.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pg_session::{Ident, PgUrl, Relation};
use runbook::{Action, Check, Context, Effect, Failure, Finding, Inspect, Preview, Severity};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LOOK_AGAIN, Look, findings_of, relation};
use crate::backfill::{BackfillOptions, backfill, is_backfilled, undo_backfill};
use crate::embedder::Embedder;
use crate::error::Error;
use crate::figures::{TABLE_BYTES_PER_ROW, WAL_BYTES_PER_ROW, backfill_seconds, megabytes};
use crate::model::StaticModel;
use crate::table::count;
use crate::triggers::{Firing, firing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backfill {
    target: PgUrl,
    source: Option<PgUrl>,
    #[serde(deserialize_with = "relation")]
    table: Relation,
    key: Option<String>,
    text: String,
    column: String,
    dimensions: usize,
    workers: Option<usize>,
    chunk_rows: Option<u32>,
    model_dir: PathBuf,
}

impl Backfill {
    fn options(&self) -> BackfillOptions {
        let mut options = BackfillOptions::new(self.target.clone(), self.table.clone(), &self.text, &self.column);
        options.key.clone_from(&self.key);
        options.workers = self.workers.unwrap_or(options.workers);
        options.chunk_rows = self.chunk_rows.unwrap_or(options.chunk_rows);
        options
    }

    fn model(&self) -> Result<StaticModel, Error> {
        StaticModel::load(&self.model_dir, self.dimensions)
    }

    async fn look(&self) -> Result<Preview, Error> {
        let options = self.options();
        options.check()?;
        let model = self.model()?;
        let look = match Look::at(&self.target, self.source.as_ref(), &self.table).await? {
            Ok(look) => look,
            Err(finding) => return Ok(Preview { findings: vec![finding], ..Preview::default() }),
        };
        if let Some(finding) = look.table.unreadable() {
            return Ok(Preview { findings: vec![finding], ..Preview::default() });
        }
        let mut findings = self.table_findings(&look);
        let rows = if look.on_target() && look.table.column(&self.column).is_some() {
            let sql = format!("select count(*) from {} t where t.{} is null", self.table, Ident(&self.column));
            count(&look.target, &sql).await?
        } else {
            look.rows().await?
        };
        let object = format!("column {}.{}", self.table.label(), self.column);
        match firing(look.catalogue(), &look.target, &look.table, &self.column).await? {
            Firing::None => {}
            Firing::Avoidable { triggers } => findings.push(Finding {
                severity: Severity::Changes,
                object: look.table.object(),
                message: format!("an update fires its trigger {}", triggers.join(", ")),
                remedy: "vectors are written as a replica applies changes, so that it does not fire".into(),
            }),
            Firing::Unavoidable { finding } => findings.push(finding),
        }
        if let Some(native) = model.lifted_from() {
            findings.push(Finding {
                severity: Severity::Note,
                object: object.clone(),
                message: format!("model {} has {native} dimensions", model.model()),
                remedy: format!("its vectors are lifted to {}, which keeps every distance", self.dimensions),
            });
        }
        let mut preview = Preview { findings, ..Preview::default() };
        if rows > 0 {
            preview.changes = vec![
                format!("embed {rows} rows of {}.{} with {} workers", self.table.label(), self.text, options.workers),
                format!(
                    "write about {} MB of vectors and {} MB of write-ahead log",
                    megabytes(rows * TABLE_BYTES_PER_ROW),
                    megabytes(rows * WAL_BYTES_PER_ROW)
                ),
            ];
        }
        preview.undo = format!("empty {object} where this run filled it");
        preview.estimate.rows = Some(rows);
        preview.estimate.bytes = Some(rows * TABLE_BYTES_PER_ROW);
        preview.estimate.seconds = Some(backfill_seconds(rows));
        Ok(preview)
    }

    fn table_findings(&self, look: &Look) -> Vec<Finding> {
        let checks = [
            look.table.text_column(&self.text).err(),
            look.table.key(self.key.as_deref()).err(),
            look.table.has_vector(&self.column, self.dimensions).err(),
        ];
        checks.into_iter().flatten().collect()
    }
}

#[async_trait]
impl Inspect for Backfill {
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
        // What undo must know is kept on the target, in the transaction that begins the backfill.
        Ok(if is_backfilled(&self.options(), self.dimensions).await? { Check::Done } else { LOOK_AGAIN })
    }
}

#[async_trait]
impl Action for Backfill {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        let model = Arc::new(self.model()?);
        Ok(json!(backfill(&self.options(), model, cx).await?))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        if is_backfilled(&self.options(), self.dimensions).await? {
            return Ok(());
        }
        Err(Error::NotInPlace {
            object: format!("column {}.{}", self.table.label(), self.column),
            message: "rows with a text have no embedding".into(),
            hint: "something writes to the table: stop it, or resume to embed what it wrote".into(),
        }
        .into())
    }

    async fn undo(&self, _cx: &Context, _before: &Value) -> Result<(), Failure> {
        Ok(undo_backfill(&self.target, &self.table, &self.column).await?)
    }
}
