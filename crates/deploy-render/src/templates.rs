//! The templates: built in, replaceable one by one, filled strictly.

mod fault;
mod strict;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tera::{Context, Tera};

pub use fault::TemplateError;

use crate::context::{Subject, page, shell_word};
use crate::tier::{Database, Engine, Kind, Platform, Runtime, TierSpec};
use crate::watch::Scene;
use crate::yaml;

/// In an output's name, stands for each service's own: the template is filled once a service, which it sees as `service`.
const EACH_SERVICE: &str = "{service}";

/// A template: where it is under `templates/`, what it becomes and for which tiers, its built-in text.
struct Template {
    path: &'static str,
    output: &'static str,
    /// The platform whose services it sees; none for all that runs.
    platform: Option<Platform>,
    /// Of the tiers that have the platform, those it is for.
    when: fn(&TierSpec) -> bool,
    text: &'static str,
}

macro_rules! templates {
    ($($path:literal => $output:literal, $platform:expr, $when:expr;)*) => {
        &[$(Template {
            path: $path,
            output: $output,
            platform: $platform,
            when: $when,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../templates/", $path)),
        },)*]
    };
}

/// Every template, the file it becomes, for which platform, and for which of its tiers. A new platform is a row here
/// (or a function beside `kubernetes::files`, where the files follow from typed objects).
///
/// The ignore file is named after the Dockerfile because the build context is the application's root, some folders up,
/// where a plain `.dockerignore` of this folder would not be seen.
static TEMPLATES: &[Template] = templates! {
    "docker/nestjs.Dockerfile.tera" => "Dockerfile", Some(Platform::Docker), |tier| builds(tier, Runtime::Nestjs);
    "docker/nextjs.Dockerfile.tera" => "Dockerfile", Some(Platform::Docker), |tier| builds(tier, Runtime::Nextjs);
    "docker/fastapi.Dockerfile.tera" => "Dockerfile", Some(Platform::Docker), |tier| builds(tier, Runtime::Fastapi);
    "docker/deno.Dockerfile.tera" => "Dockerfile", Some(Platform::Docker), |tier| builds(tier, Runtime::Deno);
    "docker/dockerignore.tera" => "Dockerfile.dockerignore", Some(Platform::Docker), always;
    "docker/compose.yaml.tera" => "compose.yaml", Some(Platform::Compose), always;
    "docker/pgbouncer.ini.tera" => "docker/pgbouncer.ini", Some(Platform::Compose), has_pooler;
    "docker/redis.conf.tera" => "docker/redis.conf", Some(Platform::Compose), |tier| tier.cache.is_some();
    "docker/nginx.conf.tera" => "docker/nginx.conf", Some(Platform::Compose), has_proxy;
    "postgres/tuning.sql.tera" => "postgres/tuning.sql", None, own_postgres;
    "postgres/tuning-undo.sql.tera" => "postgres/tuning-undo.sql", None, own_postgres;
    "postgres/cloud-sql-flags.yaml.tera" => "postgres/cloud-sql-flags.yaml", None, has_cloud_sql;
    "postgres/indexes.sql.tera" => "postgres/indexes.sql", None, has_indexes;
    "postgres/indexes-undo.sql.tera" => "postgres/indexes-undo.sql", None, has_indexes;
    "render/render.yaml.tera" => "render.yaml", Some(Platform::Render), always;
    "k8s/kustomization.yaml.tera" => "k8s/kustomization.yaml", Some(Platform::Kubernetes), always;
    "cloudrun/service.yaml.tera" => "cloudrun/{service}.yaml", Some(Platform::CloudRun), always;
    "cloudrun/cloudbuild.yaml.tera" => "cloudbuild.yaml", Some(Platform::CloudRun), always;
    "vercel/vercel.json.tera" => "vercel.json", Some(Platform::Vercel), always;
    "deno/deno.json.tera" => "deno.json", Some(Platform::Deno), always;
    "cloudflare/cache-rules.json.tera" => "cloudflare/cache-rules.json", Some(Platform::Cloudflare), has_cache_rules;
    "cloudflare/rate-limits.json.tera" => "cloudflare/rate-limits.json", Some(Platform::Cloudflare), has_rate_limits;
    "cloudflare/load-balancer.json.tera" => "cloudflare/load-balancer.json", Some(Platform::Cloudflare), has_balancer;
    "cloudflare/wrangler.jsonc.tera" => "cloudflare/wrangler.jsonc", Some(Platform::Cloudflare), has_assets;
    "github/release.yaml.tera" => ".github/workflows/release.yaml", Some(Platform::GithubActions), always;
    "monitoring/rules.yml.tera" => "monitoring/rules.yml", Some(Platform::Prometheus), always;
    "monitoring/rules_test.yml.tera" => "monitoring/rules_test.yml", Some(Platform::Prometheus), always;
    "monitoring/rules_long_test.yml.tera" => "monitoring/rules_long_test.yml", Some(Platform::Prometheus), always;
    "monitoring/cases.yml.tera" => "included by rules_test.yml and rules_long_test.yml", Some(Platform::Prometheus), never;
    "monitoring/missing.yml.tera" => "monitoring/missing.yml", Some(Platform::Prometheus), always;
    "monitoring/groups.yml.tera" => "included by rules.yml and rules.yaml", Some(Platform::Prometheus), never;
    "monitoring/missing_group.yml.tera" => "included by missing.yml and rules.yaml", Some(Platform::Prometheus), never;
    "monitoring/rules.yaml.tera" => "monitoring/rules.yaml", Some(Platform::Prometheus), in_cluster;
    "monitoring/scrape.yaml.tera" => "monitoring/scrape.yaml", Some(Platform::Prometheus), in_cluster;
    "monitoring/kustomization.yaml.tera" => "monitoring/kustomization.yaml", Some(Platform::Prometheus), in_cluster;
    "cloudmonitoring/README.md.tera" => "cloud-monitoring/README.md", Some(Platform::CloudMonitoring), always;
    "monitoring/missing_test.yml.tera" => "monitoring/missing_test.yml", Some(Platform::Prometheus), always;
    "monitoring/alertmanager.yml.tera" => "monitoring/alertmanager.yml", Some(Platform::Prometheus), always;
    "monitoring/dashboard.json.tera" => "monitoring/dashboard.json", Some(Platform::Prometheus), always;
    "monitoring/RUNBOOK.md.tera" => "monitoring/RUNBOOK.md", Some(Platform::Prometheus), always;
    "monitoring/prometheus.yml.tera" => "monitoring/prometheus.yml", Some(Platform::Prometheus), on_machine;
    "monitoring/blackbox.yml.tera" => "monitoring/blackbox.yml", Some(Platform::Prometheus), on_machine;
    "env/env.example.tera" => ".env.example", None, always;
    "docs/ROLLBACK.md.tera" => "ROLLBACK.md", None, always;
    "docs/MOVE.md.tera" => "MOVE.md", Some(Platform::Compose), replaces_a_machine;
};

