//! A small world to run plans in: named values in memory, actions over them, and faults at every point of an action.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use runbook::*;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Where an action can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its check fails.
    Check,
    /// Apply fails before it changed anything.
    ApplyBefore,
    /// Apply fails half-way.
    ApplyHalf,
    /// Apply fails after all was done.
    ApplyAfter,
    /// Verify fails.
    Verify,
    /// Undo fails half-way.
    Undo,
    /// Its check finds an earlier attempt still at work.
    Locked,
    /// Apply changes half and then never ends.
    Hang,
}

/// Values by name, and everything that was done to them.
#[derive(Default)]
pub struct World {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    values: BTreeMap<String, String>,
    faults: Vec<(String, Fault)>,
    /// Every change: how long the journal was when it was made, and all values after it.
    history: Vec<(u64, BTreeMap<String, String>)>,
    /// How often a value was really written by an apply, by name.
    writes: BTreeMap<String, u32>,
    /// The steps whose undo was called, in order.
    undos: Vec<String>,
    /// The `before` that each apply was given, by step.
    befores: Vec<(String, Value)>,
    /// What `Look` steps saw, in order.
    seen: Vec<Value>,
    /// Calls of `Registry::action`.
    actions: u32,
}

impl World {
    pub fn with(values: &[(&str, &str)]) -> Arc<Self> {
        let world = Self::default();
        world.inner().values = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Arc::new(world)
    }

    pub fn of(values: BTreeMap<String, String>) -> Arc<Self> {
        let world = Self::default();
        world.inner().values = values;
        Arc::new(world)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds the world")
    }

    pub fn values(&self) -> BTreeMap<String, String> {
        self.inner().values.clone()
    }

    pub fn history(&self) -> Vec<(u64, BTreeMap<String, String>)> {
        self.inner().history.clone()
    }

    pub fn writes(&self, name: &str) -> u32 {
        self.inner().writes.get(name).copied().unwrap_or(0)
    }

    pub fn undos(&self) -> Vec<String> {
        self.inner().undos.clone()
    }

    pub fn befores(&self, step: &str) -> Vec<Value> {
        self.inner().befores.iter().filter(|(s, _)| s == step).map(|(_, before)| before.clone()).collect()
    }

    pub fn seen(&self) -> Vec<Value> {
        self.inner().seen.clone()
    }

    pub fn actions(&self) -> u32 {
        self.inner().actions
    }

    /// The next time that step gets there, it fails.
    pub fn break_once(&self, step: &str, fault: Fault) {
        self.inner().faults.push((step.to_owned(), fault));
    }

    /// Whether a fault was set and has not happened yet.
    pub fn has_faults(&self) -> bool {
        !self.inner().faults.is_empty()
    }

    fn fails(&self, step: &str, fault: Fault) -> Result<(), Failure> {
        let mut inner = self.inner();
        match inner.faults.iter().position(|(s, f)| s == step && *f == fault) {
            Some(i) => {
                inner.faults.remove(i);
                let kind = if fault == Fault::Locked { FailureKind::Locked } else { FailureKind::Failed };
                Err(Failure::new(kind, step, format!("broke at {fault:?}"), "mend it"))
            }
            None => Ok(()),
        }
    }

    fn set(&self, name: &str, value: Option<&str>, cx: &Context) {
        let journal = cx.run_dir().map(|dir| dir.join("journal.jsonl"));
        let length = journal.map_or(0, |file| std::fs::metadata(file).expect("a run has a journal").len());
        let mut inner = self.inner();
        match value {
            Some(value) => inner.values.insert(name.to_owned(), value.to_owned()),
            None => inner.values.remove(name),
        };
        let values = inner.values.clone();
        inner.history.push((length, values));
    }
}

/// The registry of a world: `set` (two values at once), `look`, `burn` (a `set` without a way back).
pub struct Actions(pub Arc<World>);

struct Set {
    world: Arc<World>,
    name: String,
    to: String,
    effect: Effect,
}

struct Look {
    world: Arc<World>,
    name: String,
    of: Option<String>,
}

