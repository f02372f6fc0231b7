//! What a copy starts from: the state that an earlier call left on the target, or a new one.

use std::time::Duration;

use pg_session::{Session, literal};
use runbook::{Context, Finding, Severity};

use crate::assess::{self, Look};
use crate::copy::CopyOptions;
use crate::error::Error;
use crate::estimate::Forecast;
use crate::findings::in_order;
use crate::large_objects;
use crate::lost;
use crate::moment::Moment;
use crate::refused::{self, OnRefused};
use crate::roles;
use crate::state::{self, CopyState, SourceId};
use crate::survey::Survey;
use crate::undo::{self, Before};

/// Reading a sample beside pg_dump may take this long; the estimate is only for the report.
const SAMPLE_TIME: Duration = Duration::from_millis(100);

/// The state of the copy: the one that is there, or a new one with everything that undo will need.
pub(crate) async fn prepare(
    source: &Session,
    target: &Session,
    survey: &Survey,
    now: &Moment,
    options: &CopyOptions,
    cx: &Context,
) -> Result<(CopyState, Vec<Finding>, Option<Forecast>), Error> {
    let id = SourceId::of(&survey.source);
    if let Some(copy) = state::read(target).await? {
        if copy.source != id {
            return Err(Error::OtherCopy(format!(
                "the target holds a copy of another database, begun {}",
                copy.started_at
            )));
        }
        if copy.finished && copy.run.as_deref() != cx.run_id() {
            return Err(Error::OtherCopy(format!(
                "the target holds a finished copy of this source, begun {}",
                copy.started_at
            )));
        }
        if !copy.selection.is_same_as(&options.selection) {
            return Err(Error::OtherCopy(format!(
                "the target holds a copy begun {} with {}; this call has {}",
                copy.started_at,
                copy.selection.describe(),
                options.selection.describe()
            )));
        }
        let changed = if copy.finished {
            if Moment::of(&copy)?.counts_differ(now) {
                cx.note("the copy is finished, but the source was written to since it began; it is not repeated");
            }
            None
        } else {
            cannot_continue(source, target, survey, &copy, now, cx).await?
        };
        let Some(changed) = changed else {
            // Whoever continues a copy answers for it, and its undo may take it back.
            target.execute("update tierlift.copy set run = $1", &[&cx.run_id()]).await.map_err(Error::on(target))?;
            return Ok((copy, in_order(survey.findings.clone()), None));
        };
        cx.note(format!("{changed}: the copy begins anew"));
        undo::remove(target, &Before::read(copy.before)?, &[], cx).await?;
        // Roles that the earlier attempt made are missing again.
        let fresh = Survey::take(source, target, &options.selection).await?;
        return begin(source, target, &fresh, now, options, cx, id).await;
    }
    begin(source, target, survey, now, options, cx, id).await
}

/// Why what is on the target is no good beginning any more, if so.
async fn cannot_continue(
    source: &Session,
    target: &Session,
    survey: &Survey,
    copy: &CopyState,
    now: &Moment,
    cx: &Context,
) -> Result<Option<String>, Error> {
    let (parts, then) = (state::parts(target).await?, Moment::of(copy)?);
    let changed = then.changed(now, source, survey, &parts).await?;
    if changed.is_some() {
        return Ok(changed);
    }
    // Only a superuser could look at when a large object was written.
    if !then.sees_what(now) && large_objects::remove(target).await? > 0 {
        cx.note("large objects may have been written to since the copy began: they are copied again");
    }
    lost::reset(target, survey, &parts, cx).await
}

async fn begin(
    source: &Session,
    target: &Session,
    survey: &Survey,
    now: &Moment,
    options: &CopyOptions,
    cx: &Context,
    id: SourceId,
) -> Result<(CopyState, Vec<Finding>, Option<Forecast>), Error> {
    let (Look { mut findings, forecast }, mut before) = tokio::try_join!(
        assess::look(source, target, survey, &[], cx.run_id(), SAMPLE_TIME),
        Before::capture(target, survey),
    )?;
    let refused_roles = roles::refused(target, &survey.roles.missing).await?;
    match options.on_refused {
        OnRefused::Skip => refused::defer(&mut findings),
        OnRefused::Stop => findings.extend(refused_roles.findings()),
    }
    let findings = in_order(findings);
    if findings.iter().any(|f| f.severity == Severity::Blocks) {
        return Err(Error::Blocked(findings.into_iter().filter(|f| f.severity == Severity::Blocks).collect()));
    }
    let no_roles: Vec<&str> = refused::roles(&refused_roles.made).collect();
    before.roles.retain(|role| !no_roles.contains(&role.as_str()));
    let roles: String =
        before.roles.iter().map(|role| format!("create role {} nologin;\n", pg_session::Ident(role))).collect();
    let before = serde_json::json!(before);
    let seen = serde_json::json!(now);
    let mut sql = state::CREATE.to_owned();
    sql.push_str(&format!(
        "insert into tierlift.copy (source, run, before, writes, selection) values ({}, {}, {}, {}, {});\n",
        literal(&serde_json::json!(id).to_string()),
        cx.run_id().map_or_else(|| "null".to_owned(), literal),
        literal(&before.to_string()),
        literal(&seen.to_string()),
        literal(&serde_json::json!(options.selection).to_string()),
    ));
    sql.push_str(&refused::record_sql(&refused_roles.made));
    sql.push_str(&roles);
    state::in_one_transaction(target, &sql)
        .await
        .map_err(|source| Error::Entry { object: "schema tierlift and roles".into(), source })?;
    let state = state::read(target).await?.ok_or_else(|| Error::Internal("the copy's state is gone".into()))?;
    Ok((state, findings, Some(forecast)))
}
