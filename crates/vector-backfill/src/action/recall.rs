//! `vector.recall`: a gate on what searches find and how long they take; stores the setting if asked to.

use std::path::PathBuf;

use async_trait::async_trait;
use pg_session::{Access, PgUrl, Relation, Session};
use runbook::{Action, Check, Context, Effect, Failure, Inspect, Preview};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LOOK_AGAIN, Look, findings_of, journaled, relation};
use crate::error::Error;
use crate::figures::recall_seconds;
use crate::index::vector_dimensions;
use crate::model::StaticModel;
use crate::recall::{
    ProbesBefore, QUERIES_DEFAULT, RecallOptions, RecallReport, measure_recall, probes_before, store_probes,
};
use crate::table::Table;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    target: PgUrl,
    source: Option<PgUrl>,
    #[serde(deserialize_with = "relation")]
    table: Relation,
    text: String,
    column: String,
    k: usize,
    min_recall: f64,
    max_p95_ms: Option<f64>,
    #[serde(default)]
    queries: Vec<String>,
    model_dir: PathBuf,
    /// Make the measured number of probes the database's setting.
    #[serde(default)]
    store_probes: bool,
}

impl Recall {
    fn options(&self) -> RecallOptions {
        RecallOptions {
            target: self.target.clone(),
            table: self.table.clone(),
            text: self.text.clone(),
            column: self.column.clone(),
            k: self.k,
            min_recall: self.min_recall,
            max_p95_ms: self.max_p95_ms,
            queries: self.queries.clone(),
        }
    }

    async fn look(&self) -> Result<Preview, Error> {
        self.options().check()?;
        StaticModel::load_native(&self.model_dir)?;
        let mut preview = Preview::default();
        match Look::at(&self.target, self.source.as_ref(), &self.table).await? {
            Ok(look) => {
                preview.findings.extend(look.table.text_column(&self.text).err());
                let rows = look.rows().await?;
                preview.estimate.rows = Some(rows);
                preview.estimate.seconds = Some(recall_seconds(rows));
            }
            // Without a source nothing is wrong with a table that an earlier step brings.
            Err(finding) if self.source.is_some() => preview.findings.push(finding),
            Err(_) => {}
        }
        let asked = if self.queries.is_empty() { QUERIES_DEFAULT } else { self.queries.len() };
        let slow = self.max_p95_ms.map_or_else(String::new, |ms| format!(", and 95% of searches {ms} ms"));
        let gate = format!("recall@{} of {asked} queries must reach {}{slow}", self.k, self.min_recall);
        if self.store_probes {
            let database = self.target.dbname();
            preview.changes = vec![gate, format!("database {database}: ivfflat.probes becomes what that takes")];
            preview.undo = format!("database {database}: ivfflat.probes as it was");
        } else {
            preview.changes = vec![gate];
        }
        Ok(preview)
    }

    async fn measure(&self, cx: &Context) -> Result<RecallReport, Error> {
        let session = Session::connect(&self.target, Access::ReadOnly).await?;
        let table = Table::require(&session, &self.table).await?;
        let model = StaticModel::load(&self.model_dir, vector_dimensions(&table, &self.column)?)?;
        drop(session);
        let options = self.options();
        let measured = measure_recall(&options, &model, cx).await?;
        options.gate(&measured)?;
        if self.store_probes {
            store_probes(&self.target, Some(&measured.chosen.probes.to_string())).await?;
        }
        Ok(measured)
    }
}

#[async_trait]
impl Inspect for Recall {
    fn effect(&self) -> Effect {
        if self.store_probes { Effect::Reversible } else { Effect::ReadOnly }
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        match self.look().await {
            Ok(preview) => Ok(preview),
            Err(error) => Ok(Preview { findings: findings_of(error)?, ..Preview::default() }),
        }
    }

    async fn check(&self, _cx: &Context) -> Result<Check, Failure> {
        if !self.store_probes {
            return Ok(LOOK_AGAIN);
        }
        Ok(Check::Pending { before: json!(probes_before(&self.target).await?) })
    }
}

#[async_trait]
impl Action for Recall {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        Ok(json!(self.measure(cx).await?))
    }

    async fn verify(&self, _cx: &Context) -> Result<(), Failure> {
        if !self.store_probes || probes_before(&self.target).await?.probes.is_some() {
            return Ok(());
        }
        Err(Error::NotInPlace {
            object: format!("database {}", self.target.dbname()),
            message: "ivfflat.probes is not stored".into(),
            hint: "look who reset it, then start again".into(),
        }
        .into())
    }

    async fn undo(&self, _cx: &Context, before: &Value) -> Result<(), Failure> {
        if !self.store_probes {
            return Ok(());
        }
        let before: ProbesBefore = journaled(before)?;
        if probes_before(&self.target).await? == before {
            return Ok(());
        }
        Ok(store_probes(&self.target, before.probes.as_deref()).await?)
    }
}
