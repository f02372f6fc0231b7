//! A transition as a person writes it: YAML, checked so far as that is possible without looking at anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::canonical::sha256_hex;
use crate::failure::{Failure, FailureKind};
use crate::inputs::holds_password;
use crate::yaml::{Node, Ordered, Place, place};

/// A transition from one tier of a system to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Playbook {
    /// Its name, e.g. `oviya/tier1-to-tier2`.
    pub name: String,
    /// The system it belongs to.
    pub system: String,
    /// The tier it starts from.
    pub from: String,
    /// The tier it leads to.
    pub to: String,
    /// What it does, for people.
    pub description: String,
    /// What must be known before it can be planned, by name.
    pub inputs: BTreeMap<String, Input>,
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// SHA-256 of the file's bytes, lowercase hex.
    pub digest: String,
}

/// One thing a playbook must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The environment variable it comes from.
    pub env: Option<String>,
    /// True when its value must never be written down: it stays the name of its variable until an action needs it.
    pub secret: bool,
    /// What it is when the variable is not set; never for a secret.
    pub default: Option<String>,
    /// What it is, for people.
    pub description: String,
}

/// One step as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its id, unique in the playbook: lowercase letters, digits and hyphens.
    pub id: String,
    /// What it is for.
    pub title: String,
    /// The action it calls.
    pub action: String,
    /// The action's arguments; every reference names an input that exists.
    pub with: BTreeMap<String, Argument>,
}

/// An argument of an action, as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// `$name`: the value of an input.
    Input(String),
    /// Null, a boolean, a number or a text.
    Literal(Value),
    /// Several.
    List(Vec<Argument>),
    /// Several, named.
    Map(BTreeMap<String, Argument>),
}

/// Why a playbook can't be used, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct PlaybookError {
    /// `file:line:column`, or just the file when it could not be read at all.
    pub file: String,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub hint: String,
}

impl From<PlaybookError> for Failure {
    fn from(error: PlaybookError) -> Self {
        Self::new(FailureKind::InvalidInput, error.file, error.message, error.hint)
    }
}

