//! Rendered files with something wrong in them, as a user's own template could make them: each is found, with its file,
//! its place and what to do.

mod common;

use common::{options, oviya};
use deploy_render::{DatabaseTarget, RenderedSet, check, render};

fn rendered() -> RenderedSet {
    render(&oviya(), "tier2", &options(DatabaseTarget::Target)).unwrap()
}

/// Replaces `from` (which must be there) in a file; the problems must then include this place and this text.
#[track_caller]
fn finds(file: &str, from: &str, to: &str, path: &str, expect: &str) {
    finds_in(rendered(), file, from, to, path, expect);
}

#[track_caller]
fn finds_in(mut set: RenderedSet, file: &str, from: &str, to: &str, path: &str, expect: &str) {
    let text = String::from_utf8(set.get(file).unwrap().to_vec()).unwrap();
    assert!(text.contains(from), "{file} has no `{from}`");
    set.insert(file, text.replacen(from, to, 1)).unwrap();
    let problems = check(&set);
    let found = problems.iter().find(|p| p.file == file && p.path.contains(path) && p.message.contains(expect));
    let Some(problem) = found else { panic!("wanted `{path}`: `{expect}`, got {problems:#?}") };
    assert!(!problem.remedy.is_empty());
}

#[test]
fn kubernetes() {
    let f = "k8s/api.yaml";
    finds(f, "kind: Service\n", "kind: Srvice\n", "", "kind `Srvice`");
    finds(f, "kind: ConfigMap", "kind: [ConfigMap", "", "it is no YAML: ");
    finds(
        f,
        "automountServiceAccountToken: false\n---",
        "automountToken: false\n---",
        "",
        "unknown field `automountToken`",
    );
    finds(
        f,
        "cpu: 500m\n            memory: 512Mi",
        "cpu: 5\n            memory: 512Mi",
        "Deployment api spec.template.spec.containers[0].resources.requests.cpu",
        "may take",
    );
    finds(f, "api:2.0.0", "api:latest", "Deployment api", "another image tomorrow");
    finds(f, "maxUnavailable: 1\n", "maxUnavailable: 0\n", "PodDisruptionBudget api", "forbids every eviction");
    finds(f, "revisionHistoryLimit: 5", "replicas: 5", "Deployment api spec.replicas", "an autoscaler owns");
    finds(f, "targetPort: http", "targetPort: 8080", "Service api", "port 8080");
    finds(f, "LOG_LEVEL: info", "LOG_LEVEL: https://a:b@c/", "ConfigMap api-settings", "password in its URL");
    let k = "k8s/kustomization.yaml";
    finds(k, "- worker.yaml", "- wroker.yaml", "resources[4]", "no file `wroker.yaml`");
    finds(k, "  - worker.yaml\n", "", "resources", "`worker.yaml` is not listed");
    finds(k, "  - worker.yaml", "  - worker.yaml\n  - worker.yaml", "resources[5]", "there twice");
}

#[test]
fn around_the_services_of_kubernetes() {
    let f = "k8s/api.yaml";
    let deployment = "Deployment api spec.template.spec";
    finds(f, "key: jwt-secret", "key: jwt", deployment, "no ExternalSecret fills the key `jwt`");
    finds(f, "serviceAccountName: api", "serviceAccountName: app", deployment, "no ServiceAccount `app`");
    finds(f, "cloud-sql-proxy:2.25.4", "cloud-sql-proxy:latest", "initContainers[0].image", "another image tomorrow");
    finds(f, "        startupProbe:\n", "        readinessProbe:\n", "initContainers[0].startupProbe", "there is none");
    finds(f, "container: api\n", "container: app\n", "HorizontalPodAutoscaler api", "no container `app`");
    finds(f, "  - from:\n", "  - form:\n", "", "unknown field `form`");
    let f = "k8s/entry.yaml";
    finds(f, "networking.gke.io/certmap", "certmap", "Gateway oviya spec.listeners[1].tls", "no certificate");
    finds(f, "sectionName: https", "sectionName: tls", "HTTPRoute api spec.parentRefs[0]", "no listener `tls`");
    finds(f, "port: 80\n---\n", "port: 3000\n---\n", "HTTPRoute api spec.rules[0]", "no port 3000");
    finds(f, "    kind: Service\n    name: api", "    kind: Service\n    name: app", "Policy api", "no Service `app`");
    let f = "k8s/external-secrets.yaml";
    finds(f, "  - secretKey: read-url", "  - secretKey: url", "spec.data[1].secretKey", "there twice");
}

