//! The read-only preflight: what stands in the way of a copy, and what will differ after it.

use pg_session::{Access, PgUrl, Session};
use runbook::{Context, Estimate, Finding, Severity};
use serde::{Deserialize, Serialize};

use crate::catalog::ServerFacts;
use crate::checks;
use crate::endpoint;
use crate::error::Error;
use crate::findings::in_order;
use crate::survey::Survey;

/// A table the application cannot do without, e.g. the one whose text will be embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// Schema-qualified name as people write it, e.g. `public.messages`.
    pub table: String,
    /// Columns it must have.
    #[serde(default)]
    pub columns: Vec<String>,
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct AssessOptions {
    /// Where the data is.
    pub source: PgUrl,
    /// Where it shall go.
    pub target: PgUrl,
    /// Tables that must be on the source.
    pub requires: Vec<Required>,
}

/// A table with its estimated size.
#[derive(Debug, Clone, Serialize)]
pub struct TableFacts {
    /// As a person would write it.
    pub table: String,
    /// Rows, from the server's statistics.
    pub rows: u64,
    /// Bytes on disk, indexes aside.
    pub bytes: u64,
    /// True when it travels in Postgres' binary form.
    pub binary: bool,
}

/// What a look at both ends turned up.
#[derive(Debug, Clone, Serialize)]
pub struct Assessment {
    /// The source.
    pub source: ServerFacts,
    /// The target.
    pub target: ServerFacts,
    /// What stands in the way or will differ, most serious first.
    pub findings: Vec<Finding>,
    /// The tables that would be copied, largest first.
    pub tables: Vec<TableFacts>,
    /// Digest of the source's definitions.
    pub schema_fingerprint: String,
    /// How much and how long.
    pub estimate: Estimate,
}

impl Assessment {
    /// Whether a copy must not start.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Blocks)
    }
}

/// Looks at both ends through read-only sessions.
///
/// # Errors
/// When either end cannot be reached or read at all; what can be read but is wrong becomes a finding.
pub async fn assess(options: &AssessOptions, cx: &Context) -> Result<Assessment, Error> {
    assess_for(options, cx.run_id()).await
}

/// The same on behalf of a run (or of one that is yet to start, which has no copy of its own on the target).
pub(crate) async fn assess_for(options: &AssessOptions, run: Option<&str>) -> Result<Assessment, Error> {
    endpoint::check(&options.source, &options.target).await?;
    let (source, target) = tokio::try_join!(
        Session::connect(&options.source, Access::ReadOnly),
        Session::connect(&options.target, Access::ReadOnly)
    )?;
    let survey = Survey::take(&source, &target).await?;
    let mut findings = checks::source(&source, &survey, &options.requires).await?;
    findings.extend(checks::target(&target, &survey, run).await?);
    Ok(assessment(survey, findings))
}

fn assessment(survey: Survey, more: Vec<Finding>) -> Assessment {
    let mut findings = survey.findings.clone();
    findings.extend(more);
    let findings = in_order(findings);
    let mut tables: Vec<_> = survey
        .tables
        .iter()
        .map(|t| TableFacts {
            table: t.relation.label(),
            rows: t.rows_estimate,
            bytes: t.bytes,
            binary: t.is_portable(),
        })
        .collect();
    tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.table.cmp(&b.table)));
    let estimate = estimate(&survey);
    Assessment {
        findings,
        tables,
        schema_fingerprint: survey.fingerprint,
        estimate,
        source: survey.source,
        target: survey.target,
    }
}

/// From the catalogue's figures. 25 MB/s is what one modest core moves including its indexes (measured: 40-70 MB/s
/// on two), and the worst case is what a plan wants; half a second a hundred tables is catalogue work.
pub(crate) fn estimate(survey: &Survey) -> Estimate {
    const BYTES_PER_SECOND: f64 = 25e6;
    const SECONDS_PER_TABLE: f64 = 0.005;
    let bytes = survey.bytes();
    let seconds = 2.0 + bytes as f64 / BYTES_PER_SECOND + survey.tables.len() as f64 * SECONDS_PER_TABLE;
    Estimate { rows: Some(survey.rows_estimate()), bytes: Some(bytes), seconds: Some(seconds) }
}
