//! Objects made from a workload are sound; each way of breaking them is found, at its place.

use std::collections::BTreeMap;

use k8s_templates::{
    Certificate, Delivery, Entry, Env, EnvSource, Identity, IntOrPercent, Object, Opening, Peer, Place, Port, Postgres,
    Probes, Program, Quantity, Reach, Redis, Route, Scaling, Shares, Spanner, SqlProxy, Task, When, Workload,
    allow_dns, alloydb, application, check, cloud_sql, config_map, deny_all, entry, external_secret, identity,
    manifests, namespace, network_policy, redis_cluster, redis_instance, service_account, service_export, spanner,
    task,
};
use serde_json::{Value, json};

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

fn program(name: &str) -> Program {
    Program {
        name: name.to_owned(),
        namespace: "shop".to_owned(),
        part_of: "shop".to_owned(),
        version: "1.2.3".to_owned(),
        account: "api".to_owned(),
        pod_annotations: BTreeMap::new(),
        image: format!("registry.example.com:5000/shop/{name}:1.2.3"),
        args: Vec::new(),
        config_maps: vec!["settings".to_owned()],
        env: vec![Env {
            name: "DATABASE_URL".to_owned(),
            source: EnvSource::Secret { name: "shop-database".to_owned(), key: "url".to_owned() },
        }],
        requests: Shares { cpu: quantity("500m"), memory: quantity("512Mi") },
        limits: Shares { cpu: quantity("2000m"), memory: quantity("2Gi") },
        gpu: None,
        sql_proxy: Some(SqlProxy {
            image: "example.com/cloud-sql-proxy:2.25.4".to_owned(),
            instances: vec![("shop:region:main".to_owned(), 5432)],
        }),
        user_id: 10001,
        tmp_size: quantity("64Mi"),
    }
}

fn workload() -> Workload {
    Workload {
        program: program("api"),
        port: Port { number: 3000, service: Some(80) },
        scaling: Scaling::Cpu { min: 5, max: 20, percent: 70 },
        max_unavailable: IntOrPercent::Int(1),
        probes: Probes {
            startup: "/live".to_owned(),
            startup_seconds: 60,
            readiness: "/ready".to_owned(),
            liveness: "/live".to_owned(),
        },
        pre_stop_seconds: 10,
        drain_seconds: 50,
    }
}

/// A workload with all that is around it.
fn objects(workload: &Workload) -> Vec<Object> {
    let settings = BTreeMap::from([("LOG_LEVEL".to_owned(), "info".to_owned())]);
    let ingress = Opening { peers: vec![Peer::Namespace("gateway".to_owned())], ports: vec![(3000, 3000)] };
    let egress = Opening { peers: vec![Peer::Workload("api".to_owned())], ports: vec![(3000, 3010)] };
    let store_key = ("url".to_owned(), "shop-database-url".to_owned());
    let mut objects = vec![
        namespace("shop", "shop"),
        config_map("settings", "shop", "shop", settings),
        service_account("api", "shop", "shop", Some("shop-api@shop.iam.gserviceaccount.com")),
        deny_all("shop", "shop"),
        allow_dns("shop", "shop", true),
        network_policy("api", "shop", "shop", &[ingress], &[egress]),
        external_secret("shop-database", "shop", "shop", "store", [store_key]),
    ];
    objects.extend(manifests(workload));
    objects
}

fn way_in(reach: Reach, certificate: Certificate) -> Vec<Object> {
    entry(&Entry {
        name: "shop".to_owned(),
        namespace: "shop".to_owned(),
        part_of: "shop".to_owned(),
        class: "class".to_owned(),
        address: None,
        certificate,
        http_port: 80,
        https_port: 443,
        routes: vec![Route {
            service: "api".to_owned(),
            hosts: vec!["api.example.com".to_owned()],
            port: 80,
            health_path: "/ready".to_owned(),
            timeout_seconds: Some(3600),
            drain_seconds: 50,
        }],
        reach,
    })
}

