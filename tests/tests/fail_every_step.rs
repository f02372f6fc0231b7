//! Every step fails in turn, before and after it has changed things, and the unwind leaves both ends as they were.

use acceptance::Site;
use async_trait::async_trait;
use runbook::{Action, Check, Context, Effect, Failure, FailureKind, Inspect, Preview, Registry};
use serde_json::Value;

/// When the chosen step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeApply,
    AfterApply,
    InVerify,
}

/// tierlift's own actions, of which one step fails.
struct Failing {
    step: &'static str,
    moment: Moment,
}

struct FailingAction {
    inner: Box<dyn Action>,
    step: &'static str,
    moment: Moment,
}

impl Registry for Failing {
    fn inspect(&self, action: &str, with: &Value) -> Result<Box<dyn Inspect>, Failure> {
        tierlift::Actions.inspect(action, with)
    }

    fn action(&self, action: &str, with: &Value) -> Result<Box<dyn Action>, Failure> {
        let inner = tierlift::Actions.action(action, with)?;
        Ok(Box::new(FailingAction { inner, step: self.step, moment: self.moment }))
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
fn check(site: &Site, step: &'static str, moment: Moment) {
    let before = site.both_ends();
    let failing = Failing { step, moment };
    let outcome = acceptance::migrate_in_process(site, &failing);
    assert!(
        matches!(&outcome, runbook::RunOutcome::Unwound { step: failed, .. } if failed == step),
        "{step} {moment:?}: {outcome:?}"
    );
    before.assert_same(&site.both_ends(), &format!("{step} failed {moment:?}"));
}
