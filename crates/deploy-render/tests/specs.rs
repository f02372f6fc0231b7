//! `system.yaml`: what is read from it, and every way of getting it wrong.

mod common;

use std::path::Path;

use common::{options, oviya, oviya_text};
use deploy_render::{DatabaseTarget, Op, Range, Rule, SpecError, SystemSpec, render};

/// Replaces `from` (which must be there) in Oviya's file; the error must then name this place and this text.
#[track_caller]
fn refuses(from: &str, to: &str, place: &str, expect: &str) {
    refuses_below("", from, to, place, expect);
}

/// The same, from the first place of `start` on.
#[track_caller]
fn refuses_below(start: &str, from: &str, to: &str, place: &str, expect: &str) {
    let text = oviya_text();
    let (before, after) = text.split_at(text.find(start).unwrap());
    assert!(after.contains(from), "the file has no `{from}` any more");
    let broken = format!("{before}{}", after.replacen(from, to, 1));
    let error = SystemSpec::parse(&broken, Path::new("x/system.yaml")).expect_err(to);
    let told = error.to_string();
    assert!(told.starts_with("x/system.yaml"), "{told}");
    assert!(told.contains(place) && told.contains(expect), "wanted `{place}` and `{expect}`, got: {told}");
    if let SpecError::Invalid { problems, .. } = &error {
        assert!(problems.iter().all(|problem| !problem.remedy.is_empty()));
    }
}

#[test]
fn refuses_what_is_no_yaml_of_this_shape_with_line_and_column() {
    let check = |from: &str, to: &str, expect: &str| {
        let text = oviya_text().replacen(from, to, 1);
        let line = 1 + oviya_text()[..oviya_text().find(from).unwrap()].matches('\n').count();
        let error = SystemSpec::parse(&text, Path::new("system.yaml")).unwrap_err();
        let SpecError::Parse { line: found, column, message, .. } = &error else { panic!("{error}") };
        assert!(found.abs_diff(line as u64) <= 1, "{to}: line {line}, told {error}");
        assert!(*column > 0, "{error}");
        assert!(message.contains(expect), "{to}: {error}");
    };
    check("system: oviya\n", "sistem: oviya\n", "unknown field");
    check("title: Oviya\n", "title: Oviya\ntitle: Again\n", "duplicate");
    check("title: Oviya\n", "title: [Oviya\n", "");
    check("title: Oviya\n", "title: {a: b}\n", "");
    check("usd: [50, 150]", "usd: [50]", "from");
    check("usd: [50, 150]", "usd: [50, 150, 200]", "length");
    check("usd: [50, 150]", "usd: cheap", "dollars");
    check("usd: [50, 150]", "usd: -3", "negative");
    check(
        "{metric: active_users, op: \">=\", value: 400}",
        "{metric: active_users, op: \"=>\", value: 400}",
        "a rule is",
    );
    check("for: 1h\n", "for: an hour\n", "`an hour` is no length of time");
    check("severity: ticket\n", "severity: high\n", "high");
    check("kind: web\n", "kind: website\n", "website");
    check("requests: {cpu: 500m, memory: 512Mi}", "requests: {cpu: 500m, memory: 512MB}", "`512MB` is no quantity");
    check("requests: {cpu: 500m, memory: 512Mi}", "requests: {cpu: 500m}", "memory");
    check("engine: cloud_sql", "engine: rds", "rds");
    check("runtime: nestjs", "runtime: cobol", "cobol");
    check("eviction: noeviction", "eviction: never", "never");
    check("max_unavailable: 1\n", "max_unavailable: 120%\n", "`120%` is neither");
    check("port: 3000\n", "port: 70000\n", "");
    check("read_replicas: 1\n        # Cloud", "read_replicas: -1\n        # Cloud", "");
}

