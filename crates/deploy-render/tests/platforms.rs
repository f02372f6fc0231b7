//! What each platform needs of a tier, and every way of not giving it: refused with the place and what to do.

mod common;

use std::path::Path;

use common::{options, system, system_text};
use deploy_render::{DatabaseTarget, SpecError, SystemSpec, render};

/// Replaces `from` (which must be there, below `start`) in a system's file; the error must then name this place and text.
#[track_caller]
fn refuses(name: &str, start: &str, from: &str, to: &str, place: &str, expect: &str) {
    let text = system_text(name);
    let (before, after) = text.split_at(text.find(start).unwrap());
    assert!(after.contains(from), "the file has no `{from}` below `{start}`");
    let broken = format!("{before}{}", after.replacen(from, to, 1));
    let Err(error) = SystemSpec::parse(&broken, Path::new("system.yaml")) else { panic!("`{to}` is not refused") };
    let SpecError::Invalid { problems, .. } = &error else { panic!("{error}") };
    let found = problems.iter().any(|p| p.at.ends_with(place) && p.message.contains(expect) && !p.remedy.is_empty());
    assert!(found, "wanted `{place}` and `{expect}`, got: {error}");
}

#[test]
fn a_platform_without_what_it_needs() {
    let check = |platforms: &str, place: &str, expect: &str| {
        refuses("oviya", "\n  tier0:", "platforms: [vercel]", &format!("platforms: {platforms}"), place, expect);
    };
    check("[]", "render.platforms", "nothing would be rendered");
    check("[vercel, vercel]", "platforms[1]", "vercel is there twice");
    check("[docker, compose]", "machine", "compose can't do without it");
    check("[compose]", "platforms", "compose can't do without it");
    check("[render]", "platforms", "render can't do without it");
    check("[docker, render]", "regions.render", "render can't do without it");
    check("[docker, kubernetes]", "namespace", "kubernetes can't do without it");
    check("[docker, kubernetes]", "registry", "kubernetes can't do without it");
    check("[docker, kubernetes]", "sources[0].base_image", "an image is built from it");
    check("[docker, kubernetes]", "services[0].command", "no program to start");
    check("[docker, kubernetes]", "services[0].port", "keeps running needs it");
    check("[docker, kubernetes]", "services[0].shutdown", "keeps running needs it");
    check("[docker, kubernetes]", "cluster", "kubernetes can't do without it");
    check("[config_connector]", "platforms", "config_connector can't do without it");
    check("[config_connector]", "google_cloud", "config_connector can't do without it");
    check("[config_connector]", "regions.google_cloud", "config_connector can't do without it");
    check("[argocd]", "platforms", "argocd can't do without it");
    check("[argocd]", "repository", "argocd can't do without it");
    check("[cloud_run]", "google_cloud", "cloud_run can't do without it");
    check("[deno]", "deno", "deno can't do without it");
    check("[cloudflare]", "cdn", "cloudflare can't do without it");
    check("[prometheus]", "monitoring", "the rules need it");
}