fn always(_: &TierSpec) -> bool {
    true
}

/// Of what other templates include.
fn never(_: &TierSpec) -> bool {
    false
}

fn on_machine(tier: &TierSpec) -> bool {
    Scene::of(tier) == Scene::Machine
}

fn has_proxy(tier: &TierSpec) -> bool {
    tier.machine.as_ref().is_some_and(|machine| machine.proxy.is_some())
}

/// A server whose parameters are ours to set.
fn own_postgres(tier: &TierSpec) -> bool {
    let own = |database: &Database| database.engine == Engine::SelfHosted && database.memory.is_some();
    tier.database.as_ref().is_some_and(own)
}

fn has_cloud_sql(tier: &TierSpec) -> bool {
    // Config Connector sets the flags of its instances itself, and undoes what others set.
    !tier.has(Platform::ConfigConnector)
        && tier.database.as_ref().is_some_and(|database| database.engine == Engine::CloudSql)
}

fn has_indexes(tier: &TierSpec) -> bool {
    tier.database.as_ref().is_some_and(|database| !database.indexes.is_empty())
}

fn replaces_a_machine(tier: &TierSpec) -> bool {
    tier.machine.as_ref().is_some_and(|machine| machine.replaces.is_some())
}

fn in_cluster(tier: &TierSpec) -> bool {
    Scene::of(tier) == Scene::Cluster
}

fn builds(tier: &TierSpec, runtime: Runtime) -> bool {
    tier.image_source().is_some_and(|source| source.runtime == runtime)
}

fn has_cache_rules(tier: &TierSpec) -> bool {
    tier.cdn.as_ref().is_some_and(|cdn| !cdn.cache.is_empty())
}

fn has_rate_limits(tier: &TierSpec) -> bool {
    tier.cdn.as_ref().is_some_and(|cdn| !cdn.rate_limits.is_empty())
}

fn has_balancer(tier: &TierSpec) -> bool {
    tier.cdn.as_ref().is_some_and(|cdn| cdn.load_balancer)
}

fn has_assets(tier: &TierSpec) -> bool {
    tier.services.iter().any(|service| service.kind == Kind::Static && service.runs_on(Platform::Cloudflare))
}

