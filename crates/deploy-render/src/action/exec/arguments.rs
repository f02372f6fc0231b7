//! The arguments of `exec`, read strictly: whatever smells of a shell, or would show a secret, is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use runbook::{Effect, Failure, resolve_secrets};
use serde::Deserialize;
use serde_json::Value;

use super::super::{seconds, unusable};
use super::{EXEC, Exec, Program};

/// A variable the program is given.
pub(super) enum Variable {
    /// Anybody may see it.
    Plain(String),
    /// Nobody may; it comes from this variable of tierlift's own.
    Secret { from: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    argv: Value,
    #[serde(default)]
    undo: Option<Value>,
    #[serde(default)]
    check: Option<Value>,
    #[serde(default)]
    verify: Option<Value>,
    #[serde(default)]
    env: BTreeMap<String, Value>,
    #[serde(default)]
    dir: Option<PathBuf>,
    timeout_seconds: u64,
    #[serde(default)]
    effect: Option<SaidEffect>,
}

/// What can be said of a program without an undo.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SaidEffect {
    ReadOnly,
    Irreversible,
}

const HINT: &str = "give it argv: [program, argument, ...], timeout_seconds, and undo or effect; see docs/actions.md";

const NO_SHELL: &str = "there is no shell: write [program, argument, ...], one item an argument";

impl Exec {
    pub(in super::super) fn parse(with: &Value) -> Result<Self, Failure> {
        let said = Arguments::deserialize(with).map_err(|error| unusable(EXEC, error, HINT))?;
        let effect = effect(said.undo.is_some(), said.effect)?;
        let timeout = seconds(EXEC, said.timeout_seconds)?;
        if let Some(dir) = said.dir.as_ref().filter(|dir| !dir.is_absolute()) {
            let what = format!("dir `{}` is relative, and a run may be resumed from anywhere", dir.display());
            return Err(unusable(EXEC, what, "write the folder's whole path"));
        }
        let variables = variables(&said.env)?;
        let optional = |key, argv: &Option<Value>| argv.as_ref().map(|argv| self::argv(key, argv)).transpose();
        let made = Maker { dir: said.dir.clone(), variables: &variables, timeout };
        Ok(Self {
            program: made.program("argv", argv("argv", &said.argv)?)?,
            undo: optional("undo", &said.undo)?.map(|argv| made.program("undo", argv)).transpose()?,
            check: optional("check", &said.check)?.map(|argv| made.program("check", argv)).transpose()?,
            verify: optional("verify", &said.verify)?.map(|argv| made.program("verify", argv)).transpose()?,
            effect,
            variables: variables.into_iter().map(|(name, variable, _)| (name, variable)).collect(),
            dir: said.dir,
            timeout,
        })
    }
}

/// What all programs of a step have in common.
struct Maker<'a> {
    dir: Option<PathBuf>,
    variables: &'a [(String, Variable, String)],
    timeout: Duration,
}

impl Maker<'_> {
    fn program(&self, key: &str, argv: Vec<String>) -> Result<Program, Failure> {
        let arguments = argv.clone();
        let mut program = Program::new(argv, self.timeout);
        if let Some(dir) = &self.dir {
            program = program.in_dir(dir);
        }
        for (name, variable, value) in self.variables {
            program = match variable {
                Variable::Plain(_) => program.variable(name, Some(value)),
                Variable::Secret { .. } => program.secret(name, value),
            };
        }
        if let Some(at) = arguments.iter().position(|argument| program.secrets().is_in(argument)) {
            return Err(secret_in_argv(key, at));
        }
        for (name, variable, value) in self.variables {
            if matches!(variable, Variable::Plain(_)) && program.secrets().is_in(value) {
                let what = format!("variable {name} is written out and holds a secret");
                return Err(unusable(EXEC, what, "declare it as an input with `secret: true` and refer to that"));
            }
        }
        Ok(program)
    }
}

fn effect(has_undo: bool, said: Option<SaidEffect>) -> Result<Effect, Failure> {
    match (has_undo, said) {
        (true, None) => Ok(Effect::Reversible),
        (false, Some(SaidEffect::ReadOnly)) => Ok(Effect::ReadOnly),
        (false, Some(SaidEffect::Irreversible)) => Ok(Effect::Irreversible),
        (true, Some(_)) => {
            Err(unusable(EXEC, "it has an undo and an effect", "with undo it is reversible: drop effect"))
        }
        (false, None) => Err(unusable(
            EXEC,
            "it has neither undo nor effect",
            "say how it is undone (undo: [...]), or effect: read_only when it changes nothing, or effect: irreversible",
        )),
    }
}

