//! `vector.index`: the ivfflat index.

use async_trait::async_trait;
use pg_session::{PgUrl, Relation};
use runbook::{Action, Check, Context, Effect, Failure, Inspect, Preview};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Look, findings_of, journaled, relation};
use crate::error::Error;
use crate::figures::{INDEX_BYTES_PER_ROW, index_seconds, megabytes};
use crate::index::{COSINE, IndexOptions, build_index, index_before, undo_index, verify_index};
use crate::sizing::{build_memory_bytes, index_name, lists_for};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    target: PgUrl,
    source: Option<PgUrl>,
    #[serde(deserialize_with = "relation")]
    table: Relation,
    column: String,
    lists: Option<u32>,
    opclass: Option<String>,
    #[serde(default)]
    concurrently: bool,
}

impl Index {
    fn options(&self) -> IndexOptions {
        IndexOptions {
            target: self.target.clone(),
            table: self.table.clone(),
            column: self.column.clone(),
            lists: self.lists,
            opclass: self.opclass.clone().unwrap_or_else(|| COSINE.to_owned()),
            concurrently: self.concurrently,
        }
    }

    async fn look(&self) -> Result<Preview, Error> {
        let options = self.options();
        options.check()?;
        let look = match Look::at(&self.target, self.source.as_ref(), &self.table).await? {
            Ok(look) => look,
            Err(finding) => return Ok(Preview { findings: vec![finding], ..Preview::default() }),
        };
        if look.on_target() {
            if options.is_there(&look.target, &look.table).await?.is_some_and(|found| found.valid) {
                return Ok(Preview::default());
            }
            if let Some(finding) = look.table.unalterable() {
                return Ok(Preview { findings: vec![finding], ..Preview::default() });
            }
        }
        let rows = look.rows().await?;
        let lists = self.lists.unwrap_or_else(|| lists_for(rows));
        // The column may not be there yet; then the steps before say how long its vectors will be.
        let column = look.table.column(&self.column).filter(|column| column.type_base == "vector");
        let dimensions = column.and_then(|column| usize::try_from(column.type_modifier).ok()).unwrap_or(1536);
        let bytes = rows * INDEX_BYTES_PER_ROW;
        let name = index_name(&self.table, &self.column);
        let mut preview = Preview {
            changes: vec![format!(
                "build index {name}: ivfflat ({} {}), {lists} lists, about {} MB, {} MB of memory while building",
                self.column,
                options.opclass,
                megabytes(bytes),
                megabytes(build_memory_bytes(lists, dimensions))
            )],
            undo: format!("drop index {name}"),
            ..Preview::default()
        };
        preview.estimate.rows = Some(rows);
        preview.estimate.bytes = Some(bytes);
        preview.estimate.seconds = Some(index_seconds(rows, lists));
        Ok(preview)
    }
}

#[async_trait]
impl Inspect for Index {
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
        let (done, before) = index_before(&self.options()).await?;
        Ok(if done { Check::Done } else { Check::Pending { before: json!(before) } })
    }
}

#[async_trait]
impl Action for Index {
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure> {
        Ok(json!(build_index(&self.options(), &journaled(before)?, cx).await?))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        Ok(verify_index(&self.options()).await?)
    }

    async fn undo(&self, _cx: &Context, before: &Value) -> Result<(), Failure> {
        Ok(undo_index(&self.options(), &journaled(before)?).await?)
    }
}
