//! The templates: built in, replaceable one by one, filled strictly.

mod fault;
mod strict;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tera::{Context, Tera};

pub use fault::TemplateError;

use crate::context::{Page, shell_word};
use crate::yaml;

/// A template: where it is under `templates/`, what it becomes, its built-in text.
struct Template {
    path: &'static str,
    output: &'static str,
    text: &'static str,
}

macro_rules! templates {
    ($($path:literal => $output:literal,)*) => {
        [$(Template {
            path: $path,
            output: $output,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/", $path)),
        },)*]
    };
}

/// Every template and the file it becomes.
///
/// The ignore file is named after the Dockerfile because the build context is the application's root, some folders up,
/// where a plain `.dockerignore` of this folder would not be seen.
static TEMPLATES: [Template; 9] = templates! {
    "docker/Dockerfile.tera" => "Dockerfile",
    "docker/dockerignore.tera" => "Dockerfile.dockerignore",
    "docker/compose.yaml.tera" => "compose.yaml",
    "docker/pgbouncer.ini.tera" => "docker/pgbouncer.ini",
    "docker/redis.conf.tera" => "docker/redis.conf",
    "render/render.yaml.tera" => "render.yaml",
    "k8s/kustomization.yaml.tera" => "k8s/kustomization.yaml",
    "env/env.example.tera" => ".env.example",
    "docs/ROLLBACK.md.tera" => "ROLLBACK.md",
};

/// Templates ready to be filled.
pub(crate) struct Templates {
    tera: Tera,
    /// Text and name for errors, by template path.
    sources: HashMap<&'static str, Source>,
}

struct Source {
    text: String,
    name: String,
}

impl Templates {
    /// The built-in templates, with those found in `dir` in their place.
    ///
    /// # Errors
    /// When a template can't be read, is none of ours, or has a mistake.
    pub(crate) fn load(dir: Option<&Path>) -> Result<Self, TemplateError> {
        if let Some(dir) = dir {
            refuse_unknown(dir, dir)?;
        }
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::new());
        tera.register_filter("yaml", yaml_filter);
        tera.register_filter("compose", compose_filter);
        tera.register_filter("json", json_filter);
        tera.register_filter("shell", shell_filter);
        let mut sources = HashMap::new();
        for template in &TEMPLATES {
            let source = match dir {
                Some(dir) => read_override(dir, template)?,
                None => None,
            };
            let source = source.unwrap_or_else(|| Source {
                text: template.text.to_owned(),
                name: format!("templates/{} (built in)", template.path),
            });
            tera.add_raw_template(template.path, &source.text)
                .map_err(|error| TemplateError::from_tera(&error, &source.name, &source.text))?;
            sources.insert(template.path, source);
        }
        Ok(Self { tera, sources })
    }

    /// Fills every template: output path and text, in the order of the table.
    ///
    /// # Errors
    /// When a template names something the page does not have, or calls a filter it can't.
    pub(crate) fn fill(&self, page: &Page) -> Result<Vec<(String, String)>, TemplateError> {
        let value = serde_json::to_value(page).map_err(|error| TemplateError::page(&error.to_string()))?;
        let context = Context::from_value(value.clone()).map_err(|error| TemplateError::page(&error.to_string()))?;
        TEMPLATES.iter().map(|template| self.fill_one(template, &value, &context)).collect()
    }

    fn fill_one(
        &self,
        template: &Template,
        page: &Value,
        context: &Context,
    ) -> Result<(String, String), TemplateError> {
        let source = &self.sources[template.path];
        let parsed = self
            .tera
            .get_template(template.path)
            .map_err(|error| TemplateError::from_tera(&error, &source.name, &source.text))?;
        // Tera takes an unknown name in a condition for false; here it is a mistake like any other.
        if let Some(name) = strict::unknown_in_condition(&parsed.ast, page) {
            return Err(TemplateError::unknown_name(&name, &source.name, &source.text));
        }
        let text = self
            .tera
            .render(template.path, context)
            .map_err(|error| TemplateError::from_tera(&error, &source.name, &source.text))?;
        Ok((template.output.to_owned(), text))
    }
}

/// The built-in templates: path under `templates/` and text, for whoever wants to start from them.
pub fn built_in_templates() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEMPLATES.iter().map(|template| (template.path, template.text))
}

fn read_override(dir: &Path, template: &Template) -> Result<Option<Source>, TemplateError> {
    let path = dir.join(template.path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Source { text, name: path.display().to_string() })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TemplateError::read(&path, &error)),
    }
}

/// A misspelt template would silently change nothing, so it is an error.
fn refuse_unknown(root: &Path, dir: &Path) -> Result<(), TemplateError> {
    let entries = std::fs::read_dir(dir).map_err(|error| TemplateError::read(dir, &error))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|error| TemplateError::read(dir, &error))?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            refuse_unknown(root, &path)?;
            continue;
        }
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        if relative.ends_with(".tera") && !TEMPLATES.iter().any(|template| template.path == relative) {
            let known = TEMPLATES.iter().map(|template| template.path).collect::<Vec<_>>().join(", ");
            return Err(TemplateError::unknown_template(&path, &known));
        }
    }
    Ok(())
}

/// `{{ x | yaml }}`: one line of YAML that means `x`, whatever `x` holds.
fn yaml_filter(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    Ok(Value::String(yaml::inline(value)))
}

/// `{{ x | compose }}`: the same in a file where `$NAME` is replaced; a dollar stays a dollar.
fn compose_filter(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    let text = value.as_str().ok_or_else(|| tera::Error::msg("filter `compose` takes a text"))?;
    Ok(Value::String(yaml::inline(&Value::String(text.replace('$', "$$")))))
}

/// `{{ x | json }}`: JSON, as Dockerfiles want their arrays.
fn json_filter(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    Ok(Value::String(value.to_string()))
}

/// `{{ x | shell }}`: one word of a POSIX shell.
fn shell_filter(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    let text = value.as_str().ok_or_else(|| tera::Error::msg("filter `shell` takes a text"))?;
    Ok(Value::String(shell_word(text)))
}