impl Actions {
    fn build(&self, action: &str, with: &Value) -> Result<Box<dyn Action>, Failure> {
        let text = |key: &str| with.get(key).and_then(Value::as_str).map(str::to_owned);
        let missing = || Failure::new(FailureKind::InvalidInput, "", "argument `name` is missing", "give it");
        let name = text("name").ok_or_else(missing)?;
        let world = self.0.clone();
        Ok(match action {
            "set" | "burn" => {
                let effect = if action == "set" { Effect::Reversible } else { Effect::Irreversible };
                Box::new(Set { world, name, to: text("to").ok_or_else(missing)?, effect })
            }
            "look" => Box::new(Look { world, name, of: text("of") }),
            _ => return Err(Failure::new(FailureKind::InvalidInput, action, "no such action", "set, burn or look")),
        })
    }
}

impl Registry for Actions {
    fn inspect(&self, action: &str, with: &Value) -> Result<Box<dyn Inspect>, Failure> {
        self.build(action, with).map(|action| -> Box<dyn Inspect> { action })
    }

    fn action(&self, action: &str, with: &Value) -> Result<Box<dyn Action>, Failure> {
        self.0.inner().actions += 1;
        self.build(action, with)
    }
}

impl Set {
    /// Each `set` writes two values, so that there is a half-way.
    fn twin(&self) -> String {
        format!("{}.twin", self.name)
    }

    fn is_set(&self) -> bool {
        let values = self.world.values();
        values.get(&self.name) == Some(&self.to) && values.get(&self.twin()) == Some(&self.to)
    }

    fn put(&self, name: &str, cx: &Context) {
        if self.world.values().get(name) != Some(&self.to) {
            *self.world.inner().writes.entry(name.to_owned()).or_default() += 1;
            self.world.set(name, Some(&self.to), cx);
        }
    }
}

#[async_trait]
impl Inspect for Set {
    fn effect(&self) -> Effect {
        self.effect
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        let blocked = self.world.values().contains_key(&format!("{}.blocked", self.name));
        Ok(Preview {
            changes: vec![format!("{} becomes {}", self.name, self.to)],
            undo: format!("{} as it was", self.name),
            estimate: Estimate { rows: Some(2), bytes: None, seconds: Some(0.0015) },
            findings: blocked
                .then(|| Finding {
                    severity: Severity::Blocks,
                    object: self.name.clone(),
                    message: "is blocked".to_owned(),
                    remedy: "unblock it".to_owned(),
                })
                .into_iter()
                .collect(),
        })
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        self.world.fails(cx.step(), Fault::Check)?;
        self.world.fails(cx.step(), Fault::Locked)?;
        if self.is_set() {
            return Ok(Check::Done);
        }
        let values = self.world.values();
        Ok(Check::Pending { before: json!([values.get(&self.name), values.get(&self.twin())]) })
    }
}

#[async_trait]
impl Action for Set {
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure> {
        self.world.inner().befores.push((cx.step().to_owned(), before.clone()));
        self.world.fails(cx.step(), Fault::ApplyBefore)?;
        self.put(&self.name, cx);
        self.world.fails(cx.step(), Fault::ApplyHalf)?;
        if self.world.fails(cx.step(), Fault::Hang).is_err() {
            std::future::pending::<()>().await;
        }
        self.put(&self.twin(), cx);
        self.world.fails(cx.step(), Fault::ApplyAfter)?;
        Ok(json!({"set": self.name}))
    }