#[test]
fn services_sources_and_regions_that_do_not_fit() {
    let full = |from: &str, to: &str, place: &str, expect: &str| refuses("iitj", "\n  full:", from, to, place, expect);
    full("source: backend", "source: backhand", "services[0].source", "no source `backhand`");
    full("- name: frontend\n          runtime", "- name: backend\n          runtime", "sources[1]", "there twice");
    full("root: backend", "root: ../backend", "sources[0].root", "no path");
    full("requirements: {set", "# {set", "sources[0].requirements", "nothing would be installed");
    full("file: requirements.txt", "file: /etc/passwd", "sources[0].requirements.file", "no path");
    full("platforms: [vercel]", "platforms: [deno]", "services[3].platforms", "nothing for deno");
    full("platforms: [vercel]", "platforms: [docker]", "services", "there is one Dockerfile");
    full("          schedule: 30 22 * * *\n", "", "services[2].schedule", "not when it runs");
    full("schedule: 30 22 * * *", "schedule: \"@daily\"", "services[2].schedule", "no schedule");
    full("kind: cron", "kind: worker", "services[1].schedule", "only a cron job");
    full("{name: oregon, short: us}", "{name: oregon}", "regions.render[0]", "several regions");
    full("short: eu", "short: us", "regions.render[1]", "`us` is taken");
    full("frankfurt, short", "paris, short", "regions.render[1]", "no region `paris`");
    full(
        "render: [{name: oregon, short: us}, {name: frankfurt, short: eu}]",
        "render: [{name: oregon}]",
        "cdn.load_balancer",
        "one region",
    );
    full("zone: iitj-schedule.example", "zone: localhost", "cdn.zone", "no host name");
    full("render_plan: standard", "render_plan: starter", "services[0].render_plan", "`starter` has 512Mi of memory");
    full("          render_plan: standard\n", "", "services[0].render_plan", "choose one by itself");
    full(
        "render_plan: starter\n        # Six",
        "render_plan: free\n        # Six",
        "services[1].render_plan",
        "only a web service",
    );
    full("service: frontend}", "service: scrape-by-day}", "domains[1]", "no web service");
}

#[test]
fn stores_that_do_not_fit() {
    let full = |from: &str, to: &str, place: &str, expect: &str| refuses("iitj", "\n  full:", from, to, place, expect);
    full(
        "render_plan: basic-1gb",
        "render_plan: standard",
        "database.render_plan",
        "sells no database `standard` today",
    );
    full("disk_gb: 10", "disk_gb: 7", "database.disk_gb", "no disk of 7 GB");
    full("203.0.113.0/24", "0.0.0.0/0", "database.allow_from[0]", "the whole world");
    let stage4 = |from: &str, to: &str, place: &str, expect: &str| {
        refuses("pitchey", "\n  stage4:", from, to, place, expect);
    };
    stage4(
        "        read_url_variable: DATABASE_READ_URL\n",
        "",
        "database.read_url_variable",
        "nobody would read there",
    );
    stage4("read_url_key: read-url", "read_url_key: url", "database.target.read_url_key", "reads go to the primary");
    let stage3 = |from: &str, to: &str, place: &str, expect: &str| {
        refuses("pitchey", "\n  stage3:", from, to, place, expect);
    };
    stage3("direct_url_key: direct-url", "direct_url_key: pooled-url", "database.target.direct_url_key", "the pooler");
    stage3("browser_ttl: 1m", "browser_ttl: 2h", "cdn.cache[1].browser_ttl", "browsers would keep 2h");
    stage3("requests: 20", "requests: 0", "cdn.rate_limits[0].requests", "refuse everybody");
    let phase1 = |from: &str, to: &str, place: &str, expect: &str| {
        refuses("chatbot_saas", "\n  phase1:", from, to, place, expect);
    };
    phase1("        local_image: postgres:17.6-bookworm\n", "", "database.local_image", "no other one to run");
    phase1("        database_memory: 1Gi\n", "", "machine.database_memory", "all of the machine's");
    phase1("        local_memory: 512Mi\n", "", "cache.local_image", "no other one to run");
    phase1("memory: 3584Mi", "memory: 2Gi", "machine.memory", "the machine has 2048 MiB");
}

