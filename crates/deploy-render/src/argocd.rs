//! Argo CD's Applications: one a cluster.

use k8s_templates::{Delivery, application};

use crate::kubernetes::{Files, Home};
use crate::tier::{Platform, Region};

/// Adds the files of a tier that has the platform; none without a repository, which validation refuses.
pub(crate) fn add_files(home: &Home, files: &mut Files) {
    let spec = home.spec;
    let Some(repository) = spec.repository.as_ref().filter(|_| spec.has(Platform::Argocd)) else { return };
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
        [] | [_] => files.objects.push(deliver(None)),
        regions => files.objects.extend(regions.iter().map(|region| deliver(Some(region)))),
    }
}
