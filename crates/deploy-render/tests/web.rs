//! Vercel, Deno Deploy, Cloudflare, Cloud Run and GitHub Actions: every way of giving them what they can't do, in
//! system.yaml and in a rendered file, is refused with its place and what to do.
//!
//! The programs that read these files, beside this crate's own checks (see `validators.rs`):
//! `check-jsonschema --schemafile vercel.json */vercel.json`, the same for deno.json, cloudbuild.yaml, cloudrun/*.yaml and
//! (without its comments) wrangler.jsonc; `actionlint` and `zizmor --offline` for .github/workflows/*.yaml.

mod common;

use std::path::Path;

use common::{options, system, system_text};
use deploy_render::{DatabaseTarget, RenderedSet, SpecError, SystemSpec, check, render};

fn rendered(name: &str, tier: &str) -> RenderedSet {
    render(&system(name), tier, &options(DatabaseTarget::Target)).unwrap()
}

fn text(set: &RenderedSet, file: &str) -> String {
    String::from_utf8(set.get(file).unwrap_or_else(|| panic!("no {file}")).to_vec()).unwrap()
}

/// Replaces `from` (which must be there, below `tier`) in a system's file; the error must then name this place and text.
#[track_caller]
fn refuses((name, tier): (&str, &str), from: &str, to: &str, place: &str, expect: &str) {
    let text = system_text(name);
    let (before, after) = text.split_at(text.find(&format!("\n  {tier}:")).unwrap());
    assert!(after.contains(from), "the file has no `{from}` below `{tier}`");
    let broken = format!("{before}{}", after.replacen(from, to, 1));
    let Err(error) = SystemSpec::parse(&broken, Path::new("system.yaml")) else { panic!("`{to}` is not refused") };
    let SpecError::Invalid { problems, .. } = &error else { panic!("{error}") };
    let found = problems.iter().any(|p| p.at.ends_with(place) && p.message.contains(expect) && !p.remedy.is_empty());
    assert!(found, "wanted `{place}` and `{expect}`, got: {error}");
}

/// Replaces `from` (which must be there) in a rendered file; the problems must then include this place and this text.
#[track_caller]
fn finds((name, tier): (&str, &str), file: &str, from: &str, to: &str, path: &str, expect: &str) {
    let mut set = rendered(name, tier);
    let before = text(&set, file);
    assert!(before.contains(from), "{file} has no `{from}`");
    set.insert(file, before.replacen(from, to, 1)).unwrap();
    let problems = check(&set);
    let found = problems.iter().find(|p| p.file == file && p.path.contains(path) && p.message.contains(expect));
    let Some(problem) = found else { panic!("wanted `{path}`: `{expect}`, got {problems:#?}") };
    assert!(!problem.remedy.is_empty());
}

#[test]
fn what_a_plan_of_cloudflare_can_not_do() {
    let stage3 =
        |from: &str, to: &str, place: &str, expect: &str| refuses(("pitchey", "stage3"), from, to, place, expect);
    stage3("period: 10s", "period: 1m", "cdn.rate_limits[0].period", "the plan has no 1m");
    stage3("period: 10s", "period: 11s", "cdn.rate_limits[0].period", "the plan has no 11s");
    stage3("block_for: 10s", "block_for: 1h", "cdn.rate_limits[0].block_for", "the plan has no 1h");
    let again = "rate_limits:\n          - {name: b, path_prefix: /b, requests: 1, period: 10s, block_for: 10s}";
    stage3("rate_limits:", again, "cdn.rate_limits", "the plan has 1 of such rules, here are 2");
    stage3("path_prefix: /assets/", "path_prefix: /", "cdn.cache[0].path_prefix", "those to one user for all others");
    let full = |from: &str, to: &str, place: &str, expect: &str| refuses(("iitj", "full"), from, to, place, expect);
    full("        load_balancer: true\n", "", "render.cdn", "nothing would be rendered");
}

