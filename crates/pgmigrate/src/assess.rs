//! The read-only preflight: what stands in the way of a copy, and what will differ after it.

use std::time::Duration;

use pg_session::{Access, PgUrl, Session};
use runbook::{Context, Estimate, Finding, Severity};
use serde::{Deserialize, Serialize};

use crate::catalog::ServerFacts;
use crate::checks;
use crate::endpoint;
use crate::error::Error;
use crate::estimate::{Forecast, forecast};
use crate::findings::in_order;
use crate::measure::measure;
use crate::selection::Selection;
use crate::survey::Survey;

/// Reading samples may take an assessment this long.
const SAMPLE_TIME: Duration = Duration::from_millis(500);

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
    /// What of the source would be copied.
    pub selection: Selection,
}

impl AssessOptions {
    /// Of everything.
    pub fn new(source: PgUrl, target: PgUrl) -> Self {
        Self { source, target, requires: Vec::new(), selection: Selection::default() }
    }
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
    /// How much and how long at worst, as a plan wants it.
    pub estimate: Estimate,
    /// How much and how long, and why.
    pub forecast: Forecast,
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
    let (source, target) = tokio::try_join!(connect(&options.source), connect(&options.target))?;
    let seen = async {
        let survey = Survey::take(&source, &target, &options.selection).await?;
        let look = look(&source, &target, &survey, &options.requires, run, SAMPLE_TIME).await?;
        Ok((survey, look))
    };
    match seen.await {
        Ok((survey, mut look)) => {
            let ends = [("source", &options.source), ("target", &options.target)];
            look.findings.extend(ends.iter().filter_map(|(which, url)| checks::ignored_keys(which, url)));
            Ok(assessment(survey, look))
        }
        Err(error) if Error::is_lock_timeout(&error) => {
            // Which end it was does not matter to whoever asks both.
            let (at_source, at_target) =
                tokio::try_join!(checks::exclusive_locks(&source), checks::exclusive_locks(&target))?;
            let holders = [at_source, at_target].concat();
            Err(if holders.is_empty() { error } else { Error::Blocked(holders) })
        }
        Err(error) => Err(error),
    }
}

/// What a survey does not hold: everything that is worth a finding, and how long a copy will take.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The survey's own findings are among them.
    pub findings: Vec<Finding>,
    pub forecast: Forecast,
}

/// Looks closer at both ends, for `sample_time` at rows. What may be refused, and would then end a transaction on
/// `source`, is asked through a session of its own.
pub(crate) async fn look(
    source: &Session,
    target: &Session,
    survey: &Survey,
    requires: &[Required],
    run: Option<&str>,
    sample_time: Duration,
) -> Result<Look, Error> {
    let reader = connect(source.url()).await?;
    let (more, (measured, forecast)) =
        tokio::try_join!(checks::everything(&reader, target, survey, requires, run), async {
            let measured = measure(&reader, target, survey, sample_time).await?;
            let forecast = forecast(source, survey, &measured).await?;
            Ok((measured, forecast))
        })?;
    let findings = [survey.findings.clone(), more, measured.findings].concat();
    Ok(Look { findings: in_order(findings), forecast })
}

/// A session that can only read.
async fn connect(url: &PgUrl) -> Result<Session, Error> {
    let session = Session::connect(url, Access::ReadOnly).await?;
    // A table that somebody has locked would keep us waiting for ever.
    session.batch_execute("set lock_timeout = '3s'").await.map_err(Error::on(&session))?;
    Ok(session)
}

fn assessment(survey: Survey, look: Look) -> Assessment {
    let Look { findings, forecast } = look;
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
    Assessment {
        findings,
        tables,
        schema_fingerprint: survey.fingerprint,
        estimate: forecast.worst_case(),
        forecast,
        source: survey.source,
        target: survey.target,
    }
}