    async fn verify(&self, cx: &Context) -> Result<(), Failure> {
        self.world.fails(cx.step(), Fault::Verify)?;
        if self.is_set() { Ok(()) } else { Err(Failure::new(FailureKind::Failed, &self.name, "is not set", "look")) }
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        self.world.inner().undos.push(cx.step().to_owned());
        // Repeated on purpose: an undo must bear it.
        for _ in 0..2 {
            for (i, name) in [self.twin(), self.name.clone()].into_iter().enumerate() {
                let was = before[1 - i].as_str();
                if self.world.values().get(&name).map(String::as_str) != was {
                    self.world.set(&name, was, cx);
                }
                self.world.fails(cx.step(), Fault::Undo)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Inspect for Look {
    fn effect(&self) -> Effect {
        Effect::ReadOnly
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        Ok(Preview::default())
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        self.world.fails(cx.step(), Fault::Check)?;
        Ok(Check::Pending { before: Value::Null })
    }
}

#[async_trait]
impl Action for Look {
    async fn apply(&self, cx: &Context, _before: &Value) -> Result<Value, Failure> {
        self.world.fails(cx.step(), Fault::ApplyBefore)?;
        let output = self.of.as_ref().and_then(|step| cx.output(step)).cloned();
        let value = self.world.values().get(&self.name).cloned();
        self.world.inner().seen.push(json!({"value": value, "output": output}));
        Ok(json!({"saw": value}))
    }

    async fn verify(&self, cx: &Context) -> Result<(), Failure> {
        self.world.fails(cx.step(), Fault::Verify)
    }

    async fn undo(&self, _cx: &Context, _before: &Value) -> Result<(), Failure> {
        Err(Failure::new(FailureKind::Internal, "", "a read-only step was asked to undo", ""))
    }
}

/// Keeps all events.
#[derive(Default)]
pub struct Log(Mutex<Vec<Event>>);

impl Log {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no test panics while it reports").clone()
    }
}

impl Reporter for Log {
    fn report(&self, event: Event) {
        self.0.lock().expect("no test panics while it reports").push(event);
    }
}

/// Three reversible steps with a look between them.
pub const STEPS: &str = "
- {id: first, title: First, action: set, with: {name: a, to: new}}
- {id: second, title: Second, action: set, with: {name: b, to: new}}
- {id: look, title: Look, action: look, with: {name: b, of: second}}
- {id: third, title: Third, action: set, with: {name: c, to: new}}
";

/// What `STEPS` start from: `a` and its twin exist, the others don't.
pub const START: &[(&str, &str)] = &[("a", "old"), ("a.twin", "old"), ("other", "untouched")];

/// What `STEPS` lead to.
pub const END: &[(&str, &str)] = &[
    ("a", "new"),
    ("a.twin", "new"),
    ("b", "new"),
    ("b.twin", "new"),
    ("c", "new"),
    ("c.twin", "new"),
    ("other", "untouched"),
];

pub fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub fn playbook(steps: &str) -> Playbook {
    let text = format!("playbook: test/one-to-two\nsystem: test\nfrom: one\nto: two\nsteps:\n{steps}");
    Playbook::parse(&text, "test.yaml").expect("the test's playbook is good")
}

/// A plan of these steps for this target in this world.
pub async fn plan_for(world: &Arc<World>, steps: &str, target: &str) -> Plan {
    let playbook = playbook(steps);
    let inputs = Inputs::resolve(&playbook, &|_| None).expect("there are none");
    let registry = Actions(world.clone());
    let previews = preview_steps(&playbook, &inputs, &registry, Arc::new(Quiet)).await.expect("previews work");
    plan(&playbook, &inputs, &previews, terms(target)).expect("the plan is good")
}

pub fn terms(target: &str) -> Terms {
    let created_at = Timestamp::now();
    Terms {
        target: target.to_owned(),
        fingerprint: values(&[("target version", "18.4")]),
        cost: None,
        created_at,
        expires_at: created_at + SignedDuration::from_hours(1),
    }
}

/// An engine that nobody stops.
pub fn engine(world: &Arc<World>, root: &Path) -> Engine {
    engine_with(world, root, Arc::new(Quiet))
}

pub fn engine_with(world: &Arc<World>, root: &Path, reporter: Arc<dyn Reporter>) -> Engine {
    let (_, stop) = watch::channel(false);
    Engine::new(Arc::new(Actions(world.clone())), reporter, Store::at(root), stop)
}

/// Where a run keeps its journal.
pub fn journal_of(root: &Path, run: &str) -> PathBuf {
    root.join("runs").join(run).join("journal.jsonl")
}