fn has_pooler(tier: &TierSpec) -> bool {
    tier.database.as_ref().is_some_and(|database| database.pooler_image.is_some())
}

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
    pub(crate) fn load(dir: Option<&Path>) -> Result<Arc<Self>, TemplateError> {
        // Reading templates takes longer than filling them, and the built-in ones never change.
        static BUILT_IN: OnceLock<Arc<Templates>> = OnceLock::new();
        match (dir, BUILT_IN.get()) {
            (Some(dir), _) => {
                refuse_unknown(dir, dir)?;
                Self::parse(Some(dir)).map(Arc::new)
            }
            (None, Some(templates)) => Ok(Arc::clone(templates)),
            (None, None) => {
                let templates = Arc::new(Self::parse(None)?);
                Ok(Arc::clone(BUILT_IN.get_or_init(|| templates)))
            }
        }
    }

    fn parse(dir: Option<&Path>) -> Result<Self, TemplateError> {
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::new());
        tera.register_filter("yaml", yaml_filter);
        tera.register_filter("compose", compose_filter);
        tera.register_filter("json", json_filter);
        tera.register_filter("argv", argv_filter);
        tera.register_filter("shell", shell_filter);
        let mut sources = HashMap::new();
        for template in TEMPLATES {
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

    /// Fills every template that is for the tier: output path and text, in the order of the table.
    ///
    /// # Errors
    /// When a template names something the page does not have, or calls a filter it can't.
    pub(crate) fn fill(&self, subject: Subject) -> Result<Vec<(String, String)>, TemplateError> {
        let mut pages: Vec<(Option<Platform>, Value, Context)> = Vec::new();
        let mut files = Vec::new();
        for template in TEMPLATES.iter().filter(|template| template.is_for(subject.spec)) {
            if !pages.iter().any(|(platform, ..)| *platform == template.platform) {
                let told = |error: &dyn std::error::Error| TemplateError::page(&error.to_string());
                let value = serde_json::to_value(page(subject, template.platform)).map_err(|error| told(&error))?;
                let context = Context::from_value(value.clone()).map_err(|error| told(&error))?;
                pages.push((template.platform, value, context));
            }
            for (_, value, context) in pages.iter().filter(|(platform, ..)| *platform == template.platform) {
                if !template.output.contains(EACH_SERVICE) {
                    files.push((template.output.to_owned(), self.fill_one(template, value, context)?));
                    continue;
                }
                for service in value["services"].as_array().into_iter().flatten() {
                    let (mut value, mut context) = (value.clone(), context.clone());
                    value["service"] = service.clone();
                    context.insert("service", service);
                    let name = service["name"].as_str().unwrap_or_default();
                    let output = template.output.replace(EACH_SERVICE, name);
                    files.push((output, self.fill_one(template, &value, &context)?));
                }
            }
        }
        Ok(files)
    }

    fn fill_one(&self, template: &Template, page: &Value, context: &Context) -> Result<String, TemplateError> {
        let source = &self.sources[template.path];
        let parsed = self
            .tera
            .get_template(template.path)
            .map_err(|error| TemplateError::from_tera(&error, &source.name, &source.text))?;
        // Tera takes an unknown name in a condition for false; here it is a mistake like any other.
        if let Some(name) = strict::unknown_in_condition(&parsed.ast, page) {
            return Err(TemplateError::unknown_name(&name, &source.name, &source.text));
        }
        let mut text = self
            .tera
            .render(template.path, context)
            .map_err(|error| TemplateError::from_tera(&error, &source.name, &source.text))?;
        // A list that ends the file leaves the blank line that would part it from a next one.
        while text.ends_with("\n\n") {
            text.pop();
        }
        Ok(text)
    }
}

impl Template {
    fn is_for(&self, tier: &TierSpec) -> bool {
        self.platform.is_none_or(|platform| tier.has(platform)) && (self.when)(tier)
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
        // A link to nowhere is not found either, and is somebody's template all the same.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => Ok(None),
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

/// `{{ x | compose }}`: the same in a file where `$NAME` is replaced; a dollar stays a dollar. A list of texts becomes
/// a list, every text quoted.
fn compose_filter(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    let doubled = |text: &str| Value::String(text.replace('$', "$$"));
    if let Some(words) = texts(value) {
        return Ok(Value::String(argv(words.iter().map(|word| doubled(word)))));
    }
    let text = value.as_str().ok_or_else(|| tera::Error::msg("filter `compose` takes a text or a list of texts"))?;
    Ok(Value::String(yaml::inline(&doubled(text))))
}

/// `{{ x | argv }}`: a list of texts as JSON, with blanks between them.
fn argv_filter(value: &Value, _: &HashMap<String, Value>) -> tera::Result<Value> {
    let words = texts(value).ok_or_else(|| tera::Error::msg("filter `argv` takes a list of texts"))?;
    Ok(Value::String(argv(words.into_iter().map(Value::from))))
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn argv(words: impl Iterator<Item = Value>) -> String {
    format!("[{}]", words.map(|word| word.to_string()).collect::<Vec<_>>().join(", "))
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
