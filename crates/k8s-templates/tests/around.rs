//! What is around a workload: policies, the way in, tasks, what Config Connector makes. Each way of breaking it is found.

mod common;

use common::{everything, objects, read, set_at, tasks, way_in, workload};
use k8s_templates::{Certificate, Object, Problem, Reach, check, service_export};
use serde_json::{Value, json};

#[test]
fn finds_what_is_wrong_around_a_workload() {
    let check = |title: &str, pointer: &str, value: Value, path: &str, message: &str| {
        let problems = break_title(everything(), title, pointer, value);
        let found = problems.iter().any(|p| p.object == title && p.path == path && p.message.contains(message));
        assert!(found, "{title} {pointer}: wanted {path}: {message}, got {problems:#?}");
    };
    let policy = "NetworkPolicy api";
    check(policy, "/spec/podSelector/matchLabels", json!({"app": "x"}), "spec.podSelector", "selects no pods");
    check(policy, "/spec/policyTypes", json!(["Ingress"]), "spec.policyTypes", "Egress is not listed");
    check(policy, "/spec/ingress/0/from", json!([]), "spec.ingress", "lets everybody through");
    check(
        policy,
        "/spec/egress/0/to/0/podSelector/matchLabels",
        json!({"app": "x"}),
        "spec.egress.to[0].podSelector",
        "selects no pods",
    );
    check(
        policy,
        "/spec/egress/0/to/0/ipBlock",
        json!({"cidr": "10.0.0.0/8"}),
        "spec.egress.to[0]",
        "addresses and pods at once",
    );

    check("Gateway shop", "/metadata/annotations", json!({}), "spec.listeners[1].tls", "no certificate");
    check("Gateway shop", "/spec/listeners/1/name", json!("http"), "spec.listeners[1].name", "there twice");
    let route = "HTTPRoute api";
    check(route, "/spec/parentRefs/0/name", json!("x"), "spec.parentRefs[0].name", "no Gateway `x`");
    check(route, "/spec/parentRefs/0/sectionName", json!("x"), "spec.parentRefs[0].sectionName", "no listener `x`");
    check(route, "/spec/rules/0/backendRefs/0/name", json!("x"), "spec.rules[0].backendRefs[0].name", "no Service `x`");
    check(route, "/spec/rules/0/backendRefs/0/port", json!(8080), "spec.rules[0].backendRefs[0].port", "no port 8080");
    check(route, "/spec/rules/0/backendRefs", json!([]), "spec.rules[0]", "leads nowhere");
    check("HealthCheckPolicy api", "/spec/targetRef/name", json!("x"), "spec.targetRef.name", "no Service `x`");
    check("GCPBackendPolicy api", "/spec/targetRef/kind", json!("Pod"), "spec.targetRef.name", "kind `Pod`");
    check("ServiceExport x", "/metadata/name", json!("x"), "metadata.name", "no Service of this name");

    let job = "Job backfill-1-2-3";
    check(job, "/spec/completions", Value::Null, "spec.completions", "no number of pieces");
    check(job, "/spec/completionMode", json!("NonIndexed"), "spec.backoffLimitPerIndex", "counts by index");
    check(job, "/spec/activeDeadlineSeconds", Value::Null, "spec.activeDeadlineSeconds", "hangs for ever");
    let restart = "spec.template.spec.restartPolicy";
    check(job, "/spec/template/spec/restartPolicy", json!("Always"), restart, "for ever");
    check(job, "/spec/template/spec/restartPolicy", json!("OnFailure"), restart, "sees no failure");
    let cron = "CronJob tidy";
    check(cron, "/spec/schedule", json!("@daily"), "spec.schedule", "no schedule");
    check(cron, "/spec/concurrencyPolicy", json!("Allow"), "spec.concurrencyPolicy", "joined by the next");
    check(
        cron,
        "/spec/jobTemplate/spec/template/spec/containers/0/image",
        json!("x"),
        "spec.jobTemplate.spec.template.spec.containers[0].image",
        "no tag",
    );

    let policy = "metadata.annotations.cnrm.cloud.google.com/deletion-policy";
    let annotation = "/metadata/annotations/cnrm.cloud.google.com~1deletion-policy";
    for title in ["SQLInstance main", "AlloyDBCluster alloy", "RedisCluster cache", "SpannerDatabase shop"] {
        check(title, annotation, json!("delete"), policy, "deletes the data");
    }
    let replica = "SQLInstance main-replica-1";
    check(replica, "/spec/masterInstanceRef/name", json!("x"), "spec.masterInstanceRef.name", "no SQLInstance `x`");
    check("SQLUser shop", "/spec/instanceRef/name", json!("x"), "spec.instanceRef.name", "no SQLInstance `x`");
    check(
        "AlloyDBInstance alloy-read",
        "/spec/clusterRef/name",
        json!("x"),
        "spec.clusterRef.name",
        "no AlloyDBCluster",
    );
    let settings = |rest: &str| format!("spec.settings.{rest}");
    let main = "SQLInstance main";
    let protection = settings("deletionProtectionEnabled");
    check(main, "/spec/settings/deletionProtectionEnabled", json!(false), &protection, "by one command");
    let address = settings("ipConfiguration.ipv4Enabled");
    check(main, "/spec/settings/ipConfiguration/ipv4Enabled", json!(true), &address, "on the internet");
    let backup = settings("backupConfiguration");
    check(main, "/spec/settings/backupConfiguration", Value::Null, &backup, "can't be restored");
    check("IAMPolicyMember shop-api-pods", "/spec/role", json!("roles/editor"), "spec.role", "nearly everything");
    check("IAMPolicyMember shop-api-pods", "/spec/member", json!("allUsers"), "spec.member", "nearly everybody");
}