fn tasks() -> Vec<Object> {
    let pieces = When::Started { pieces: 8, at_a_time: 2 };
    let whens =
        [("migrate", When::BeforeRelease), ("backfill", pieces), ("tidy", When::Schedule("0 3 * * *".to_owned()))];
    let task = |(name, when)| task(&Task { program: program(name), when, timeout_seconds: 600 });
    whens.map(task).to_vec()
}

fn cloud() -> Vec<Object> {
    let place = Place {
        project: "shop".to_owned(),
        network: "default".to_owned(),
        namespace: "shop-infra".to_owned(),
        part_of: "shop".to_owned(),
    };
    let server = |name: &str| Postgres {
        name: name.to_owned(),
        region: "us-central1".to_owned(),
        version: 18,
        vcpu: 4,
        memory: quantity("16Gi"),
        disk_gb: Some(100),
        high_availability: true,
        backup_days: 14,
        flags: BTreeMap::from([("max_connections".to_owned(), "500".to_owned())]),
        replicas: 2,
        database: "shop".to_owned(),
        user: "shop".to_owned(),
        password: ("owner".to_owned(), "password".to_owned()),
    };
    let redis = Redis {
        name: "cache".to_owned(),
        region: "us-central1".to_owned(),
        memory: quantity("15Gi"),
        shards: 3,
        eviction: "noeviction".to_owned(),
    };
    let global = Spanner {
        name: "global".to_owned(),
        database: "shop".to_owned(),
        config: "nam-eur-asia1".to_owned(),
        processing_units: 1000,
    };
    let who = Identity {
        id: "shop-api".to_owned(),
        account: ("shop".to_owned(), "api".to_owned()),
        roles: vec!["cloudsql.client"],
    };
    let mut objects = vec![redis_instance(&place, &redis), redis_cluster(&place, &redis)];
    objects.extend(cloud_sql(&place, &server("main")));
    objects.extend(alloydb(&place, &server("alloy")));
    objects.extend(spanner(&place, &global));
    objects.extend(identity(&place, &who));
    objects
}

/// Everything this crate makes.
fn everything() -> Vec<Object> {
    let mut objects = objects(&workload());
    objects.extend(tasks());
    objects.extend(way_in(Reach::Google, Certificate::Map("shop".to_owned())));
    objects.push(service_export("api", "shop", "shop"));
    objects.extend(cloud());
    objects.push(application(&Delivery {
        name: "shop".to_owned(),
        part_of: "shop".to_owned(),
        repository: "https://example.com/shop".to_owned(),
        branch: "main".to_owned(),
        path: "deploy/k8s".to_owned(),
        cluster: None,
        namespace: "shop".to_owned(),
    }));
    objects
}

fn values(workload: &Workload) -> Vec<Value> {
    objects(workload).iter().map(|object| serde_json::to_value(object).unwrap()).collect()
}

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

/// The same among other objects, by title; one that is renamed is found by its kind.
fn break_title(objects: Vec<Object>, title: &str, pointer: &str, value: Value) -> Vec<k8s_templates::Problem> {
    let (kind, name) = title.split_once(' ').unwrap();
    let i = objects.iter().position(|o| o.kind() == kind && (o.name() == name || pointer == "/metadata/name")).unwrap();
    let mut objects: Vec<Value> = objects.iter().map(|object| serde_json::to_value(object).unwrap()).collect();
    set_at(&mut objects[i], pointer, value);
    check(&read(objects))
}

/// Sets a value, or removes it when the new one is null.
fn set_at(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = &key.replace("~1", "/");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("there is no {parent}"));
    match (parent, value) {
        (Value::Object(map), Value::Null) => drop(map.remove(key)),
        (Value::Object(map), value) => drop(map.insert(key.to_owned(), value)),
        (Value::Array(list), value) => list[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
}

fn read(values: Vec<Value>) -> Vec<Object> {
    values.into_iter().map(|value| Object::from_value(value).unwrap_or_else(|e| panic!("{e:?}"))).collect()
}
