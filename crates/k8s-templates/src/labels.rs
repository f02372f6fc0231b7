//! Names and labels that every object has, made in one place so that selectors find what they are meant for.

use crate::core::LabelSelector;
use crate::object::{Labels, Metadata};

/// Name, namespace and labels.
pub(crate) fn metadata(name: &str, namespace: &str, part_of: &str) -> Metadata {
    Metadata {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: common_labels(name, part_of),
        annotations: Labels::new(),
    }
}

/// A selector can't be changed later, so it has only what never changes.
pub(crate) fn selector(name: &str, part_of: &str) -> LabelSelector {
    let label = |key: &str, value: &str| (format!("app.kubernetes.io/{key}"), value.to_owned());
    LabelSelector { match_labels: Labels::from([label("name", name), label("part-of", part_of)]) }
}

/// What every object is labelled with.
pub(crate) fn common_labels(name: &str, part_of: &str) -> Labels {
    let label = |key: &str, value: &str| (format!("app.kubernetes.io/{key}"), value.to_owned());
    Labels::from([label("name", name), label("part-of", part_of), label("managed-by", "tierlift")])
}