#[test]
fn config_connector() {
    let f = "config-connector/database.yaml";
    let policy = "deletion-policy: abandon";
    finds(f, policy, "deletion-policy: delete", "SQLInstance oviya-tier2 metadata", "deletes the data");
    finds(f, "ipv4Enabled: false", "ipv4Enabled: true", "SQLInstance oviya-tier2 spec", "on the internet");
    finds(
        f,
        "pointInTimeRecoveryEnabled: true",
        "pointInTimeRecoveryEnabled: false",
        "spec.settings",
        "can't be restored",
    );
    finds(
        f,
        "masterInstanceRef:\n    name: oviya-tier2",
        "masterInstanceRef:\n    name: o",
        "replica-1",
        "no SQLInstance",
    );
    finds(
        "config-connector/cache.yaml",
        policy,
        "deletion-policy: delete",
        "RedisInstance oviya-cache",
        "deletes the data",
    );
    let f = "config-connector/identities.yaml";
    finds(f, "roles/cloudsql.client", "roles/editor", "spec.role", "nearly everything");
    finds("config-connector/kustomization.yaml", "- cache.yaml\n", "", "resources", "`cache.yaml` is not listed");
}

#[test]
fn regions_and_argo_cd() {
    let finds = |file: &str, from: &str, to: &str, path: &str, expect: &str| {
        let set = render(&oviya(), "tier4", &options(DatabaseTarget::Target)).unwrap();
        finds_in(set, file, from, to, path, expect);
    };
    let f = "regions/eu/kustomization.yaml";
    finds(f, "../../k8s", "../k8s", "resources[0]", "no file `../k8s`");
    finds(f, "name: redis-secret", "name: redis", "patches[0].target", "no ExternalSecret `redis`");
    finds("regions/us/kustomization.yaml", "- entry.yaml\n", "", "resources", "`entry.yaml` is not listed");
    let f = "regions/us/entry.yaml";
    finds(
        f,
        "kind: ServiceImport\n      name: auth-service",
        "kind: ServiceImport\n      name: x",
        "HTTPRoute",
        "no ServiceExport `x`",
    );
    finds("argocd/application-eu.yaml", "selfHeal: true", "selfheal: true", "", "unknown field `selfheal`");
    finds("config-connector/stores.yaml", "name: oviya-global\n", "name: x\n", "SpannerDatabase", "no SpannerInstance");
}

#[test]
fn compose() {
    let f = "compose.yaml";
    finds(f, "services:\n", "services: [\n", "", "it is no YAML: ");
    finds(f, "name: oviya\n", "name: oviya\n---\nname: b\n", "", "not one mapping");
    finds(f, "image: redis:7.2.11-bookworm", "image: redis", "services.redis.image", "no tag");
    finds(f, "127.0.0.1:3000:3000", "3000:3000", "services.api.ports[0]", "open to the network");
    finds(
        f,
        "{cpus: \"1\", memory: \"512M\"}",
        "{cpus: \"1\"}",
        "services.redis.deploy",
        "all of the machine's memory",
    );
    finds(f, "{cpus: \"1\", memory: \"512M\"}", "{cpus: \"1\", memory: 4G}", "x-machine", "the machine has 8192");
    finds(
        f,
        "test: [CMD, pg_isready, -h",
        "tset: [CMD, pg_isready, -h",
        "services.pgbouncer.healthcheck",
        "nothing asks",
    );
    finds(f, "postgres: {condition", "postgers: {condition", "services.pgbouncer.depends_on", "no `postgers`");
    finds(
        f,
        "secrets: [redis_acl]",
        "secrets: [redis_pw]",
        "services.redis.secrets[0]",
        "no `redis_pw` under `secrets`",
    );
    finds(f, "networks: [edge, data]", "networks: [edge, date]", "services.api.networks[1]", "no `date`");
    finds(f, "- redis-data:/data", "- redis:/data", "services.redis.volumes[1]", "no `redis` under `volumes`");
    finds(f, "./docker/redis.conf:", "./docker/rdis.conf:", "services.redis.volumes[0]", "no file `docker/rdis.conf`");
    finds(f, "LOG_LEVEL: info", "ADMIN_PASSWORD: abc", "services.api.environment.ADMIN_PASSWORD", "plain sight");
    finds(
        f,
        "      - oviya_auth_jwt_secret\n",
        "",
        "services.api.environment.JWT_SECRET_FILE",
        "does not get the secret",
    );
    finds(f, "redis_acl: {file:", "redis_acl: {environment:", "secrets.redis_acl", "not in a file");
}

#[test]
fn render_blueprint() {
    let f = "render.yaml";
    finds(f, "generation: \"off\"", "generation: automatic", "previews.generation", "paid copy");
    finds(f, "plan: pro\n", "plan: starter-512\n", "services[2].plan", "no plan `starter-512`");
    finds(f, "    ipAllowList: []\n", "", "services[2].ipAllowList", "must be there");
    finds(f, "ipAllowList: []", "ipAllowList: [{source: 0.0.0.0/0}]", "services[2].ipAllowList", "whole world");
    finds(f, "    healthCheckPath: /health/ready\n", "", "services[0].healthCheckPath", "gets traffic");
    finds(f, "plan: standard", "plan: free", "services[0].maxShutdownDelaySeconds", "free plan");
    finds(f, "plan: standard", "plan: free", "services[0].scaling", "free plan can't scale");
    finds(f, "minInstances: 2", "minInstances: 20", "services[0].scaling", "at most maxInstances");
    finds(f, "    scaling:", "    disk: {name: d, mountPath: /d}\n    scaling:", "services[0].disk", "can't scale");
    finds(f, "    scaling:", "    numInstances: 2\n    scaling:", "services[0].numInstances", "autoscaling owns");
    finds(f, "name: oviya-worker", "name: oviya-api", "services[1].name", "there twice");
    finds(f, "type: worker", "type: job", "services[1].type", "no type `job`");
    finds(
        f,
        "name: oviya-cache, property",
        "name: oviya-cash, property",
        "services[0].envVars[1].fromService",
        "no `oviya-cash`",
    );
    finds(f, "{type: keyvalue,", "{type: web,", "services[0].envVars[1].fromService.type", "another type");
    finds(
        f,
        "JWT_SECRET\n        sync: false",
        "JWT_SECRET\n        sync: false\n        value: abc",
        "envVars",
        "has a value in plain sight",
    );
    finds(f, "- key: LOG_LEVEL", "- key: LOG_TOKEN", "envVars", "plain sight");
}

