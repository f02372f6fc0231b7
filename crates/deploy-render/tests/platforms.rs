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