#[test]
fn refuses_values_that_contradict_each_other() {
    const T2: &str = "tiers.tier2.render";
    let at = |rest: &str| format!("{T2}.{rest}");
    let in_tier2 = |from: &str, to: &str, rest: &str, expect: &str| {
        refuses_below("\n  tier2:\n", from, to, &at(rest), expect);
    };

    refuses("system: oviya\n", "system: Oviya!\n", "system:", "is no name");
    refuses("  tier4:\n", "  Tier 4:\n", "tiers.Tier 4", "is no name");
    refuses("tier_order: [tier0, ", "tier_order: [tier0, tier9, ", "tier_order[1]", "no tier `tier9`");
    refuses("tier_order: [tier0, ", "tier_order: [tier0, tier0, ", "tier_order[1]", "is there twice");
    refuses("tier_order: [tier0, ", "tier_order: [", "tier_order", "the tier `tier0` is missing");
    refuses("label: Pre-Launch\n", "label: Pre-Launch\n  tier: tier9\n", "status.tier", "no tier `tier9`");
    refuses("users: {min: 500, max: 2000}", "users: {min: 5000, max: 2000}", "tiers.tier1.users", "no range");
    refuses("headline: [100, 200]", "headline: [300, 200]", "tiers.tier0.cost_usd_month.headline", "no range");
    refuses("usd: [50, 150]", "usd: [151, 150]", "tiers.tier0.cost_usd_month.items[1].usd", "no range");
    refuses("  - tiers: [tier0]\n", "  - tiers: [tier9]\n", "alerts[0]", "no tier `tier9`");
    refuses("    to: tier1\n", "    to: tier9\n", "alerts[0]", "no tier `tier9`");
    refuses("    metric: active_users\n", "    metric: users\n", "alerts[0]", "nobody measures `users`");
    refuses("{metric: active_users,", "{metric: users,", "tiers.tier0.trigger.any_of[0]", "nobody measures `users`");
    refuses("{metric: beta_users,", "{metric: users,", "tiers.tier0.gates[5].check", "nobody measures `users`");
    refuses("profit_usd_month: 100}", "profit_usd_month: 101}", "revenue.projections[0]", "revenue less cost");

    in_tier2("namespace: oviya", "namespace: Oviya_App", "namespace", "is no name");
    in_tier2("version: 2.0.0", "version: latest", "version", "is no version");
    in_tier2("base_image: node:22.22.0-bookworm-slim", "base_image: node", "sources[0].base_image", "is not pinned");
    in_tier2(
        "base_image: node:22.22.0-bookworm-slim",
        "base_image: \"node:22\\nRUN x\"",
        "sources[0].base_image",
        "is no image",
    );
    in_tier2("deploy_path: deploy/tier2", "deploy_path: ../tier2", "deploy_path", "is no path");
    in_tier2("render: [{name: oregon}]", "render: [{name: mars}]", "regions.render[0]", "no region `mars`");
    in_tier2("service: api}", "service: worker}", "domains[0]", "no web service");
    in_tier2("host: api.oviya.example", "host: \"api oviya\"", "domains[0]", "is no host name");
    in_tier2("- name: worker\n", "- name: api\n", "services[1]", "is there twice");
    in_tier2("purpose: HTTP and WebSocket API", "purpose: \"HTTP\\nRUN x\"", "services[0].purpose", "line break");
    in_tier2("command: [node, dist/main.js]", "command: []", "services[0].command", "no program");
    in_tier2("port: 3000\n", "port: 80\n", "services[0].port", "outside 1024");
    in_tier2("port: 3000\n", "port: 3000\n          calls: [worker]\n", "services[0].calls", "nobody can call it");
    in_tier2("port: 3000\n", "port: 3000\n          calls: [gone]\n", "services[0].calls", "no service `gone`");
    in_tier2("{readiness: /health/ready", "{readiness: health", "services[0].health.readiness", "no HTTP path");
    in_tier2("startup_seconds: 60", "startup_seconds: 0", "services[0].health.startup_seconds", "outside");
    in_tier2(
        "requests: {cpu: 500m, memory: 512Mi}",
        "requests: {cpu: 500m, memory: 4Gi}",
        "services[0].resources.requests.memory",
        "may take 2Gi at most",
    );
    in_tier2(
        "requests: {cpu: 500m, memory: 512Mi}",
        "requests: {cpu: 0, memory: 512Mi}",
        "services[0].resources.requests.cpu",
        "requests nothing",
    );
    in_tier2("min: 2\n            max: 10", "min: 11\n            max: 10", "services[0].scaling", "at least 11");
    in_tier2("min: 2\n            max: 10", "min: 0\n            max: 10", "services[0].scaling", "at least 0");
    in_tier2("cpu_percent: 70", "cpu_percent: 100", "services[0].scaling.cpu_percent", "outside");
    in_tier2("max_unavailable: 1\n", "max_unavailable: 0\n", "services[0].max_unavailable", "forbids every eviction");
    in_tier2("drain_seconds: 50", "drain_seconds: 500", "services[0].shutdown", "outside");
    in_tier2("render_plan: standard", "render_plan: huge", "services[0].render_plan", "no plan `huge`");
    in_tier2("render_plan: standard", "render_plan: free", "services[0].render_plan", "can't scale");
    in_tier2("{name: LOG_LEVEL, value: info", "{name: log-level, value: info", "environment[2]", "no variable's name");
    in_tier2("{name: LOG_LEVEL, value: info", "{name: NODE_ENV, value: info", "environment[2]", "is there twice");
    in_tier2("{name: LOG_LEVEL, value: info", "{name: LOG_LEVEL", "environment[2]", "needs a value or a secret");
    in_tier2("{name: LOG_LEVEL, value: info", "{name: API_TOKEN, value: abc", "environment[2]", "plain sight");
    in_tier2(
        "{name: LOG_LEVEL, value: info",
        "{name: X_URL, value: \"https://a:b@c\"",
        "environment[2]",
        "plain sight",
    );
    in_tier2("{name: LOG_LEVEL, value: info", "{name: LOG_LEVEL, value: \"a\\nb\"", "environment[2]", "line break");
    in_tier2("used_by: [worker]}", "used_by: [gone]}", "environment[4]", "no service `gone`");
    in_tier2(
        "secret: {name: oviya-anthropic, key: api-key}",
        "secret: {name: oviya-anthropic, key: ../x}",
        "environment[9].secret.key",
        "no key",
    );
    in_tier2(
        "secret: {name: oviya-anthropic, key: api-key}",
        "secret: {name: Oviya, key: x}",
        "environment[9].secret.name",
        "is no name",
    );
    in_tier2(
        "target: {name: oviya-database-tier2",
        "target: {name: oviya-database-tier1",
        "database.target.name",
        "change nothing",
    );
    in_tier2(
        "read_url_key: read-url}",
        "read_url_key: url}",
        "database.target.read_url_key",
        "reads go to the primary",
    );
    in_tier2("pool_size: 10", "pool_size: 100", "database.pool_size", "want 1600");
    in_tier2("version: 18", "version: 9", "database.version", "outside");
    in_tier2("local_image: redis:7.2.11-bookworm", "local_image: redis:latest", "cache.local_image", "not pinned");
    in_tier2("url_variable: REDIS_URL", "url_variable: DATABASE_URL", "cache.url_variable", "is taken");
    in_tier2("memory: 8Gi", "memory: 4Gi", "machine.memory", "the machine has 4096 MiB");
}

