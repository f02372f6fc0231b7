//! How tiers are watched and what stands around their services: every metric has its rule, what is broken is refused with
//! the place and what to do, and the real programs take the files.
//!
//! By hand, in a golden folder: `promtool check rules monitoring/rules.yml monitoring/missing.yml`, `promtool test rules
//! monitoring/*_test.yml`, `promtool check config monitoring/prometheus.yml`, `amtool check-config
//! monitoring/alertmanager.yml`, `kubectl kustomize monitoring`, `nginx -t -c $PWD/docker/nginx.conf`, `squawk
//! postgres/*.sql`, and `redis-server` and `pgbouncer` (1.21 or newer) started with their files.

mod common;

use std::path::Path;

use common::{SYSTEMS, options, system, system_text};
use deploy_render::{DatabaseTarget, Platform, RenderedSet, Rule, SpecError, SystemSpec, check, render};

fn rendered(name: &str, tier: &str) -> RenderedSet {
    render(&system(name), tier, &options(DatabaseTarget::Target)).unwrap()
}

fn text(set: &RenderedSet, file: &str) -> String {
    String::from_utf8(set.get(file).unwrap_or_else(|| panic!("no {file}")).to_vec()).unwrap()
}

/// Every trigger, gate and alert with a metric becomes a rule: none is dropped on the way.
#[test]
fn every_trigger_gate_and_alert_has_its_rule() {
    for name in SYSTEMS {
        let system = system(name);
        for (tier, described) in system.tiers_in_order() {
            let Some(spec) = described.render.as_ref().filter(|spec| spec.has(Platform::Prometheus)) else { continue };
            let metric = |rule: &&Rule| matches!(rule, Rule::Metric { .. });
            let triggers = described.trigger.iter().flat_map(|trigger| &trigger.any_of).filter(metric).count();
            let gates = described.gates.iter().filter(|gate| gate.check.is_some()).count();
            let mine = |tiers: &[String]| tiers.is_empty() || tiers.iter().any(|other| other == tier);
            let alerts = system.alerts.iter().filter(|alert| mine(&alert.tiers)).count();
            let moves = spec.database.as_ref().is_some_and(|database| database.source.is_some());
            let database = if moves { DatabaseTarget::Source } else { DatabaseTarget::Target };
            let rules = text(&render(&system, tier, &options(database)).unwrap(), "monitoring/rules.yml");
            for (origin, expect) in [("trigger", triggers), ("gate", gates), ("alert", alerts)] {
                let found = rules.lines().filter(|line| line.trim() == format!("origin: {origin}")).count();
                assert_eq!(found, expect, "{name} {tier} {origin}");
            }
        }
    }
}

#[test]
fn rules_say_what_the_guide_says() {
    let check = |name: &str, tier: &str, alert: &str, lines: &[&str]| {
        let rules = text(&rendered(name, tier), "monitoring/rules.yml");
        let rule = rules.split("- alert: ").find(|rule| rule.lines().next() == Some(alert));
        let rule = rule.unwrap_or_else(|| panic!("no {alert} in {name} {tier}"));
        for line in lines {
            assert!(rule.contains(line), "{alert} has no `{line}`:\n{rule}");
        }
    };
    check(
        "oviya",
        "tier2",
        "OutgrownActiveUsersFrom4000",
        &[">= 4000\"", "for: \"1h\"", "severity: ticket", "--to tier3"],
    );
    check("oviya", "tier2", "GateResponseTimeSFrom1", &[">= 1\"", "for: \"15m\"", "Response time < 1s"]);
    check("oviya", "tier2", "DatabaseCpuPctAbove80", &["cloudsql_googleapis_com", "for: \"30m\"", "AlloyDB in Tier 3"]);
    check(
        "chatbot_saas",
        "phase1",
        "MemoryPctAbove90",
        &["node_memory_MemAvailable", "for: \"24h\"", "severity: page"],
    );
    check("chatbot_saas", "phase1", "CpuPctAbove85", &["for: \"6h\"", "severity: page"]);
    check("chatbot_saas", "phase1", "MemoryPctAbove80", &["for: \"1w\"", "severity: notice"]);
    // A promise of 99.95% burnt 14.4 times too fast is 99.28% of an hour.
    check("oviya", "tier3", "UptimeBudgetBurnsFast", &["[1h]", "[5m]", "< 99.28)", "severity: page"]);
    // How many users a tier carries is what a load test says.
    check("jumbo", "professional", "GateLoadTestUsersBelow1000", &["jumbo_load_test_users"]);
}