impl Playbook {
    /// Reads and checks a playbook.
    ///
    /// # Errors
    /// When the file can't be read or says something that can't be meant; with its line and column.
    pub fn load(path: &Path) -> Result<Self, PlaybookError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| PlaybookError {
            file: file.clone(),
            message: format!("cannot read the playbook: {error}"),
            hint: "name a playbook that exists and that you may read".to_owned(),
        })?;
        Self::parse(&text, &file)
    }

    /// Checks a playbook given as text; `file` names it in errors.
    ///
    /// # Errors
    /// As for [`Playbook::load`].
    pub fn parse(text: &str, file: &str) -> Result<Self, PlaybookError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: RawPlaybook =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax_error(&error, file))?;
        let checker = Checker { file };
        checker.playbook(raw, sha256_hex(text.as_bytes()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlaybook {
    playbook: Spanned<String>,
    system: Spanned<String>,
    from: Spanned<String>,
    to: Spanned<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    inputs: Ordered<RawInput>,
    steps: Spanned<Vec<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    #[serde(default)]
    env: Option<Spanned<String>>,
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    default: Option<Spanned<String>>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    id: Spanned<String>,
    title: Spanned<String>,
    action: Spanned<String>,
    #[serde(default)]
    with: Ordered<Spanned<Node>>,
}

/// Says what is wrong with a YAML file in the words of its reader, not of the parser's Rust types.
fn syntax_error(error: &serde_saphyr::Error, file: &str) -> PlaybookError {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let place = error.location().map(Place::from);
    let (message, hint) = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{field}`"), format!("keys allowed here: {}", expected.join(", ")))
        }
        Error::SerdeMissingField { field, .. } => (format!("`{field}` is missing"), format!("add `{field}: ...`")),
        Error::DuplicateMappingKey { key, .. } => (
            match key {
                Some(key) => format!("`{key}` is written twice"),
                None => "a key is written twice".to_owned(),
            },
            "keep one of the two".to_owned(),
        ),
        other => {
            // The location leads the line already; the parser's text repeats it at its end.
            let text = other.to_string();
            let text = text.split(" at line ").next().unwrap_or(&text).trim_end_matches(['.', ',', ' ']).to_owned();
            (format!("not a playbook: {text}"), "correct the YAML at this place".to_owned())
        }
    };
    PlaybookError { file: located(file, place), message, hint }
}

fn located(file: &str, place: Option<Place>) -> String {
    match place {
        Some(Place { line, column }) => format!("{file}:{line}:{column}"),
        None => file.to_owned(),
    }
}

struct Checker<'a> {
    file: &'a str,
}

impl Checker<'_> {
    fn playbook(&self, raw: RawPlaybook, digest: String) -> Result<Playbook, PlaybookError> {
        for (key, value) in [("playbook", &raw.playbook), ("system", &raw.system), ("from", &raw.from), ("to", &raw.to)]
        {
            self.not_blank(key, value)?;
        }
        if raw.from.value == raw.to.value {
            return Err(self.error(
                place(&raw.to),
                format!("leads from {} to itself", raw.to.value),
                "name two different tiers in `from` and `to`",
            ));
        }
        let mut inputs = BTreeMap::new();
        for (name, input) in raw.inputs.0 {
            let checked = self.input(&name, input)?;
            inputs.insert(name.value, checked);
        }
        if raw.steps.value.is_empty() {
            return Err(self.error(place(&raw.steps), "has no steps", "write at least one step"));
        }
        let mut seen = BTreeMap::new();
        let mut steps = Vec::new();
        for step in raw.steps.value {
            if let Some(first) = seen.insert(step.id.value.clone(), place(&step.id)) {
                return Err(self.error(
                    place(&step.id),
                    format!("step id `{}` is used twice, first on line {}", step.id.value, first.line),
                    "give each step its own id",
                ));
            }
            steps.push(self.step(step, &inputs)?);
        }
        Ok(Playbook {
            name: raw.playbook.value,
            system: raw.system.value,
            from: raw.from.value,
            to: raw.to.value,
            description: raw.description,
            inputs,
            steps,
            digest,
        })
    }

    fn input(&self, name: &Spanned<String>, raw: RawInput) -> Result<Input, PlaybookError> {
        let (at, input) = (place(name), &name.value);
        if !is_word(input, '_') {
            return Err(self.error(
                at,
                format!("`{input}` can't name an input"),
                "use lowercase letters, digits and underscores, a letter first",
            ));
        }
        if let Some(env) = &raw.env {
            let good = env.value.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
                && env.value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if !good {
                return Err(self.error(
                    place(env),
                    format!("`{}` can't name an environment variable", env.value),
                    "use capital letters, digits and underscores; a value itself does not belong here",
                ));
            }
        }
        match (&raw.env, &raw.default) {
            (_, Some(default)) if raw.secret => {
                return Err(self.error(
                    place(default),
                    format!("input `{input}` is secret and has a default"),
                    "remove the default: a secret only ever comes from its environment variable",
                ));
            }
            (None, None) => {
                return Err(self.error(
                    at,
                    format!("input `{input}` has no value"),
                    "give it an `env`, or a `default` unless it is secret",
                ));
            }
            (_, Some(default)) if holds_password(&default.value) => {
                return Err(self.password(place(default), &format!("the default of input `{input}`")));
            }
            _ => {}
        }
        Ok(Input {
            env: raw.env.map(|e| e.value),
            secret: raw.secret,
            default: raw.default.map(|d| d.value),
            description: raw.description,
        })
    }

    fn step(&self, raw: RawStep, inputs: &BTreeMap<String, Input>) -> Result<Step, PlaybookError> {
        if !is_word(&raw.id.value, '-') {
            return Err(self.error(
                place(&raw.id),
                format!("`{}` can't be a step's id", raw.id.value),
                "use lowercase letters, digits and hyphens, a letter first",
            ));
        }
        self.not_blank("title", &raw.title)?;
        self.not_blank("action", &raw.action)?;
        let with = self.arguments(raw.with.0.iter().map(|(k, v)| (&k.value, v)), inputs)?;
        Ok(Step { id: raw.id.value, title: raw.title.value, action: raw.action.value, with })
    }

    fn arguments<'n>(
        &self,
        entries: impl Iterator<Item = (&'n String, &'n Spanned<Node>)>,
        inputs: &BTreeMap<String, Input>,
    ) -> Result<BTreeMap<String, Argument>, PlaybookError> {
        entries.map(|(key, node)| Ok((key.clone(), self.argument(node, inputs)?))).collect()
    }

    fn argument(&self, node: &Spanned<Node>, inputs: &BTreeMap<String, Input>) -> Result<Argument, PlaybookError> {
        let at = place(node);
        match &node.value {
            Node::Scalar(Value::String(text)) => self.text(text, at, inputs),
            Node::Scalar(value) => Ok(Argument::Literal(value.clone())),
            Node::List(items) => {
                Ok(Argument::List(items.iter().map(|item| self.argument(item, inputs)).collect::<Result<_, _>>()?))
            }
            Node::Map(entries) => {
                // In a plan `{env: NAME}` is how a secret is referred to; a literal one would be replaced like it.
                if entries.len() == 1 && entries[0].0 == "env" {
                    return Err(self.error(
                        at,
                        "refers to an environment variable directly",
                        "declare it under `inputs` and write `$name` here",
                    ));
                }
                Ok(Argument::Map(self.arguments(entries.iter().map(|(k, v)| (k, v)), inputs)?))
            }
        }
    }

    fn text(&self, text: &str, at: Place, inputs: &BTreeMap<String, Input>) -> Result<Argument, PlaybookError> {
        if holds_password(text) {
            return Err(self.password(at, "this argument"));
        }
        let Some(name) = text.strip_prefix('$') else { return Ok(Argument::Literal(text.into())) };
        if name.starts_with('$') {
            return Ok(Argument::Literal(name.into()));
        }
        if !inputs.contains_key(name) {
            let known: BTreeSet<String> = inputs.keys().map(|name| format!("${name}")).collect();
            let known =
                if known.is_empty() { "none".to_owned() } else { known.into_iter().collect::<Vec<_>>().join(", ") };
            return Err(self.error(
                at,
                format!("`{text}` refers to no input"),
                format!(
                    "inputs of this playbook: {known}; a text that starts with a dollar sign is written `$${name}`"
                ),
            ));
        }
        Ok(Argument::Input(name.to_owned()))
    }

    fn not_blank(&self, key: &str, value: &Spanned<String>) -> Result<(), PlaybookError> {
        if value.value.trim().is_empty() {
            return Err(self.error(place(value), format!("`{key}` is empty"), format!("give `{key}` a value")));
        }
        Ok(())
    }

    fn password(&self, at: Place, what: &str) -> PlaybookError {
        self.error(
            at,
            format!("{what} holds a password in plain text"),
            "declare a secret input with an `env` and refer to it",
        )
    }

    fn error(&self, at: Place, message: impl fmt::Display, hint: impl fmt::Display) -> PlaybookError {
        PlaybookError { file: located(self.file, Some(at)), message: message.to_string(), hint: hint.to_string() }
    }
}

/// Lowercase letters, digits and `joint`, a letter first.
fn is_word(text: &str, joint: char) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint)
}
