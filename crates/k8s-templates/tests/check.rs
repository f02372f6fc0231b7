//! Objects made from a workload are sound; each way of breaking them is found, at its place.

mod common;

use common::{everything, objects, read, set_at, values, workload};
use k8s_templates::{Object, Port, Scaling, Workload, check};
use serde_json::{Value, json};

#[test]
fn what_is_made_is_sound_and_reads_back_the_same() {
    let objects = everything();
    assert_eq!(check(&objects), []);
    for object in objects {
        let value = serde_json::to_value(&object).unwrap();
        assert_eq!(Object::from_value(value).unwrap(), object);
    }
}

#[test]
fn an_autoscaler_owns_the_number_of_pods() {
    let replicas = |workload: &Workload| {
        let deployment = values(workload).into_iter().find(|v| v["kind"] == "Deployment").unwrap();
        deployment["spec"].get("replicas").cloned()
    };
    assert_eq!(replicas(&workload()), None);
    assert_eq!(replicas(&Workload { scaling: Scaling::Fixed(3), ..workload() }), Some(json!(3)));
    let fixed = objects(&Workload { scaling: Scaling::Fixed(3), ..workload() });
    assert!(!fixed.iter().any(|object| object.kind() == "HorizontalPodAutoscaler"));
    assert_eq!(check(&fixed), []);
}

#[test]
fn a_worker_has_no_service() {
    let worker = Workload { port: Port { number: 3001, service: None }, ..workload() };
    assert!(!objects(&worker).iter().any(|object| object.kind() == "Service"));
    assert_eq!(check(&objects(&worker)), []);
}

const C0: &str = "/spec/template/spec/containers/0";

