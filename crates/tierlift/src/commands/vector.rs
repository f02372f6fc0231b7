//! `vector ...`: the playbook's embedding steps one at a time, and search.

use std::path::Path;

use runbook::{Check, Context, Failure, FailureKind, Preview};
use serde_json::{Value, json};
use vector_backfill::{SearchOptions, StaticModel};

use crate::cli::{Global, VectorColumn, VectorCommand};
use crate::commands::{database_url, url_text};
use crate::output::data;
use crate::reporter::severity_word;
use crate::style::{bytes, count, seconds};
use crate::{exit, screen};

/// Runs one of them.
pub async fn run(global: &Global, command: VectorCommand) -> Result<u8, Failure> {
    match command {
        VectorCommand::Plan { at } => plan(global, &at).await,
        VectorCommand::Enable { at } => step(global, "vector.enable", enable_args(&at)?).await,
        VectorCommand::Backfill { at, workers } => step(global, "vector.backfill", backfill_args(&at, workers)?).await,
        VectorCommand::Index { at, lists } => {
            let mut with = index_args(&at)?;
            if let Some(lists) = lists {
                with["lists"] = lists.into();
            }
            step(global, "vector.index", with).await
        }
        VectorCommand::Recall { at, k, min_recall } => {
            let mut with = base(&at)?;
            with["text"] = at.text.clone().into();
            with["k"] = k.into();
            with["min_recall"] = min_recall.into();
            with["model_dir"] = model_dir(&at)?.into();
            step(global, "vector.recall", with).await
        }
        VectorCommand::Search { at, query, k, probes } => search(global, &at, &query, k, probes).await,
    }
}

/// Previews the three steps that fill a column.
async fn plan(global: &Global, at: &VectorColumn) -> Result<u8, Failure> {
    let mut blocked = false;
    let mut pending = false;
    let steps = [
        ("vector.enable", enable_args(at)?),
        ("vector.backfill", backfill_args(at, 2)?),
        ("vector.index", index_args(at)?),
    ];
    for (name, with) in steps {
        let cx = Context::detached(name, screen(global));
        let inspect = vector_backfill::action::inspect(name, &with).ok_or_else(|| unknown(name))??;
        let preview = inspect.preview(&cx).await?;
        blocked |= preview.findings.iter().any(|f| f.severity == runbook::Severity::Blocks);
        pending |= !blocked && !matches!(inspect.check(&cx).await?, Check::Done);
        if global.json {
            data(json!({"event": "step_previewed", "step": name, "action": name, "preview": preview}));
        } else {
            print_preview(name, &preview);
        }
    }
    Ok(match (blocked, pending) {
        (true, _) => exit::BLOCKED,
        (false, true) => exit::PENDING,
        (false, false) => exit::DONE,
    })
}

/// Applies one step, unless it is done already.
async fn step(global: &Global, name: &str, with: Value) -> Result<u8, Failure> {
    let cx = Context::detached(name, screen(global));
    let action = vector_backfill::action::action(name, &with).ok_or_else(|| unknown(name))??;
    let preview = action.preview(&cx).await?;
    if preview.findings.iter().any(|f| f.severity == runbook::Severity::Blocks) {
        if global.json {
            data(json!({"event": "step_previewed", "step": name, "action": name, "preview": preview}));
        } else {
            print_preview(name, &preview);
        }
        return Ok(exit::BLOCKED);
    }
    let output = match action.check(&cx).await? {
        Check::Done => json!({"already": true}),
        Check::Pending { before } => {
            let output = action.apply(&cx, &before).await?;
            action.verify(&cx).await?;
            output
        }
    };
    if global.json {
        data(json!({"event": "step_done", "step": name, "output": output}));
    } else {
        print_output(name, &output);
    }
    Ok(exit::DONE)
}

async fn search(global: &Global, at: &VectorColumn, query: &str, k: usize, probes: Option<u32>) -> Result<u8, Failure> {
    let options = SearchOptions {
        target: database_url(&at.target, "--target")?,
        table: vector_backfill::parse_relation(&at.table)?,
        text: at.text.clone(),
        column: at.column.clone(),
        k,
        probes,
    };
    let model = StaticModel::load(Path::new(&model_dir(at)?), at.dimensions)?;
    for hit in vector_backfill::search(&options, query, &model).await? {
        if global.json {
            data(json!({"key": hit.key, "text": hit.text, "distance": hit.distance}));
        } else {
            data(format_args!("{:.3}  {}  {}", hit.distance, hit.key, hit.text));
        }
    }
    Ok(exit::DONE)
}

fn print_preview(name: &str, preview: &Preview) {
    data(name);
    for change in &preview.changes {
        data(format_args!("    {change}"));
    }
    let estimate = &preview.estimate;
    let mut parts = Vec::new();
    parts.extend(estimate.rows.map(|rows| format!("{} rows", count(rows))));
    parts.extend(estimate.bytes.map(bytes));
    parts.extend(estimate.seconds.map(|s| format!("at most {}", seconds(s))));
    if !parts.is_empty() {
        data(format_args!("    estimate: {}", parts.join(", ")));
    }
    for finding in &preview.findings {
        let word = severity_word(finding.severity);
        data(format_args!("    {word} {}: {}; {}", finding.object, finding.message, finding.remedy));
    }
}

/// `name: value` a line; lists (a recall curve) one line an item.
fn print_output(name: &str, output: &Value) {
    data(name);
    for (key, value) in output.as_object().into_iter().flatten() {
        match value {
            Value::Array(items) => items.iter().for_each(|item| data(format_args!("    {key}  {item}"))),
            Value::String(text) => data(format_args!("    {key}  {text}")),
            other => data(format_args!("    {key}  {other}")),
        }
    }
}

/// Arguments of a step that is run without a playbook. They hold the URL, so they are never shown.
fn base(at: &VectorColumn) -> Result<Value, Failure> {
    database_url(&at.target, "--target")?; // for its own errors, which name the option
    let target = url_text(&at.target, "--target")?;
    Ok(json!({"target": target, "table": at.table, "column": at.column}))
}

fn enable_args(at: &VectorColumn) -> Result<Value, Failure> {
    let mut with = base(at)?;
    with["dimensions"] = at.dimensions.into();
    Ok(with)
}

fn backfill_args(at: &VectorColumn, workers: usize) -> Result<Value, Failure> {
    let mut with = enable_args(at)?;
    with["text"] = at.text.clone().into();
    with["workers"] = workers.into();
    with["model_dir"] = model_dir(at)?.into();
    Ok(with)
}

fn index_args(at: &VectorColumn) -> Result<Value, Failure> {
    base(at)
}

fn model_dir(at: &VectorColumn) -> Result<String, Failure> {
    let dir = at.model_dir.as_ref().ok_or_else(|| {
        Failure::new(
            FailureKind::InvalidInput,
            "--model-dir",
            "the folder of the embedding model is not given",
            "set TIERLIFT_MODEL_DIR to it; `cargo xtask model` fetches the model and prints its folder",
        )
    })?;
    Ok(dir.display().to_string())
}

fn unknown(name: &str) -> Failure {
    Failure::new(FailureKind::Internal, format!("action {name}"), "is not among vector-backfill's actions", "")
}