#[test]
fn what_vercel_deno_and_cloud_run_can_not_do() {
    let tier0 = |from: &str, to: &str, place: &str, expect: &str| refuses(("oviya", "tier0"), from, to, place, expect);
    tier0(", functions: \"app/api/**/*\"", "", "services[0].timeout_seconds", "which become functions is not said");
    tier0("kind: web", "kind: worker", "services[0].platforms", "nothing that nobody calls");
    let cron = "kind: cron\n          command: [x]\n          schedule: 0 0 * * *";
    tier0("kind: web", cron, "services[0].platforms", "cron jobs call a path");
    let stage3 =
        |from: &str, to: &str, place: &str, expect: &str| refuses(("pitchey", "stage3"), from, to, place, expect);
    stage3("platforms: [cloudflare]", "platforms: [vercel]", "render.services", "2 services run on Vercel");
    stage3("region: global", "region: eu", "deno.region", "in one part of the world");
    stage3("entrypoint: main.ts", "entrypoint: ../main.ts", "deno.entrypoint", "no path");
    stage3(
        "platforms: [deno]",
        "platforms: [deno]\n          # again\n        - {name: b, kind: web, purpose: b, source: backend, platforms: [deno]}",
        "render.services",
        "is one web service",
    );
    stage3("toolchain: 2.6.3}", "toolchain: latest}", "sources[0].toolchain", "`latest` is no version");
    stage3(", toolchain: 2.6.3}", "}", "sources[0].toolchain", "whatever version is newest");
    stage3("repository: {url", "# {url", "render.repository", "github_actions can't do without it");
    let tier1 = |from: &str, to: &str, place: &str, expect: &str| refuses(("oviya", "tier1"), from, to, place, expect);
    tier1("startup_seconds: 60", "startup_seconds: 300", "services[0].health.startup_seconds", "waits 240 s");
    tier1("timeout_seconds: 3600", "timeout_seconds: 7200", "services[0].timeout_seconds", "after 3600 s");
    tier1("concurrency: 80", "concurrency: 2000", "services[0].concurrency", "1 to 1000");
    let migrates = "concurrency: 80\n          pre_deploy: [npm, run, migrate]";
    tier1("concurrency: 80", migrates, "services[0].pre_deploy", "starts nothing before a release");
    let regions = "google_cloud: [{name: us-central1, short: us}, {name: europe-west1, short: eu}]";
    tier1("google_cloud: [{name: us-central1}]", regions, "regions.google_cloud", "for one region, and here are 2");
    let job = "kind: job\n          purpose: takes";
    tier1("kind: worker\n          purpose: takes", job, "services[1].platforms", "nothing is rendered for its jobs");
}

#[test]
fn a_workflow_that_would_release_nothing() {
    let refuses = |place: (&str, &str), from: &str| {
        refuses(place, from, &from.replace("argocd, ", ""), "render.platforms", "apply no manifests");
    };
    // Another provider's cluster, and three of Google's.
    refuses(("pitchey", "stage4"), "[docker, kubernetes, argocd, vercel,");
    refuses(("oviya", "tier4"), "[docker, kubernetes, config_connector, argocd, ");
}

#[test]
fn vercel_and_deno() {
    let vercel = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("iitj", "free"), "vercel.json", from, to, path, expect);
    };
    vercel("\"framework\": null", "\"framework\" null", "", "no JSON");
    vercel("\"framework\": null", "\"builds\": []", "builds", "old projects only");
    vercel("\"framework\": null", "\"env\": {\"A\": \"b\"}", "env", "old projects only");
    vercel("\"framework\": null", "\"crons\": [{\"path\": \"job\"}]", "crons[0].path", "no path of this project");
    vercel("Strict-Transport-Security", "X-Nothing", "headers", "no answer has strict-transport-security");
    vercel(
        "\"X-Frame-Options\", \"value\": \"DENY\"",
        "\"X-Api-Token\", \"value\": \"abc\"",
        "headers[1]",
        "plain sight",
    );
    let always = "\"Cache-Control\", \"value\": \"immutable\"";
    vercel("\"X-Frame-Options\", \"value\": \"DENY\"", always, "headers[1].headers[2]", "for good");
    finds(
        ("oviya", "tier0"),
        "vercel.json",
        "\"maxDuration\": 60",
        "\"maxDuration\": 6000",
        "maxDuration",
        "no such time",
    );
    let deno = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("pitchey", "stage3"), "deno.json", from, to, path, expect);
    };
    deno("\"org\": \"pitchey\",", "", "deploy.org", "a workflow can't answer");
    deno("\"entrypoint\"", "\"start\"", "deploy.runtime", "what to start");
    deno("\"frozen\": true", "\"frozen\": false", "lock", "other versions than were tested");
    deno("\"org\"", "\"regions\": [\"iad\"], \"org\"", "deploy.regions", "no file says where");
    deno("deno run -P main.ts", "deployctl deploy --regions=iad", "tasks.start", "deployctl is gone");
    deno("deno run -P main.ts", "deno run -A main.ts", "tasks.start", "may do everything");
    let import = |module: &str| format!("\"imports\": {{\"x\": \"{module}\"}}, \"importMap\"");
    deno("\"importMap\"", &import("https://example.com/x.ts"), "imports.x", "no checked version");
    deno("\"importMap\"", &import("jsr:@std/http"), "imports.x", "another one tomorrow");
}

