//! Changes that putting the old files back would not take back: each is found, with its file, its place and why.

use deploy_render::{RenderedSet, one_way};

fn set(file: &str, text: &str) -> RenderedSet {
    let mut set = RenderedSet::default();
    set.insert(file, text).unwrap();
    set
}

/// From `old` to `new` there is one such change, at this place; an empty `expect` stands for none.
#[track_caller]
fn check(file: &str, old: &str, new: &str, path: &str, expect: &str) {
    let found = one_way(&set(file, old), &set(file, new));
    if expect.is_empty() {
        assert_eq!(found, []);
        return;
    }
    let [problem] = found.as_slice() else { panic!("wanted `{expect}`, got {found:#?}") };
    assert_eq!((problem.file.as_str(), problem.path.as_str()), (file, path));
    assert!(problem.message.contains(expect), "{}", problem.message);
    assert!(problem.remedy.contains("--accept-irreversible"));
}

#[test]
fn render_databases() {
    let database = |field: &str| format!("databases:\n- name: db\n  {field}\n");
    let check = |old: &str, new: &str, field: &str, expect: &str| {
        let path = format!("Render database db {field}");
        check("render.yaml", &database(old), &database(new), path.trim_end(), expect);
    };
    check("diskSizeGB: 20", "diskSizeGB: 10", "diskSizeGB", "from `20` to `10`: Render never shrinks a disk");
    check("diskSizeGB: 20", "plan: basic-1gb", "diskSizeGB", "to nothing: Render never shrinks");
    check("diskSizeGB: 9", "diskSizeGB: 10", "", "");
    check("plan: starter", "plan: basic-256mb", "plan", "`starter` to `basic-256mb`: Render does not sell it any more");
    check("plan: pro-8gb", "plan: basic-1gb", "", "");
    check("region: oregon", "region: frankfurt", "region", "never moves a database");
    check("databaseName: a", "databaseName: b", "databaseName", "makes it once");
    check("user: a", "user: b", "user", "makes it once");
    check("postgresMajorVersion: \"16\"", "postgresMajorVersion: \"18\"", "postgresMajorVersion", "`18` for good");
    check("postgresMajorVersion: \"18\"", "postgresMajorVersion: \"16\"", "postgresMajorVersion", "is refused");
    check("readReplicas: [{name: r}]", "readReplicas: []", "readReplicas", "r goes: Render destroys a replica");
    check("readReplicas: [{name: r}]", "plan: pro-8gb", "readReplicas", "r goes: Render destroys a replica");
    check("readReplicas: [{name: r}]", "readReplicas: [{name: s}, {name: r}]", "", "");
    check("highAvailability: {enabled: false}", "highAvailability: {enabled: true}", "", "");
}

#[test]
fn render_services() {
    let service = |fields: &str| format!("services:\n- name: s\n  {fields}\n");
    let check = |old: &str, new: &str, path: &str, expect: &str| {
        check("render.yaml", &service(old), &service(new), path, expect);
    };
    let store = "type: keyvalue\n  plan: ";
    let plan = "Render key value store s plan";
    check(&format!("{store}pro"), &format!("{store}standard"), plan, "from `pro` to `standard`, which is refused");
    check(&format!("{store}free"), &format!("{store}starter"), plan, "from `free` to `starter` for good");
    check("type: web\n  plan: pro", "type: web\n  plan: standard", "", "");
    check("type: web", "type: worker", "Render service s type", "never changes a service's type");
    check("region: oregon", "region: ohio", "Render service s region", "never moves a service");
    check("disk: {sizeGB: 10}", "disk: {sizeGB: 5}", "Render service s disk.sizeGB", "never shrinks");
    check("disk: {name: d}", "plan: pro", "Render service s disk.name", "from `d` to nothing");
}

#[test]
fn compose() {
    let services = |image: &str| format!("services: {{db: {{image: \"{image}\"}}, cache: {{image: \"redis:7\"}}}}\n");
    let check = |old: &str, new: &str, expect: &str| {
        check("compose.yaml", &services(old), &services(new), "compose service db image", expect);
    };
    check("postgres:16.9", "postgres:18.1-bookworm", "for good: an upgraded data folder is not read");
    check("postgres:16.9", "pgvector/pgvector:0.8.2-pg18", "for good");
    check("pgvector/pgvector:0.8.2-pg18", "postgres:17", "refused");
    check("postgres:16.9", "postgres:16.10", "");
    check("redis:7", "redis:8", "");
}

#[test]
fn kubernetes() {
    let object = |kind: &str, body: &str| format!("kind: {kind}\nmetadata: {{name: x, namespace: home}}\n{body}\n");
    let check = |kind: &str, old: &str, new: &str, field: &str, expect: &str| {
        check(
            "k8s/a.yaml",
            &object(kind, old),
            &object(kind, new),
            format!("{kind} home/x {field}").trim_end(),
            expect,
        );
    };
    check("Deployment", "spec: {selector: {a: b}}", "spec: {selector: {a: c}}", "spec.selector", "another selector");
    check("Deployment", "spec: {replicas: 1}", "spec: {replicas: 2}", "", "");
    check("Job", "spec: {template: {a: 1}}", "spec: {template: {a: 2}}", "spec.template", "deleted first");
    let disk = |size: &str| format!("spec: {{settings: {{diskSize: {size}}}}}");
    check(
        "SQLInstance",
        &disk("100"),
        &disk("50"),
        "spec.settings.diskSize",
        "from `100` to `50`: Cloud SQL never shrinks",
    );
    check("SQLInstance", &disk("50"), &disk("100"), "", "");
    let version = |name: &str| format!("spec: {{databaseVersion: {name}}}");
    check("SQLInstance", &version("POSTGRES_16"), &version("POSTGRES_17"), "spec.databaseVersion", "for good");
    check("SQLInstance", &version("POSTGRES_17"), &version("POSTGRES_16"), "spec.databaseVersion", "refused");
    let storage = |size: &str| format!("spec: {{resources: {{requests: {{storage: {size}}}}}}}");
    let claim = "PersistentVolumeClaim";
    check(claim, &storage("1Ti"), &storage("900Gi"), "spec.resources.requests.storage", "never shrinks");
    check(claim, &storage("900Gi"), &storage("1Ti"), "", "");
    check("RedisInstance", "spec: {tier: BASIC}", "spec: {tier: STANDARD_HA}", "spec.tier", "never changes");
    check("SpannerInstance", "spec: {config: a}", "spec: {config: b}", "spec.config", "operation of its own");
    check("AlloyDBCluster", "spec: {location: a}", "spec: {location: b}", "spec.location", "never moves");
}

#[test]
fn an_object_with_data_that_goes() {
    let with = |annotations: &str| {
        set("k8s/db.yaml", &format!("kind: SQLInstance\nmetadata: {{name: db, annotations: {{{annotations}}}}}\n"))
    };
    let found = one_way(&with(""), &RenderedSet::default());
    assert_eq!((found[0].path.as_str(), found.len()), ("SQLInstance db", 1));
    assert!(found[0].message.contains("deleted with its data"));
    assert_eq!(one_way(&with("cnrm.cloud.google.com/deletion-policy: abandon"), &RenderedSet::default()), []);
    let moved = set("k8s/other.yaml", "kind: SQLInstance\nmetadata: {name: db}\n");
    assert_eq!(one_way(&with(""), &moved), []);
    let stateless = set("k8s/api.yaml", "kind: Deployment\nmetadata: {name: api}\n");
    assert_eq!(one_way(&stateless, &RenderedSet::default()), []);
}