#[test]
fn a_route_of_a_fleet_leads_to_what_is_exported() {
    let all = |export: bool| {
        let mut all = objects(&workload());
        all.extend(way_in(Reach::GoogleFleet, Certificate::Map("shop".to_owned())));
        all.extend(export.then(|| service_export("api", "shop", "shop")));
        check(&all)
    };
    assert_eq!(all(true), []);
    assert!(all(false).iter().all(|problem| problem.message == "there is no ServiceExport `api`"));
    assert_eq!(all(false).len(), 3);
}

#[test]
fn a_certificate_of_cert_managers_is_a_listener_a_host() {
    let all = way_in(Reach::Cluster, Certificate::Issuer("letsencrypt".to_owned()));
    let kinds: Vec<&str> = all.iter().map(Object::kind).collect();
    assert_eq!(kinds, ["Gateway", "HTTPRoute", "HTTPRoute"]);
    let gateway = serde_json::to_value(&all[0]).unwrap();
    assert_eq!(gateway["spec"]["listeners"][1]["tls"]["certificateRefs"][0]["name"], "api-example-com-tls");
    assert_eq!(gateway["spec"]["listeners"][1]["hostname"], "api.example.com");
}

/// What a sidecar uses does not count, and the pods of a task are nobody's but its own.
#[test]
fn a_task_is_not_taken_for_the_workload() {
    let mut all = objects(&workload());
    all.extend(tasks());
    let value = |title: &str| serde_json::to_value(all.iter().find(|o| o.title() == title).unwrap()).unwrap();
    let service = value("Service api")["spec"]["selector"].clone();
    for title in ["Job migrate-1-2-3", "Job backfill-1-2-3"] {
        assert_ne!(
            value(title)["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
            service["app.kubernetes.io/name"]
        );
    }
    let backfill = value("Job backfill-1-2-3");
    assert_eq!(backfill["spec"]["completionMode"], "Indexed");
    assert_eq!((&backfill["spec"]["completions"], &backfill["spec"]["parallelism"]), (&json!(8), &json!(2)));
    let sidecar = &value("Deployment api")["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(value("HorizontalPodAutoscaler api")["spec"]["metrics"][0]["containerResource"]["container"], "api");
}

/// The same among other objects, by title; one that is renamed is found by its kind.
fn break_title(objects: Vec<Object>, title: &str, pointer: &str, value: Value) -> Vec<Problem> {
    let (kind, name) = title.split_once(' ').unwrap();
    let i = objects.iter().position(|o| o.kind() == kind && (o.name() == name || pointer == "/metadata/name")).unwrap();
    let mut objects: Vec<Value> = objects.iter().map(|object| serde_json::to_value(object).unwrap()).collect();
    set_at(&mut objects[i], pointer, value);
    check(&read(objects))
}
