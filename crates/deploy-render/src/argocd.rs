//! Argo CD's Applications: one a cluster.

use k8s_templates::{Delivery, application};

use crate::kubernetes::{Files, Home};
use crate::tier::{Platform, Region, TierSpec};

/// Their names, each with the region of its cluster where there are several.
pub(crate) fn applications<'a>(slug: &str, spec: &'a TierSpec) -> Vec<(String, Option<&'a Region>)> {
    match spec.regions.google_cloud.as_slice() {
        [] | [_] => vec![(slug.to_owned(), None)],
        regions => regions.iter().map(|region| (format!("{slug}{}", region.suffix()), Some(region))).collect(),
    }
}

/// Adds the files of a tier that has the platform; none without a repository, which validation refuses.
pub(crate) fn add_files(home: &Home, files: &mut Files) {
    let spec = home.spec;
    let Some(repository) = spec.repository.as_ref().filter(|_| spec.has(Platform::Argocd)) else { return };
    for (name, region) in applications(&home.system.slug(), spec) {
        let short = region.map(|region| region.short_name());
        let folder = short.map_or_else(|| "k8s".to_owned(), |short| format!("regions/{short}"));
        let application = application(&Delivery {
            name: name.clone(),
            part_of: home.part_of().to_owned(),
            repository: repository.url.clone(),
            branch: repository.branch.clone(),
            path: format!("{}/{folder}", spec.deploy_path),
            cluster: region.map(|_| name),
            namespace: home.namespace.to_owned(),
        });
        let file = short.map_or_else(|| "application".to_owned(), |short| format!("application-{short}"));
        files.objects.push((format!("argocd/{file}.yaml"), vec![application]));
    }
}