/// Changes one value of one object; the first problem then names this object, this path and this text.
#[test]
fn finds_what_a_schema_cannot_see() {
    let check = |kind: &str, pointer: &str, value: Value, path: &str, message: &str| {
        let problem = break_one(kind, pointer, value);
        let Some(problem) = problem else { panic!("{kind} {pointer}: nothing was found") };
        assert!(problem.object.starts_with(kind), "{kind} {pointer}: {problem}");
        assert_eq!(problem.path, path, "{kind} {pointer}: {problem}");
        assert!(problem.message.contains(message), "{kind} {pointer}: {problem}");
        assert!(!problem.remedy.is_empty());
    };
    let c0 = |rest: &str| format!("{C0}{rest}");
    let at = |rest: &str| format!("spec.template.spec.containers[0]{rest}");

    check("Service", "/spec/selector", json!({"app": "other"}), "spec.selector", "selects no pods");
    check("Service", "/spec/selector", json!({}), "spec.selector", "selects no pods");
    check("Service", "/spec/ports/0/targetPort", json!("grpc"), "spec.ports[0].targetPort", "the port `grpc`");
    check("Service", "/spec/ports/0/targetPort", json!(8080), "spec.ports[0].targetPort", "the port 8080");
    check("Service", "/metadata/namespace", json!("elsewhere"), "spec.selector", "selects no pods");

    check("Deployment", "/spec/replicas", json!(5), "spec.replicas", "an autoscaler owns");
    check("Deployment", "/spec/selector/matchLabels", json!({"app": "x"}), "spec.selector.matchLabels", "its own pods");
    check("Deployment", &c0("/image"), json!("shop/api:latest"), &at(".image"), "another image tomorrow");
    check("Deployment", &c0("/image"), json!("registry:5000/shop/api"), &at(".image"), "no tag");
    check(
        "Deployment",
        &c0("/resources/requests/memory"),
        json!("4Gi"),
        &at(".resources.requests.memory"),
        "may take 2Gi",
    );
    check(
        "Deployment",
        &c0("/resources/requests/cpu"),
        json!("2001m"),
        &at(".resources.requests.cpu"),
        "may take 2000m",
    );
    check("Deployment", &c0("/resources/limits"), json!({"cpu": "2"}), &at(".resources.limits"), "no memory limit");
    check("Deployment", &c0("/readinessProbe"), Value::Null, &at(".readinessProbe"), "there is none");
    check("Deployment", &c0("/livenessProbe/httpGet/port"), json!(9), &at(".livenessProbe.httpGet.port"), "no port 9");
    check("Deployment", &c0("/startupProbe/httpGet/path"), json!("x"), &at(".startupProbe.httpGet.path"), "start with");
    check(
        "Deployment",
        &c0("/lifecycle/preStop/sleep/seconds"),
        json!(60),
        "spec.template.spec.terminationGracePeriodSeconds",
        "60 s of the 60 s",
    );
    check(
        "Deployment",
        &c0("/envFrom/0/configMapRef/name"),
        json!("gone"),
        &at(".envFrom[0].configMapRef.name"),
        "`gone`",
    );
    check("Deployment", &c0("/env/0"), json!({"name": "API_KEY", "value": "abc"}), &at(".env[0].value"), "plain sight");
    check(
        "Deployment",
        &c0("/env/0"),
        json!({"name": "URL", "value": "postgres://a:b@db/x"}),
        &at(".env[0].value"),
        "password in its URL",
    );
    check("Deployment", &c0("/env/0/value"), json!("x"), &at(".env[0]"), "a value and a reference");
    check(
        "Deployment",
        &c0("/env/0/valueFrom"),
        json!({"configMapKeyRef": {"name": "settings", "key": "GONE"}}),
        &at(".env[0].valueFrom.configMapKeyRef"),
        "no key `GONE`",
    );
    check(
        "Deployment",
        &c0("/securityContext/allowPrivilegeEscalation"),
        Value::Null,
        &at(".securityContext.allowPrivilegeEscalation"),
        "may gain",
    );
    check(
        "Deployment",
        &c0("/securityContext/privileged"),
        json!(true),
        &at(".securityContext.privileged"),
        "as good as root",
    );
    check(
        "Deployment",
        &c0("/securityContext/capabilities"),
        Value::Null,
        &at(".securityContext.capabilities.drop"),
        "keeps capabilities",
    );
    check("Deployment", &c0("/volumeMounts/0/name"), json!("x"), &at(".volumeMounts[0].name"), "no volume `x`");
    let pod = "/spec/template/spec";
    check(
        "Deployment",
        &format!("{pod}/securityContext/runAsUser"),
        json!(0),
        "spec.template.spec.securityContext",
        "as root",
    );
    check(
        "Deployment",
        &format!("{pod}/serviceAccountName"),
        json!("x"),
        "spec.template.spec.serviceAccountName",
        "no ServiceAccount",
    );
    check("Deployment", &format!("{pod}/containers"), json!([]), "spec.template.spec.containers", "no container");
    check(
        "Deployment",
        &format!("{pod}/topologySpreadConstraints/0/labelSelector/matchLabels"),
        json!({"app": "x"}),
        "spec.template.spec.topologySpreadConstraints[0].labelSelector",
        "not these",
    );

    let hpa = "HorizontalPodAutoscaler";
    check(hpa, "/spec/minReplicas", json!(21), "spec.minReplicas", "at least 21 and at most 20");
    check(hpa, "/spec/minReplicas", json!(0), "spec.minReplicas", "at least 0");
    check(hpa, "/spec/metrics", json!([]), "spec.metrics", "nothing to scale by");
    check(hpa, "/spec/scaleTargetRef/name", json!("gone"), "spec.scaleTargetRef", "no Deployment `gone`");
    check(
        hpa,
        "/spec/metrics/0/containerResource/target/averageUtilization",
        json!(0),
        "spec.metrics[0].containerResource.target.averageUtilization",
        "never reached",
    );
    let metric = "spec.metrics[0].containerResource";
    let name = format!("{metric}.name");
    check(hpa, "/spec/metrics/0/containerResource/name", json!("gpu"), &name, "requests no gpu");
    let container = format!("{metric}.container");
    check(hpa, "/spec/metrics/0/containerResource/container", json!("x"), &container, "no container `x`");

    let pdb = "PodDisruptionBudget";
    check(pdb, "/spec/maxUnavailable", json!(0), "spec.maxUnavailable", "forbids every eviction");
    check(pdb, "/spec/maxUnavailable", json!("0%"), "spec.maxUnavailable", "forbids every eviction");
    check(pdb, "/spec/maxUnavailable", json!("100%"), "spec.maxUnavailable", "of 5 pods all may go");
    check(pdb, "/spec/minAvailable", json!(1), "spec", "exactly one");
    check(pdb, "/spec/maxUnavailable", Value::Null, "spec", "exactly one");
    check(
        pdb,
        "/spec",
        json!({"minAvailable": 5, "selector": pod_selector()}),
        "spec.minAvailable",
        "of 5 pods all must stay",
    );
    check(
        pdb,
        "/spec",
        json!({"minAvailable": "100%", "selector": pod_selector()}),
        "spec.minAvailable",
        "all must stay",
    );
    check(pdb, "/spec/selector/matchLabels", json!({"app": "x"}), "spec.selector", "selects no pods");

    let changing = json!({"app.kubernetes.io/name": "api", "app.kubernetes.io/version": "1.2.3"});
    check("Deployment", "/spec/selector/matchLabels", changing, "spec.selector.matchLabels", "changes with a release");
    let sidecar = format!("{pod}/initContainers/0");
    let sidecar_at = |rest: &str| format!("spec.template.spec.initContainers[0]{rest}");
    check(
        "Deployment",
        &format!("{sidecar}/startupProbe"),
        Value::Null,
        &sidecar_at(".startupProbe"),
        "before the sidecar can serve",
    );
    check("Deployment", &format!("{sidecar}/image"), json!("proxy"), &sidecar_at(".image"), "no tag");
    check(
        "Deployment",
        &c0("/env/0/valueFrom/secretKeyRef/key"),
        json!("gone"),
        &at(".env[0].valueFrom.secretKeyRef"),
        "no ExternalSecret fills the key `gone`",
    );
    check("ExternalSecret", "/spec/data", json!([]), "spec.data", "fills nothing");

    check("ConfigMap", "/data", json!({"JWT_SECRET": "abc"}), "data.JWT_SECRET", "plain sight");
    check("ConfigMap", "/metadata/name", Value::Null, "metadata.name", "no name");
}