#[test]
fn parameters_and_indexes_that_are_no_sql() {
    let phase3 = |from: &str, to: &str, place: &str, expect: &str| {
        refuses("chatbot_saas", "\n  phase3:", from, to, place, expect);
    };
    let parameters = "parameters: {shared_buffers: 512MB, ";
    let with = |more: &str| format!("parameters: {{{more}, ");
    phase3(
        parameters,
        &with("\"a; drop table x\": \"1\""),
        "database.parameters.a; drop table x",
        "no name in PostgreSQL",
    );
    phase3(parameters, &with("work_mem: \"1'; x\""), "database.parameters.work_mem", "no value of a parameter");
    phase3(parameters, &with("max_connections: \"500\""), "database.parameters.max_connections", "computed from");
    let stage1 = |from: &str, to: &str, place: &str, expect: &str| {
        refuses("pitchey", "\n  stage1:", from, to, place, expect);
    };
    stage1("name: idx_pitches_status", "name: idx_pitches_user_id", "database.indexes[1].name", "there twice");
    stage1("name: idx_pitches_status", "name: \"a b\"", "database.indexes[1].name", "no name in PostgreSQL");
    stage1("table: pitches", "table: a.b.c", "database.indexes[0].table", "no table");
    stage1("table: pitches", "table: \"pitches; x\"", "database.indexes[0].table", "no name in PostgreSQL");
    stage1("columns: [status]", "columns: []", "database.indexes[1].columns", "has columns");
    stage1("[created_at desc]", "[created_at down]", "database.indexes[2].columns[0]", "no name in PostgreSQL");
}

#[test]
fn a_machine_that_replaces_none() {
    let phase2 = |from: &str, to: &str, expect: &str| {
        refuses("chatbot_saas", "\n  phase2:", from, to, "machine.replaces", expect);
    };
    phase2("replaces: phase1", "replaces: phase3", "no tier before has a machine `phase3`");
    phase2("replaces: phase1", "replaces: phase9", "no tier before has a machine `phase9`");
    phase2("engine: self_hosted", "engine: neon", "no database on both machines");
    phase2("eviction: allkeys-lru", "eviction: noeviction", "nothing in this one may be lost");
}

#[test]
fn kubernetes_that_does_not_fit() {
    let tier2 =
        |from: &str, to: &str, place: &str, expect: &str| refuses("oviya", "\n  tier2:", from, to, place, expect);
    let class = "cluster.gateway.class";
    tier2("class: gke-l7-global-external-managed,", "class: traefik,", class, "`traefik` does not lead");
    tier2(", certificate_map: oviya}", "}", "cluster.gateway", "one place certificates come from");
    tier2("provider: gke", "provider: linode", "cluster.gateway.namespace", "get through to the pods");
    tier2("provider: gke", "provider: linode", "cluster.gateway.certificate_map", "only Google");
    tier2("provider: gke", "provider: linode", "cluster.provider", "runs in a cluster of Google's");
    tier2("secret_store: google", "secret_store: Google", "cluster.secret_store", "is no name");
    tier2("- {host: api.oviya.example, service: api}", "[]", "domains", "nobody outside could reach `api`");
    tier2("- name: worker", "- name: worker-that-takes-jobs-of-chats", "services[1].name", "more than 30 characters");
    tier2("- name: worker", "- name: network", "services[1].name", "another file `network.yaml`");
    tier2("max_unavailable: 1", "max_unavailable: 2", "services[0].max_unavailable", "all 2 may be gone");
    tier2("kind: worker", "kind: job", "services[1].timeout_seconds", "runs and ends");
    tier2("kind: worker", "completions: 4\n          kind: cron", "services[1].completions", "only a job has pieces");
    let tier4 =
        |from: &str, to: &str, place: &str, expect: &str| refuses("oviya", "\n  tier4:", from, to, place, expect);
    tier4("external-managed-mc", "external-managed", class, "does not lead to 3 region(s)");
}

#[test]
fn what_google_does_not_sell() {
    let tier2 =
        |from: &str, to: &str, place: &str, expect: &str| refuses("oviya", "\n  tier2:", from, to, place, expect);
    tier2(" vcpu: 4", " vcpu: 5", "database.vcpu", "Cloud SQL has no machine of 5 CPUs");
    tier2("memory: 16Gi\n        # To begin", "memory: 40Gi\n        # To begin", "database.memory", "4 CPUs and 40Gi");
    tier2("disk_gb: 100", "disk_gb: 5", "database.disk_gb", "below 10 GB");
    tier2("backup_days: 7", "backup_days: 400", "database.backup_days", "outside 1 to 365");
    tier2("        backup_days: 7\n", "", "database.backup_days", "Config Connector makes it");
    tier2("cloud-sql-proxy:2.25.4", "cloud-sql-proxy", "database.instance.proxy_image", "is not pinned");
    tier2("engine: cloud_sql", "engine: neon", "database.instance.proxy_image", "connects to Cloud SQL only");
    tier2("name: oviya-tier2\n", "name: Oviya\n", "database.instance.name", "is no name");
    let tier4 =
        |from: &str, to: &str, place: &str, expect: &str| refuses("oviya", "\n  tier4:", from, to, place, expect);
    tier4("vcpu: 8", "vcpu: 7", "database.vcpu", "AlloyDB has no machine of 7 CPUs");
    tier4("        shards: 3\n", "", "cache.shards", "a cluster has shards");
    tier4("processing_units: 1000", "processing_units: 1500", "stores[0].processing_units", "no size of 1500");
    tier4(" place: nam-eur-asia1,", "", "stores[0].place", "keeps its data somewhere");
}