#[test]
fn pools_and_parameters_follow_from_the_server() {
    let pgbouncer = text(&rendered("oviya", "tier2"), "docker/pgbouncer.ini");
    for line in ["default_pool_size = 72", "reserve_pool_size = 8", "max_db_connections = 80"] {
        assert!(pgbouncer.lines().any(|other| other == line), "{pgbouncer}");
    }
    let check = |tier: &str, expect: &[&str]| {
        let tuning = text(&rendered("chatbot_saas", tier), "postgres/tuning.sql");
        for line in expect {
            assert!(tuning.lines().any(|other| other == *line), "no `{line}` in {tuning}");
        }
    };
    check(
        "phase1",
        &["alter system set shared_buffers = '256MB';", "alter system set effective_cache_size = '768MB';"],
    );
    // The guide's own.
    check("phase3", &["alter system set shared_buffers = '512MB';", "alter system set effective_cache_size = '2GB';"]);
    // Cloud SQL sizes itself: flags instead, with the instance where Config Connector makes it, which undoes all others.
    let set = rendered("oviya", "tier2");
    assert!(set.get("postgres/tuning.sql").is_none() && set.get("postgres/cloud-sql-flags.yaml").is_none());
    let instances = text(&set, "config-connector/database.yaml");
    assert_eq!(instances.matches("name: idle_in_transaction_session_timeout").count(), 2, "primary and replica");
    let mut system = system("oviya");
    let spec = system.tiers.get_mut("tier2").unwrap().render.as_mut().unwrap();
    spec.platforms.retain(|platform| *platform != Platform::ConfigConnector);
    let set = render(&system, "tier2", &options(DatabaseTarget::Target)).unwrap();
    let flags = text(&set, "postgres/cloud-sql-flags.yaml");
    assert!(flags.contains("  max_connections: \"500\"\n"), "{flags}");
    assert!(flags.contains("  idle_in_transaction_session_timeout: \"600000\"\n"), "{flags}");
}

/// Replaces `from` (which must be there) in a file; the problems must then include this place and this text.
#[track_caller]
fn finds((name, tier): (&str, &str), file: &str, from: &str, to: &str, path: &str, expect: &str) {
    let mut set = rendered(name, tier);
    let text = text(&set, file);
    assert!(text.contains(from), "{file} has no `{from}`");
    set.insert(file, text.replacen(from, to, 1)).unwrap();
    let problems = check(&set);
    let found = problems.iter().find(|p| p.file == file && p.path.contains(path) && p.message.contains(expect));
    let Some(problem) = found else { panic!("wanted `{path}`: `{expect}`, got {problems:#?}") };
    assert!(!problem.remedy.is_empty());
}

#[test]
fn broken_files_of_monitoring() {
    let phase = ("chatbot_saas", "phase1");
    let f = "monitoring/rules.yml";
    finds(phase, f, "groups:", "groups: [", "", "can't be read");
    finds(phase, f, "severity: page", "severity: urgent", "labels.severity", "no route");
    finds(phase, f, "for: \"24h\"", "for: 0s", "for", "single bad sample");
    finds(phase, f, "runbook_url:", "runbook:", "annotations.runbook_url", "would not know what to do");
    finds(phase, f, "alert: CpuPctAbove85", "alert: CpuPctAbove86", "alert", "has no test");
    finds(phase, f, "alert: CpuPctAbove85", "alert: CpuPctAbove86", "alert", "not in the runbook");
    finds(phase, f, "alert: CpuPctAbove85", "alert: MemoryPctAbove90", "alert", "there twice");
    let f = "monitoring/alertmanager.yml";
    finds(phase, f, "receiver: page", "receiver: pager", "route.routes[0].receiver", "no receiver `pager`");
    finds(phase, f, "severity=\"notice\"", "severity=\"note\"", "route.routes", "nobody is told of `notice`");
    finds(phase, f, "api_url_file: /etc", "api_url: /etc", "receivers[1]", "plain sight");
    let f = "monitoring/prometheus.yml";
    finds(phase, f, "missing.yml", "mising.yml", "rule_files[1]", "no file `mising.yml`");
    finds(phase, f, "node-exporter:9100", "node:9100", "scrape_configs", "no service `node`");
    let f = "monitoring/dashboard.json";
    finds(phase, f, "\"id\": 2,", "\"id\": 1,", "panels[1].id", "there twice");
    finds(phase, f, "\"uid\": \"chatbot-saas-phase1\"", "\"uid\": \"\"", "uid", "1 to 40");
    finds(("pitchey", "stage4"), "monitoring/rules.yaml", "for: \"15m\"", "for: \"0m\"", "for", "single bad sample");
    let f = "cloud-monitoring/policies/ResponseTimeP95MsAbove1500.json";
    let tier1 = ("oviya", "tier1");
    finds(tier1, f, "\"duration\": \"900s\"", "\"duration\": \"15m\"", "conditions[0].duration", "whole minutes");
    finds(tier1, f, "COMPARISON_GT", "COMPARISON_GE", "comparison", "does not know it");
    finds(tier1, f, "metric.type", "metric", "filter", "which metric");
}

