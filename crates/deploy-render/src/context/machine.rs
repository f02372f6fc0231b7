//! What runs on one machine besides the services, as templates see it.

use serde::Serialize;

use super::docker_memory;
use crate::tier::{Helper, Watchers};

#[derive(Debug, Serialize)]
pub(super) struct HelperView {
    image: String,
    memory: String,
}

#[derive(Debug, Serialize)]
pub(super) struct WatchersView {
    prometheus: HelperView,
    alertmanager: HelperView,
    node_exporter: HelperView,
    postgres_exporter: HelperView,
    redis_exporter: HelperView,
    blackbox_exporter: HelperView,
}

pub(super) fn helper_view(helper: &Helper) -> HelperView {
    HelperView { image: helper.image.clone(), memory: docker_memory(&helper.memory) }
}

pub(super) fn watchers_view(watchers: &Watchers) -> WatchersView {
    WatchersView {
        prometheus: helper_view(&watchers.prometheus),
        alertmanager: helper_view(&watchers.alertmanager),
        node_exporter: helper_view(&watchers.node_exporter),
        postgres_exporter: helper_view(&watchers.postgres_exporter),
        redis_exporter: helper_view(&watchers.redis_exporter),
        blackbox_exporter: helper_view(&watchers.blackbox_exporter),
    }
}