#[test]
fn every_problem_is_told_at_once() {
    let text = oviya_text().replacen("port: 3000\n", "port: 80\n", 1).replacen("cpu_percent: 70", "cpu_percent: 0", 1);
    let Err(SpecError::Invalid { problems, .. }) = SystemSpec::parse(&text, Path::new("x")) else { panic!() };
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn has_the_guides_figures() {
    let oviya = oviya();
    assert_eq!(oviya.tier_names().collect::<Vec<_>>(), ["tier0", "tier1", "tier2", "tier3", "tier4"]);
    let check = |tier: &str, users: (u64, u64), cost: (u64, u64), items: Option<(u64, u64)>, gates: usize| {
        let tier = &oviya.tiers[tier];
        assert_eq!(tier.users.map(|found| (found.min, found.max)), Some(users));
        let found = tier.cost_usd_month.as_ref().unwrap();
        assert_eq!(found.headline, Range { min: cost.0, max: Some(cost.1) });
        match items {
            Some((min, max)) => assert_eq!(found.sum(), Range { min, max: Some(max) }),
            None => assert!(found.items.is_empty()),
        }
        assert_eq!(tier.gates.len(), gates);
    };
    check("tier0", (0, 500), (100, 200), Some((75, 175)), 8);
    check("tier1", (500, 2000), (300, 500), Some((300, 525)), 6);
    check("tier2", (2000, 5000), (800, 1200), Some((950, 1250)), 6);
    check("tier3", (5000, 10000), (2000, 3000), Some((2450, 3250)), 7);
    check("tier4", (10000, 50000), (8000, 15000), None, 0);

    let tier2 = &oviya.tiers["tier2"];
    let trigger = tier2.trigger.as_ref().unwrap();
    let Rule::Metric { metric, op, value, .. } = &trigger.any_of[0] else { panic!() };
    assert_eq!((metric.as_str(), *op, *value), ("active_users", Op::AtLeast, 4000.0));
    assert_eq!(trigger.text, "4,000+ users OR response time >1s");
    assert!(matches!(&oviya.tiers["tier3"].trigger.as_ref().unwrap().any_of[1], Rule::Manual { .. }));
    assert!(oviya.tiers["tier4"].users.unwrap().and_more);

    for service in &oviya.tiers["tier3"].render.as_ref().unwrap().services {
        let resources = service.resources.as_ref().unwrap();
        let scaling = service.scaling.as_ref().unwrap();
        assert_eq!((resources.requests.cpu.as_str(), resources.requests.memory.as_str()), ("500m", "512Mi"));
        assert_eq!((resources.limits.cpu.as_str(), resources.limits.memory.as_str()), ("2000m", "2Gi"));
        assert_eq!((scaling.min, scaling.max, scaling.cpu_percent), (5, 20, 70));
    }
}

#[test]
fn a_cost_that_does_not_add_up_is_a_conflict() {
    let oviya = oviya();
    let told = oviya.tiers["tier2"].all_conflicts();
    assert_eq!(told[0], "the cost items sum to $950-1250 a month, the headline says $800-1200");
    assert!(oviya.tiers["tier4"].all_conflicts().is_empty());
}

#[test]
fn a_tier_that_cannot_be_rendered_says_which_can() {
    let check = |system: &str, tier: &str, expect: &str| {
        let error = render(&common::system(system), tier, &options(DatabaseTarget::Target)).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(
        "chatbot_saas",
        "year2",
        "tier `year2` of system `chatbot_saas` has nothing to render (tiers that have: phase1, phase2, phase3)",
    );
    check("oviya", "tier7", "system `oviya` has no tier `tier7` (it has tier0, tier1, tier2, tier3, tier4)");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = SystemSpec::load(Path::new("nowhere/system.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read nowhere/system.yaml");
}

#[test]
fn a_value_can_not_break_out_of_its_place() {
    let nasty = "a: b #'\"\\n${X} {{ y }} `c` $(d) %e <f>";
    let text = oviya_text().replace(
        "{name: LOG_LEVEL, value: info",
        &format!("{{name: LOG_LEVEL, value: {}", serde_json::Value::from(nasty)),
    );
    let system = SystemSpec::parse(&text, Path::new("x")).unwrap();
    let set = render(&system, "tier2", &options(DatabaseTarget::Target)).unwrap();
    assert_eq!(deploy_render::check(&set), []);
    let read = |path: &str| -> Vec<serde_json::Value> {
        serde_saphyr::from_multiple(std::str::from_utf8(set.get(path).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(read("k8s/api.yaml")[0]["data"]["LOG_LEVEL"], nasty);
    // Compose replaces $NAME; two dollars are one.
    assert_eq!(read("compose.yaml")[0]["services"]["api"]["environment"]["LOG_LEVEL"], nasty.replace('$', "$$"));
    let variables = read("render.yaml")[0]["services"][0]["envVars"].clone();
    let variable = variables.as_array().unwrap().iter().find(|v| v["key"] == "LOG_LEVEL").unwrap();
    assert_eq!(variable["value"], nasty);
}