fn argv(key: &str, value: &Value) -> Result<Vec<String>, Failure> {
    let Value::Array(items) = value else {
        let what = match value {
            Value::String(_) => "one text",
            _ => "no list",
        };
        return Err(unusable(EXEC, format!("{key} is {what}"), NO_SHELL));
    };
    let mut argv = Vec::new();
    for (at, item) in items.iter().enumerate() {
        argv.push(match item {
            Value::String(text) if text.contains('\0') => {
                return Err(unusable(EXEC, format!("item {} of {key} holds a zero byte", at + 1), NO_SHELL));
            }
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => item.to_string(),
            Value::Object(_) if secret_name(item).is_some() => return Err(secret_in_argv(key, at)),
            _ => return Err(unusable(EXEC, format!("item {} of {key} is no text", at + 1), NO_SHELL)),
        });
    }
    let Some(program) = argv.first().filter(|program| !program.is_empty()) else {
        return Err(unusable(EXEC, format!("{key} names no program"), NO_SHELL));
    };
    if program.contains(char::is_whitespace) && !program.contains('/') {
        return Err(unusable(EXEC, format!("{key} begins with `{program}`, which is a whole command line"), NO_SHELL));
    }
    if runs_shell_text(&argv) {
        let what = format!("{key} hands a command line to the shell {program}");
        return Err(unusable(
            EXEC,
            what,
            "write the program and its arguments, or put the commands into a script file",
        ));
    }
    Ok(argv)
}

/// Whether it is a shell with `-c`, alone or among other flags (`-lc`).
fn runs_shell_text(argv: &[String]) -> bool {
    const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish"];
    let name = argv[0].rsplit('/').next().unwrap_or(&argv[0]);
    let mut rest = argv[1..].iter();
    while let Some(flag) = rest.next().filter(|argument| argument.starts_with(['-', '+'])) {
        if SHELLS.contains(&name) && !flag.starts_with("--") && flag.contains('c') {
            return true;
        }
        // `-o pipefail`: an option with its name behind it.
        if flag.ends_with(['o', 'O']) {
            rest.next();
        }
    }
    false
}

/// The variables with their values; a secret's is looked up.
fn variables(said: &BTreeMap<String, Value>) -> Result<Vec<(String, Variable, String)>, Failure> {
    if said.len() == 1 && said.get("env").is_some_and(Value::is_string) {
        return Err(unusable(EXEC, "env is one secret", "name each variable: env: {NAME: $secret}"));
    }
    let mut variables = Vec::new();
    for (name, value) in said {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(unusable(
                EXEC,
                format!("`{name}` can't name a variable"),
                "use letters, digits and underscores",
            ));
        }
        let (variable, value) = match value {
            Value::String(text) => (Variable::Plain(text.clone()), text.clone()),
            Value::Number(_) | Value::Bool(_) => (Variable::Plain(value.to_string()), value.to_string()),
            _ => match secret_name(value) {
                Some(from) => {
                    let found = resolve_secrets(value, &|name| std::env::var(name).ok())?;
                    // What `resolve_secrets` makes of a reference is the variable's text.
                    let found = found.as_str().unwrap_or_default().to_owned();
                    (Variable::Secret { from: from.to_owned() }, found)
                }
                None => return Err(unusable(EXEC, format!("variable {name} is no text"), HINT)),
            },
        };
        if value.contains('\0') {
            return Err(unusable(EXEC, format!("variable {name} holds a zero byte"), HINT));
        }
        variables.push((name.clone(), variable, value));
    }
    Ok(variables)
}

/// The variable a reference to a secret names.
fn secret_name(value: &Value) -> Option<&str> {
    value.as_object().filter(|map| map.len() == 1)?.get("env")?.as_str()
}

fn secret_in_argv(key: &str, at: usize) -> Failure {
    let what =
        format!("item {} of {key} is a secret, and anybody on the machine can read a process's arguments", at + 1);
    unusable(EXEC, what, "hand it over in a variable: env: {NAME: $secret}")
}