#[test]
fn broken_files_of_the_data_plane() {
    let tier2 = ("oviya", "tier2");
    let f = "docker/pgbouncer.ini";
    finds(tier2, f, "default_pool_size = 72", "default_pool_size = 100", "default_pool_size", "PostgreSQL allows 100");
    finds(tier2, f, "auth_type = scram-sha-256", "auth_type = any", "line", "asks nobody");
    finds(tier2, f, "pool_mode = transaction", "pool_mode = statement", "line", "would fail");
    let f = "docker/redis.conf";
    finds(tier2, f, "maxmemory 384mb", "maxmemory 512mb", "maxmemory", "of 512 MiB");
    finds(tier2, f, "maxmemory 384mb", "", "maxmemory", "until it is killed");
    finds(tier2, f, "aclfile", "# aclfile", "aclfile", "whoever reaches it");
    let f = "docker/nginx.conf";
    finds(tier2, f, "http://api:3000", "http://app:3000", "line", "no service `app`");
    finds(tier2, f, "http://api:3000", "http://api:8080", "line", "listens at 3000");
    finds(tier2, f, "location = /health", "location = /up", "", "whether it is well");
    finds(tier2, f, "server_tokens off", "server_tokens on", "server_tokens", "its version");
    let phase = ("chatbot_saas", "phase3");
    let f = "postgres/tuning.sql";
    finds(phase, f, "set shared_buffers", "set shared_bufers", "line", "no way back");
    finds(phase, f, "'512MB';", "'512MB'; alter system set a = '1';", "line", "one transaction");
}

/// Replaces `from` in a system's file; the error must name this place and text.
#[track_caller]
fn refuses(name: &str, from: &str, to: &str, place: &str, expect: &str) {
    let text = system_text(name);
    assert!(text.contains(from), "the file has no `{from}`");
    match SystemSpec::parse(&text.replace(from, to), Path::new("system.yaml")) {
        Ok(_) => panic!("`{to}` is not refused"),
        Err(SpecError::Invalid { problems, .. }) => {
            let found =
                problems.iter().any(|p| p.at.ends_with(place) && p.message.contains(expect) && !p.remedy.is_empty());
            assert!(found, "wanted `{place}` and `{expect}`, got {problems:#?}");
        }
        Err(error) => assert!(error.to_string().contains(expect), "{error}"),
    }
}

#[test]
fn broken_specs() {
    let nginx = "proxy: {image: nginxinc/nginx-unprivileged:1.28.0-bookworm, memory: 64Mi}";
    refuses("oviya", nginx, "", "machine.proxy", "nothing stands before them");
    refuses("oviya", ":1.28.0-bookworm", "", "machine.proxy.image", "");
    refuses("oviya", "memory: 64Mi}", "memory: 9Gi}", "machine.memory", "what runs beside them");
    refuses(
        "chatbot_saas",
        "prom/prometheus:v3.5.0",
        "prom/prometheus:latest",
        "machine.watchers.prometheus.image",
        "",
    );
    refuses("chatbot_saas", "page: pagerduty", "page: pigeon", "", "pigeon");
    refuses("chatbot_saas", "metric: memory_pct", "metric: memory_percent", "trigger.any_of[0]", "memory_percent");
    refuses(
        "oviya",
        "google_cloud: {project: oviya-prod, network: default}",
        "",
        "google_cloud",
        "can't do without it",
    );
    refuses("chatbot_saas", "trigger_for: 1d", "trigger_for: daily", "", "no length of time");
}