#[test]
fn cloudflare() {
    let cache = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("pitchey", "stage4"), "cloudflare/cache-rules.json", from, to, path, expect);
    };
    cache("cache-pitches", "cache-assets", "rules[1].ref", "there twice");
    cache("\"default\": 3600,", "\"default\": 0,", "rules[0].action_parameters.edge_ttl", "not for how long");
    cache("\\\"/assets/\\\"", "\\\"/\\\"", "rules[0].expression", "those to one user");
    cache("(starts_with", "((starts_with", "rules[0].expression", "no expression");
    cache("set_cache_settings", "set_cash", "rules[0].action", "no action of these rules");
    let limit = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("pitchey", "stage4"), "cloudflare/rate-limits.json", from, to, path, expect);
    };
    limit("\"requests_per_period\": 20", "\"requests_per_period\": 0", "requests_per_period", "refuse everybody");
    limit(", \"ip.src\"", "", "rules[0].ratelimit.characteristics", "each address for itself");
    limit("\"period\": 10", "\"period\": 7", "rules[0].ratelimit.period", "no such time");
    let mut set = rendered("pitchey", "stage4");
    set.insert("cloudflare/rate-limits.json", "{\"rules\": []}").unwrap();
    assert!(check(&set).iter().any(|p| p.message.contains("delete every rule")));
}

#[test]
fn cloud_run() {
    let tier1 = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("oviya", "tier1"), "cloudrun/api.yaml", from, to, path, expect);
    };
    tier1("      name: api-", "      name: apo-", "template.metadata.name", "begins with it");
    tier1("maxScale: \"5\"", "maxScale: \"0\"", "annotations", "maxScale is missing or below");
    tier1("serviceAccountName", "serviceAccount", "serviceAccountName", "default account");
    tier1("api:1.0.0", "api:latest", "containers[0].image", "another image tomorrow");
    tier1("failureThreshold: 12", "failureThreshold: 60", "containers[0].startupProbe", "240 s at most");
    tier1(
        "port: 3000\n            periodSeconds: 30",
        "port: 3001\n            periodSeconds: 30",
        "livenessProbe.httpGet.port",
        "nobody listens",
    );
    tier1("livenessProbe", "livelinessProbe", "containers[0].livenessProbe", "nothing asks");
    tier1("name: LOG_LEVEL", "name: PORT", "containers[0].env", "sets `PORT` itself");
    tier1("name: LOG_LEVEL", "name: API_TOKEN", "containers[0].env", "plain sight");
    tier1("percent: 100", "percent: 50", "spec.traffic", "50 percent");
    tier1("              memory: ", "              mem: ", "resources.limits", "512Mi");
    let build = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("oviya", "tier1"), "cloudbuild.yaml", from, to, path, expect);
    };
    build("name: docker:28.5.1-cli", "name: docker", "steps[2].name", "no tag");
    build("waitFor: [install-app]", "waitFor: [instal-app]", "steps[1].waitFor", "no step `instal-app`");
    let file = text(&rendered("oviya", "tier1"), "cloudbuild.yaml");
    let at = |step: &str| file.find(step).unwrap_or_else(|| panic!("no {step}"));
    assert!(at("id: push-worker") < at("id: deploy-api"), "a service is replaced before every image is there: {file}");
    build("\ntimeout: 2400s", "", "timeout", "after 10 minutes");
    build("\nserviceAccount: ", "\n_x: ", "serviceAccount", "default account");
}