#[test]
fn databases_of_a_blueprint() {
    let finds = |from: &str, to: &str, path: &str, expect: &str| {
        let set = render(&common::system("iitj"), "full", &options(DatabaseTarget::Target)).unwrap();
        finds_in(set, "render.yaml", from, to, path, expect);
    };
    let database = "{name: iitj-database, property";
    finds(
        database,
        "{name: iitj-db, property",
        "services[0].envVars[0].fromDatabase",
        "no `iitj-db` under `databases`",
    );
    finds("plan: basic-1gb", "plan: starter", "databases[0].plan", "sells no database `starter` today");
    finds("diskSizeGB: 10", "diskSizeGB: 7", "databases[0].diskSizeGB", "no disk of 7 GB");
    finds("diskSizeGB: 10", "readReplicas: []", "databases[0].readReplicas", "destroys all replicas");
    finds("\"203.0.113.0/24\"", "0.0.0.0/0", "databases[0].ipAllowList", "whole world");
    finds("schedule: \"30 22 * * *\"", "at: night", "services[2].schedule", "not when it runs");
}

#[test]
fn indexes_of_tables_in_use() {
    let finds = |from: &str, to: &str, expect: &str| {
        let set = render(&common::system("pitchey"), "stage1", &options(DatabaseTarget::Target)).unwrap();
        finds_in(set, "postgres/indexes.sql", from, to, "line 12", expect);
    };
    finds("create index concurrently", "create index", "nobody could write");
    finds("\"idx_pitches_user_id\" on", "\"other\" on", "\"other\" has no way back");
}

#[test]
fn docker() {
    let f = "Dockerfile";
    finds(f, "FROM node:22.22.0-bookworm-slim AS build", "FROM node AS build", "line", "no tag");
    finds(f, "USER 10001:10001", "USER root", "stage api", "no number");
    finds(f, "USER 10001:10001", "USER 0", "stage worker", "as root");
    finds(f, "CMD [\"node\",\"dist/main.js\"]", "CMD node dist/main.js", "line", "through a shell");
    finds(f, "CMD [\"node\",\"dist/main.js\"]", "", "stage api", "no CMD");
    finds(f, "HEALTHCHECK", "LABEL x=", "stage api", "no HEALTHCHECK");
    finds(f, "ENV PORT=3000", "ENV API_TOKEN=abc", "line", "plain sight");
    finds(f, "COPY . .", "ADD https://example.com/x .", "line", "not checked");
}

#[test]
fn env_example_and_secrets_anywhere() {
    let f = ".env.example";
    finds(f, "JWT_SECRET=", "JWT_SECRET=abc", "line", "has a value");
    finds(f, "LOG_LEVEL=", "NODE_ENV=", "line", "there twice");
    finds(f, "LOG_LEVEL=info", "LOG_LEVEL", "line", "no assignment");
    finds(f, "LOG_LEVEL=", "log-level=", "line", "no variable's name");
    finds("ROLLBACK.md", "tierlift status", "psql postgres://u:secret@db/x", "line", "URL with a password");
    // Put together here, so that no scanner takes this file for one that holds a key.
    let key = format!("sk-ant-{}", "x".repeat(24));
    finds("ROLLBACK.md", "tierlift status", &key, "line", "begins with `sk-ant-`");
    finds("docker/redis.conf", "dir /data", "-----BEGIN RSA PRIVATE KEY-----", "line", "private key");
}

#[test]
fn what_is_no_text_or_json() {
    let mut set = rendered();
    set.insert("x.bin", [0xff, 0xfe]).unwrap();
    set.insert("x.json", "{").unwrap();
    let problems = check(&set);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].message.contains("UTF-8") && problems[1].message.contains("no JSON"));
}

#[test]
fn no_path_leaves_the_folder() {
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a\\b",
        ".tierlift-set.json",
        "k8s/.tierlift-set.json",
    ] {
        assert!(RenderedSet::default().insert(path, "").is_err(), "{path}");
    }
    assert!(RenderedSet::default().insert("a/b/.c", "").is_ok());
}