/// Beside programs that use Cloud SQL or are about to, and nowhere else; and only Google has Google's identities.
#[test]
fn what_depends_on_the_database_and_the_cluster() {
    let check = |name: &str, tier: &str, database, file: &str, expect: &[(&str, bool)]| {
        let set = render(&system(name), tier, &options(database)).unwrap();
        let text = String::from_utf8(set.get(file).unwrap().to_vec()).unwrap();
        for (part, there) in expect {
            assert_eq!(text.contains(part), *there, "{name} {tier} {database:?} {file}: {part}");
        }
    };
    let (source, target) = (DatabaseTarget::Source, DatabaseTarget::Target);
    let proxy = "oviya-prod:us-central1:oviya-tier2-replica-1?port=5433";
    check("oviya", "tier2", source, "k8s/api.yaml", &[(proxy, true), ("port: 6543", true), ("port: 3307", true)]);
    check("oviya", "tier2", target, "k8s/api.yaml", &[(proxy, true), ("port: 6543", true), ("port: 3307", true)]);
    check("oviya", "tier3", source, "k8s/chat-service.yaml", &[(proxy, true), ("port: 3307", true)]);
    check("oviya", "tier3", target, "k8s/chat-service.yaml", &[("cloud-sql-proxy", false), ("port: 3307", true)]);
    check("oviya", "tier3", target, "config-connector/identities.yaml", &[("roles/cloudsql.client", true)]);
    let google = [("iam.gke.io/", false), ("169.254.169.252", false), ("traefik", true)];
    check("pitchey", "stage4", target, "k8s/gateway.yaml", &google);
    check("pitchey", "stage4", target, "k8s/entry.yaml", &[("GCPBackendPolicy", false), ("letsencrypt", true)]);
    let set = render(&system("pitchey"), "stage4", &options(target)).unwrap();
    assert!(set.get("k8s/external-secrets.yaml").is_none(), "Secrets are made by hand there");
    for secret in ["oviya-database-tier1", "oviya-database-tier2"] {
        check("oviya", "tier2", source, "k8s/external-secrets.yaml", &[(secret, true)]);
        check("oviya", "tier2", target, "k8s/external-secrets.yaml", &[(secret, true)]);
    }
}

