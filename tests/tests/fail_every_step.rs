//! Every step fails in turn, before and after it has changed things, and the unwind leaves both ends as they were.

use std::sync::Arc;

use acceptance::Site;
use async_trait::async_trait;
use runbook::{
    Action, Check, Context, Effect, Failure, FailureKind, Inspect, Preview, Registry, RunOutcome, resolve_secrets,
};
use serde_json::Value;
use tierlift::Actions;

/// When the chosen step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeApply,
    AfterApply,
    InVerify,
}

/// tierlift's own actions, of which one step fails. Secrets come from the site, since a test must not set variables of
/// its own process.
struct Failing {
    site: Arc<Site>,
    step: String,
    moment: Moment,
}

impl Failing {
    fn resolve(&self, action: &str, with: &Value) -> Result<Value, Failure> {
        let environment = self.site.environment();
        let mut with = resolve_secrets(with, &|name| environment.get(name).cloned())?;
        if action == "pg.copy" {
            with["pg_bin"] = environment["TIERLIFT_PG_BIN"].as_str().into();
        }
        Ok(with)
    }
}

struct FailingAction {
    inner: Box<dyn Action>,
    step: String,
    moment: Moment,
}

impl Registry for Failing {
    fn inspect(&self, action: &str, with: &Value) -> Result<Box<dyn Inspect>, Failure> {
        Actions.inspect(action, &self.resolve(action, with)?)
    }

    fn action(&self, action: &str, with: &Value) -> Result<Box<dyn Action>, Failure> {
        let inner = Actions.action(action, &self.resolve(action, with)?)?;
        Ok(Box::new(FailingAction { inner, step: self.step.clone(), moment: self.moment }))
    }
}

impl FailingAction {
    fn fail_at(&self, cx: &Context, moment: Moment) -> Result<(), Failure> {
        if cx.step() == self.step && self.moment == moment {
            return Err(Failure::new(
                FailureKind::Failed,
                cx.step(),
                format!("injected {moment:?}"),
                "nothing: a test",
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Inspect for FailingAction {
    fn effect(&self) -> Effect {
        self.inner.effect()
    }

    async fn preview(&self, cx: &Context) -> Result<Preview, Failure> {
        self.inner.preview(cx).await
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        self.inner.check(cx).await
    }
}

#[async_trait]
impl Action for FailingAction {
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure> {
        self.fail_at(cx, Moment::BeforeApply)?;
        let output = self.inner.apply(cx, before).await?;
        self.fail_at(cx, Moment::AfterApply)?;
        Ok(output)
    }

    async fn verify(&self, cx: &Context) -> Result<(), Failure> {
        self.inner.verify(cx).await?;
        self.fail_at(cx, Moment::InVerify)
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        self.inner.undo(cx, before).await?;
        // Undone twice ends the same as once.
        self.inner.undo(cx, before).await
    }
}

/// Runs the playbook with one step failing; the engine itself is the one the program uses.
fn check(site: &Arc<Site>, step: &str, moment: Moment) {
    let before = site.both_ends();
    let failing = Arc::new(Failing { site: site.clone(), step: step.to_owned(), moment });
    let outcome = acceptance::migrate_in_process(site, failing);
    assert!(
        matches!(&outcome, RunOutcome::Unwound { cause: Some((failed, failure)) }
            if failed == step && failure.message.contains("injected")),
        "{step} {moment:?}: {outcome:?}"
    );
    before.assert_same(&site.both_ends(), &format!("{step} failed {moment:?}"));
}

#[test]
fn every_step_that_fails_is_unwound_to_the_start() {
    let site = Arc::new(Site::new(300));
    for step in acceptance::steps() {
        for moment in [Moment::BeforeApply, Moment::AfterApply, Moment::InVerify] {
            check(&site, &step, moment);
        }
    }
}
