//! Argo CD's Applications: one a cluster.

use k8s_templates::{Delivery, Object, application};

use crate::kubernetes::Home;
use crate::tier::{Platform, Region};

/// Files and objects; nothing without a repository, which validation refuses.
pub(crate) fn files(home: &Home) -> Vec<(String, Vec<Object>)> {
    let spec = home.spec;
    let Some(repository) = spec.repository.as_ref().filter(|_| spec.has(Platform::Argocd)) else { return Vec::new() };
    let deliver = |region: Option<&Region>| {
        let short = region.map(|region| region.short_name());
        let name = home.system.slug();
        let named = |short: &str| format!("{name}-{short}");
        let folder = short.map_or_else(|| "k8s".to_owned(), |short| format!("regions/{short}"));
        let application = application(&Delivery {
            name: short.map_or_else(|| name.clone(), named),
            part_of: home.part_of().to_owned(),
            repository: repository.url.clone(),
            branch: repository.branch.clone(),
            path: format!("{}/{folder}", spec.deploy_path),
            cluster: short.map(named),
            namespace: home.namespace.to_owned(),
        });
        let file = short.map_or_else(|| "application".to_owned(), |short| format!("application-{short}"));
        (format!("argocd/{file}.yaml"), vec![application])
    };
    match spec.regions.google_cloud.as_slice() {
        [] | [_] => vec![deliver(None)],
        regions => regions.iter().map(|region| deliver(Some(region))).collect(),
    }
}