#[test]
fn an_autoscaler_needs_requests() {
    let mut objects = values(&workload());
    for object in objects.iter_mut().filter(|object| object["kind"] == "Deployment") {
        *object.pointer_mut(&format!("{C0}/resources/requests")).unwrap() = json!({"memory": "512Mi"});
    }
    let problems = check(&read(objects));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].object, "HorizontalPodAutoscaler api");
    assert!(problems[0].message.contains("requests no cpu"));
}

#[test]
fn finds_an_object_that_is_there_twice() {
    let mut objects = objects(&workload());
    let deployment = objects.iter().find(|object| object.kind() == "Deployment").unwrap().clone();
    objects.push(deployment);
    let problems = check(&objects);
    assert_eq!((problems[0].object.as_str(), problems[0].message.as_str()), ("Deployment api", "it is there twice"));
}

#[test]
fn refuses_unknown_kinds_and_keys() {
    let check = |value: Value, expect: &str| {
        let error = Object::from_value(value).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {source}").contains(expect), "{error}: {source}");
    };
    check(json!({"apiVersion": "v1", "kind": "Pod"}), "kind `Pod` of apiVersion `v1`");
    check(json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"}), "autoscaling/v1");
    check(json!(3), "kind ``");
    check(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dat": {}}),
        "ConfigMap `x` is not as the API has it: unknown field `dat`",
    );
    let mut deployment = values(&workload()).into_iter().find(|v| v["kind"] == "Deployment").unwrap();
    deployment.pointer_mut(&format!("{C0}/resources/requests")).unwrap()["cpu"] = json!("lots");
    check(deployment, "`lots` is no quantity");
}

fn pod_selector() -> Value {
    json!({"matchLabels": {"app.kubernetes.io/name": "api", "app.kubernetes.io/part-of": "shop"}})
}

fn break_one(kind: &str, pointer: &str, value: Value) -> Option<k8s_templates::Problem> {
    let mut objects = values(&workload());
    let object = objects.iter_mut().find(|object| object["kind"] == kind).unwrap();
    set_at(object, pointer, value);
    // A broken Deployment breaks what refers to it; the Deployment's own problem is the one of interest.
    let problems = check(&read(objects));
    problems.into_iter().find(|problem| problem.object.starts_with(kind))
}
