//! What a playbook must be told, looked up once; and the last moment's lookup of secrets.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::failure::{Failure, FailureKind};
use crate::playbook::{Argument, Playbook, Step};

/// The inputs of a playbook, resolved: a secret is `{"env": "NAME"}`, anything else its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs(BTreeMap<String, Value>);

impl Inputs {
    /// Looks every input up in the environment given (empty counts as unset, as a shell's `VAR= cmd` means it).
    ///
    /// # Errors
    /// `InvalidInput` when a variable is missing, or when a value that is not declared secret holds a password.
    pub fn resolve(playbook: &Playbook, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let mut values = BTreeMap::new();
        for (name, input) in &playbook.inputs {
            let found = input.env.as_deref().and_then(env).filter(|value| !value.is_empty());
            let object = format!("input {name} of {}", playbook.name);
            let value = match (found, &input.default, &input.env) {
                (Some(_), _, Some(variable)) if input.secret => json!({"env": variable}),
                (Some(value), _, _) if holds_password(&value) => {
                    return Err(Failure::new(
                        FailureKind::InvalidInput,
                        object,
                        "holds a password but is not declared secret",
                        "declare it `secret: true` in the playbook, or take the password out",
                    ));
                }
                (Some(value), _, _) => value.into(),
                (None, Some(default), _) => default.as_str().into(),
                (None, None, variable) => {
                    let variable = variable.as_deref().unwrap_or("its variable");
                    return Err(Failure::new(
                        FailureKind::InvalidInput,
                        object,
                        format!("environment variable {variable} is not set"),
                        match input.description.as_str() {
                            "" => format!("set {variable}"),
                            description => format!("set {variable}: {description}"),
                        },
                    ));
                }
            };
            values.insert(name.clone(), value);
        }
        Ok(Self(values))
    }

    /// One input's value, as it goes into a plan.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All of them.
    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.0
    }

    /// A step's arguments with every `$name` replaced.
    pub fn arguments(&self, step: &Step) -> Value {
        Value::Object(self.map(&step.with))
    }

    fn map(&self, arguments: &BTreeMap<String, Argument>) -> Map<String, Value> {
        arguments.iter().map(|(key, argument)| (key.clone(), self.argument(argument))).collect()
    }

    fn argument(&self, argument: &Argument) -> Value {
        match argument {
            // The playbook was checked: every reference names an input, and every input was resolved.
            Argument::Input(name) => self.0[name].clone(),
            Argument::Literal(value) => value.clone(),
            Argument::List(items) => items.iter().map(|item| self.argument(item)).collect(),
            Argument::Map(entries) => Value::Object(self.map(entries)),
        }
    }
}

/// Replaces each `{"env": "NAME"}` by the variable's value, for a [`Registry`](crate::Registry) about to build an action. What
/// it returns holds secrets: it is for the action alone.
///
/// # Errors
/// `InvalidInput` when a variable is not set.
pub fn resolve_secrets(with: &Value, env: &dyn Fn(&str) -> Option<String>) -> Result<Value, Failure> {
    Ok(match with {
        Value::Object(map) => match (map.len(), map.get("env")) {
            (1, Some(Value::String(name))) => {
                env(name).filter(|value| !value.is_empty()).map(Value::from).ok_or_else(|| {
                    Failure::new(
                        FailureKind::InvalidInput,
                        format!("environment variable {name}"),
                        "is not set, and a step needs the secret in it",
                        format!("set {name} as it was when the plan was made"),
                    )
                })?
            }
            _ => Value::Object(
                map.iter()
                    .map(|(key, value)| Ok((key.clone(), resolve_secrets(value, env)?)))
                    .collect::<Result<_, Failure>>()?,
            ),
        },
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| resolve_secrets(item, env)).collect::<Result<_, _>>()?)
        }
        scalar => scalar.clone(),
    })
}

/// Whether a text is a URL with a password (`scheme://user:password@host`), which must not be written down.
pub fn holds_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@') {
        Some((userinfo, _)) => userinfo.split_once(':').is_some_and(|(_, password)| !password.is_empty()),
        None => rest.split(['?', '&']).any(|p| p.strip_prefix("password=").is_some_and(|v| !v.is_empty())),
    }
}