/// No tier of ours has any of the three.
#[test]
fn what_ends_becomes_jobs() {
    let worker = "kind: worker\n          purpose: takes";
    let tasks = "kind: job\n          timeout_seconds: 3600\n          completions: 8\n          purpose: takes";
    // Only below tier 2: Cloud Run, which is tier 1's, has neither.
    let original = system_text("oviya");
    let (before, tier2) = original.split_at(original.find("\n  tier2:").unwrap());
    let tier2 = tier2.replace(worker, tasks);
    let tier2 = tier2.replace(
        "purpose: HTTP and WebSocket API\n          command: [node, dist/main.js]",
        "purpose: HTTP and WebSocket API\n          pre_deploy: [npm, run, migrate]\n          command: [node, dist/main.js]",
    );
    let text = format!("{before}{tier2}");
    let render_tier2 = |text: &str| {
        let system = SystemSpec::parse(text, Path::new("x")).unwrap();
        let set = render(&system, "tier2", &options(DatabaseTarget::Target)).unwrap();
        assert_eq!(deploy_render::check(&set), []);
        set
    };
    let set = render_tier2(&text);
    let file = |path: &str| String::from_utf8(set.get(path).unwrap().to_vec()).unwrap();
    assert!(file("k8s/api.yaml").contains("name: api-before-release-2-0-0\n"));
    let waves = [r#"argocd.argoproj.io/sync-wave: "1""#, r#"argocd.argoproj.io/sync-wave: "2""#];
    assert!(waves.iter().all(|wave| file("k8s/api.yaml").contains(wave)), "{}", file("k8s/api.yaml"));
    let job = file("k8s/jobs/worker.yaml");
    assert!(
        job.contains("completionMode: Indexed") && job.contains("completions: 8") && job.contains("parallelism: 6")
    );
    // Applying the folder must not start it.
    assert!(!file("k8s/kustomization.yaml").contains("jobs/") && !file("k8s/worker.yaml").contains("kind: Job"));

    let cron = "kind: cron\n          timeout_seconds: 600\n          schedule: 30 3 * * *\n          purpose: takes";
    let (before, tier2) = original.split_at(original.find("\n  tier2:").unwrap());
    let set = render_tier2(&format!("{before}{}", tier2.replace(worker, cron)));
    let worker = String::from_utf8(set.get("k8s/worker.yaml").unwrap().to_vec()).unwrap();
    assert!(worker.contains("kind: CronJob") && worker.contains("schedule: 30 3 * * *"), "{worker}");
}

#[test]
fn a_project_google_would_not_make() {
    for id in ["oviya", "Oviya-prod", "1oviya", "oviya-", "oviya_prod", "o-123456789-123456789-123456789"] {
        let (from, to) = ("{project: oviya-prod,", format!("{{project: {id},"));
        refuses("oviya", "\n  tier2:", from, &to, "google_cloud.project", "can be no project's id");
    }
}

#[test]
fn a_tier_the_programs_do_not_know() {
    let check = |from: &str, to: &str, place: &str, expect: &str| refuses("jumbo", "", from, to, place, expect);
    check(
        "{name: DEPLOYMENT_TIER, value: enterprise,",
        "{name: DEPLOYMENT_TIER, value: platinum,",
        "tiers.enterprise.render.environment[0]",
        "do not handle this value of `DEPLOYMENT_TIER`",
    );
    check("professional, enterprise]\n", "professional]\n", "tiers.enterprise.render.environment[0]", "do not handle");
    check("{name: DEPLOYMENT_TIER, value: free,", "{name: TIER, value: free,", "environment", "tell the tiers apart");
}

/// No tier of ours is an image of Next.js.
#[test]
fn nextjs_becomes_an_image_of_its_standalone_server() {
    let text = system_text("oviya").replace("runtime: nestjs", "runtime: nextjs");
    let system = SystemSpec::parse(&text, Path::new("x")).unwrap();
    let set = render(&system, "tier2", &options(DatabaseTarget::Target)).unwrap();
    assert_eq!(deploy_render::check(&set), []);
    let dockerfile = String::from_utf8(set.get("Dockerfile").unwrap().to_vec()).unwrap();
    assert!(dockerfile.contains("COPY --from=build /app/.next/standalone ./"), "{dockerfile}");
}

/// One service a platform: what runs on Vercel is in no render.yaml, and its variables are in no container.
#[test]
fn a_platform_sees_only_what_runs_there() {
    let set = render(&system("jumbo"), "free", &options(DatabaseTarget::Target)).unwrap();
    let text = |path: &str| String::from_utf8(set.get(path).unwrap().to_vec()).unwrap();
    assert!(!text("render.yaml").contains("VITE_API_URL") && !text("render.yaml").contains("frontend"));
    assert!(text(".env.example").contains("VITE_API_URL"));
    assert_eq!(set.files().map(|(path, _)| path).filter(|path| path.contains("compose")).count(), 0);
}
