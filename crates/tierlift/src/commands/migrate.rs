//! `migrate`: plan, show, and (unless it is a dry run) run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pg_session::{AdvisoryLock, PgUrl};
use pgmigrate::{AssessOptions, Assessment};
use runbook::{
    Context, CostChange, Failure, FailureKind, Finding, Inputs, Plan, Playbook, Quiet, StepPreview, Store, Terms,
    UsdRange, plan as make_plan, preview_steps,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::{Global, MigrateArgs};
use crate::commands::{can_ask, confirm, run};
use crate::output::{data, talk};
use crate::plan_text::{print_head, print_plan};
use crate::registry::{Actions, environment};
use crate::systems::{self, System};
use crate::{exit, screen};

/// How long a saved plan may be run.
const PLAN_VALID_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Plans and runs a transition.
pub async fn run(global: &Global, args: &MigrateArgs) -> Result<u8, Failure> {
    let system = systems::with_tier(&global.playbooks, args.system.as_deref(), &args.to)?;
    let only_looks = args.dry_run || args.plan_out.is_some();
    if !only_looks {
        can_ask(args.yes)?;
    }
    if let Some(file) = &args.plan {
        return run_saved(global, args, file).await;
    }
    let playbook = Playbook::load(&system.playbook(args.from.as_deref(), &args.to)?)?;
    system.require_tier(&playbook.from)?;
    let system_file = system.file();
    let lookup = move |name: &str| match environment(name) {
        None if name == "TIERLIFT_SYSTEM_FILE" => Some(absolute(&system_file)),
        found => found,
    };
    let inputs = Inputs::resolve(&playbook, &lookup)?;
    let _lock = if only_looks { None } else { take_target(global, &system.spec.system, inputs.values()).await? };
    let live = Live::look(inputs.values()).await.map_err(before_the_run)?;
    let previews = preview_steps(&playbook, &inputs, &Actions, screen(global)).await.map_err(before_the_run)?;
    let blocked = previews.iter().any(|preview| preview.blocking().next().is_some());
    let now = Timestamp::now();
    let terms = Terms {
        target: target_name(live.target.as_ref(), &system.spec.system),
        fingerprint: live.fingerprint(inputs.values())?,
        cost: cost(&system, &playbook),
        created_at: now,
        expires_at: now + PLAN_VALID_FOR,
    };
    let plan = make_plan(&playbook, &inputs, &previews, terms)?;
    // Who says --yes has read the plan before, or does not want to.
    let brief = args.yes && !args.dry_run && !blocked;
    show(global, &plan, &previews, brief);
    if blocked {
        return Err(blocked_failure(&previews));
    }
    if let Some(file) = &args.plan_out {
        plan.save(file)?;
        talk(format_args!("saved plan {} to {}", &plan.digest()[..12], file.display()));
    }
    if only_looks {
        let done = previews.iter().all(|preview| preview.done);
        return Ok(if done { exit::DONE } else { exit::PENDING });
    }
    start(global, args, &plan).await
}

async fn run_saved(global: &Global, args: &MigrateArgs, file: &Path) -> Result<u8, Failure> {
    let plan = Plan::load(file)?;
    if plan.to != args.to {
        return Err(Failure::new(
            FailureKind::InvalidInput,
            file.display().to_string(),
            format!("leads to {}, not to {}", plan.to, args.to),
            format!("run it with --to {}", plan.to),
        ));
    }
    if let Some(run) = Store::at(&global.state_dir).is_consumed(&plan.digest())? {
        return Err(Failure::new(
            FailureKind::Stale,
            file.display().to_string(),
            format!("was already run, as {run}"),
            "make a new plan with --plan-out; a reviewed plan is good for one run",
        ));
    }
    let _lock = if args.dry_run { None } else { take_target(global, &plan.system, &plan.inputs).await? };
    let live = Live::look(&plan.inputs).await.map_err(before_the_run)?;
    plan.check_fresh(Timestamp::now(), &live.fingerprint(&plan.inputs)?)?;
    show(global, &plan, &[], args.yes && !args.dry_run);
    if args.dry_run {
        return Ok(exit::PENDING);
    }
    start(global, args, &plan).await
}

async fn start(global: &Global, args: &MigrateArgs, plan: &Plan) -> Result<u8, Failure> {
    if let Some(step) = plan.irreversible_from.map(|i| &plan.steps[i])
        && !args.accept_irreversible
    {
        return Err(Failure::new(
            FailureKind::Blocked,
            format!("step {}", step.id),
            "cannot be undone, nor anything before it once it has begun",
            "add --accept-irreversible if that is meant",
        ));
    }
    confirm(args.yes, "Start now?")?;
    let end = run::engine(global)?.accept_irreversible(args.accept_irreversible).run(plan).await?;
    Ok(run::finish(global, &end))
}

/// Takes the target before looking at it: what another run is changing, or left unfinished, would only come out as
/// findings that name the wrong thing to mend.
async fn take_target(
    global: &Global,
    system: &str,
    inputs: &BTreeMap<String, Value>,
) -> Result<Option<AdvisoryLock>, Failure> {
    let target = run::database(inputs, "target")?;
    let lock = run::lock(global, target.as_ref()).await?;
    Store::at(&global.state_dir).refuse_unfinished(&target_name(target.as_ref(), system), None)?;
    Ok(lock)
}

/// What one run at a time may change.
fn target_name(target: Option<&PgUrl>, system: &str) -> String {
    target.map_or_else(|| format!("system {system}"), PgUrl::endpoint)
}

/// A look that failed is no step that failed: nothing was changed, and the exit code must say so.
fn before_the_run(mut failure: Failure) -> Failure {
    if failure.kind == FailureKind::Failed {
        failure.kind = FailureKind::InvalidInput;
    }
    failure
}

fn show(global: &Global, plan: &Plan, previews: &[StepPreview], brief: bool) {
    match (global.json, brief) {
        (true, _) => data(format_args!("{}", json!({"event": "plan", "digest": plan.digest(), "plan": plan}))),
        (false, true) => print_head(plan),
        (false, false) => print_plan(plan, previews),
    }
}

fn blocked_failure(previews: &[StepPreview]) -> Failure {
    // The same finding may come from several steps, and of several objects.
    let blocking: Vec<Finding> = previews.iter().flat_map(|preview| preview.blocking().cloned()).collect();
    let found: Vec<String> = pgmigrate::grouped(&blocking)
        .iter()
        .map(|f| format!("BLOCKS {}: {} ({})", f.object, f.message, f.remedy))
        .collect();
    let mut failure = Failure::new(
        FailureKind::Blocked,
        "",
        match found.len() {
            1 => "one finding stands in the way; nothing was changed".to_owned(),
            n => format!("{n} findings stand in the way; nothing was changed"),
        },
        "mend what is listed above, then look again with --dry-run",
    );
    failure.causes = found;
    failure
}

fn cost(system: &System, playbook: &Playbook) -> Option<CostChange> {
    let range = |tier: &str| {
        let headline = system.spec.tiers.get(tier)?.cost_usd_month.as_ref()?.headline;
        // A tier whose cost has no end can't be compared.
        Some(UsdRange { low_cents: headline.min * 100, high_cents: headline.max? * 100 })
    };
    Some(CostChange { before: range(&playbook.from)?, after: range(&playbook.to)? })
}

fn absolute(path: &Path) -> String {
    // A path that cannot be resolved is reported by whoever opens it.
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// What is live at the playbook's ends, by the convention that they are inputs called `source` and `target`.
struct Live {
    target: Option<PgUrl>,
    assessment: Option<Assessment>,
}

impl Live {
    async fn look(inputs: &BTreeMap<String, Value>) -> Result<Self, Failure> {
        let (source, target) = (run::database(inputs, "source")?, run::database(inputs, "target")?);
        let assessment = match (&source, &target) {
            (Some(source), Some(target)) => {
                let options = AssessOptions::new(source.clone(), target.clone());
                Some(pgmigrate::assess(&options, &Context::detached("plan", Arc::new(Quiet))).await?)
            }
            _ => None,
        };
        Ok(Self { target, assessment })
    }

    /// Servers, schema, and the content of every input that is a file: what the reviewed plan rests on.
    fn fingerprint(&self, inputs: &BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, Failure> {
        let mut facts = BTreeMap::new();
        for (name, value) in inputs {
            let Some(path) = value.as_str().map(Path::new).filter(|path| path.is_file()) else { continue };
            let bytes = std::fs::read(path).map_err(|e| {
                let object = format!("input {name}: {}", path.display());
                Failure::from_error(FailureKind::InvalidInput, object, &e, "give a file that you may read")
            })?;
            facts.insert(format!("file {name}"), format!("{:x}", Sha256::digest(bytes)));
        }
        if let Some(assessment) = &self.assessment {
            for (which, server) in [("source", &assessment.source), ("target", &assessment.target)] {
                facts.insert(format!("{which} endpoint"), server.endpoint.clone());
                facts.insert(format!("{which} version"), server.version.clone());
                if let Some(identifier) = &server.system_identifier {
                    facts.insert(format!("{which} system identifier"), identifier.clone());
                }
            }
            facts.insert("source schema".to_owned(), assessment.schema_fingerprint.clone());
        }
        Ok(facts)
    }
}