#[test]
fn github_actions() {
    let workflow = |from: &str, to: &str, path: &str, expect: &str| {
        finds(("oviya", "tier2"), ".github/workflows/release.yaml", from, to, path, expect);
    };
    workflow("permissions: {}", "env: {}", "permissions", "by default");
    workflow("  pull_request:", "  pull_request_target:", "on.pull_request_target", "stranger's change");
    workflow("timeout-minutes: 20", "continue-on-error: true", "jobs.test-app.timeout-minutes", "six hours");
    let checkout = "checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd";
    workflow(checkout, "checkout@v6", "jobs.test-app.steps[0].uses", "can become something else");
    workflow("persist-credentials: false", "fetch-depth: 1", "persist-credentials", "checkout's token");
    workflow("workload_identity_provider:", "credentials_json:", "credentials_json", "does not expire");
    let vercel = text(&rendered("pitchey", "stage3"), ".github/workflows/release.yaml");
    assert!(vercel.contains("VERCEL_TOKEN: ${{ secrets.") && !vercel.contains("--token"), "{vercel}");
    workflow("needs: [test-app]", "needs: [test]", "jobs.images.needs", "no job `test`");
    workflow("run: npm ci", "run: echo ${{ github.head_ref }}; npm ci", "steps[2].run", "writes this command");
}

/// The guide's hour at the edge is forced where the plan allows it, and left to the origin where it does not.
#[test]
fn a_time_the_plan_can_not_keep_is_left_to_the_origin() {
    let free = text(&rendered("pitchey", "stage3"), "cloudflare/cache-rules.json");
    assert!(free.contains("bypass_by_default") && !free.contains("\"default\": 3600,\n"), "{free}");
    let origin = text(&rendered("pitchey", "stage3"), "vercel.json");
    assert!(origin.contains("\"CDN-Cache-Control\", \"value\": \"public, max-age=3600\""), "{origin}");
    let pro = text(&rendered("pitchey", "stage4"), "cloudflare/cache-rules.json");
    assert!(pro.contains("\"override_origin\",\n          \"default\": 3600,"), "{pro}");
    assert!(!pro.contains("\"default\": 60}"), "a browser's minute is below the plan's two: {pro}");
}

/// What differs is another revision; what is rendered again is the same one, which Cloud Run takes without a change.
#[test]
fn a_revision_is_named_after_what_it_runs() {
    let revision = |yaml: &str| {
        let system = SystemSpec::parse(yaml, Path::new("x")).unwrap();
        let file = text(&render(&system, "tier1", &options(DatabaseTarget::Target)).unwrap(), "cloudrun/api.yaml");
        file.lines().find(|line| line.trim_start().starts_with("name: api-")).unwrap().trim().to_owned()
    };
    let yaml = system_text("oviya");
    assert_eq!(revision(&yaml), revision(&yaml));
    assert_ne!(revision(&yaml), revision(&yaml.replace("concurrency: 80", "concurrency: 40")));
}

/// No tier of ours has files or a replica on Render.
#[test]
fn render_sends_files_and_has_replicas() {
    let yaml = system_text("iitj").replace("platforms: [vercel]", "platforms: [render]").replace(
        "        url_variable: DATABASE_URL\n        target: {name: iitj-database, url_key: url}",
        "        url_variable: DATABASE_URL\n        read_url_variable: DATABASE_READ_URL\n        read_replicas: 2\n        \
         target: {name: iitj-database, url_key: url, read_url_key: read-url}",
    );
    let yaml = yaml.replace("platforms: [docker, render, vercel", "platforms: [docker, render");
    let system = SystemSpec::parse(&yaml, Path::new("x")).unwrap();
    let set = render(&system, "full", &options(DatabaseTarget::Target)).unwrap();
    assert_eq!(check(&set), []);
    let file = text(&set, "render.yaml");
    for expected in [
        "runtime: static",
        "staticPublishPath: dist",
        "- {type: rewrite, source: /*, destination: /index.html}",
        "path: \"/assets/*\", name: Cache-Control",
        "- name: iitj-database-replica-2",
        "      - key: DATABASE_READ_URL\n        # A Blueprint knows",
        "      paths: [\"backend/**\", \"deploy/full/**\"]",
    ] {
        assert!(file.contains(expected), "no `{expected}` in {file}");
    }
}
