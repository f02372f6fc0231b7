//! What runs on one machine besides the services, as templates see it.

use serde::Serialize;

use super::docker_memory;
use crate::system::{SystemSpec, Tier};
use crate::tier::{Helper, Platform, Watchers};

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

/// A move from another tier's machine.
#[derive(Debug, Serialize)]
pub(super) struct MoveView {
    /// That tier.
    from: String,
    /// Where its files are in the application's repository.
    from_path: String,
    /// What of it writes, in `docker compose`'s names.
    from_services: Vec<String>,
    /// What the tier's gates allow, in minutes; none where they say nothing.
    downtime_minutes: Option<String>,
    total_minutes: Option<String>,
}

pub(super) fn move_view(system: &SystemSpec, tier: &Tier) -> Option<MoveView> {
    let from = tier.render.as_ref()?.machine.as_ref()?.replaces.as_ref()?;
    let there = system.tiers.get(from)?.render.as_ref()?;
    let programs =
        there.services.iter().filter(|service| service.runs_on(Platform::Compose) && service.running().is_some());
    let proxy = there.machine.iter().filter(|machine| machine.proxy.is_some()).map(|_| "nginx".to_owned());
    let checks = || tier.gates.iter().filter_map(|gate| gate.check.as_ref());
    let allowed = |metric: &str| checks().find(|check| check.metric == metric).map(|check| check.value.to_string());
    Some(MoveView {
        from: from.clone(),
        from_path: there.deploy_path.clone(),
        from_services: proxy.chain(programs.map(|service| service.name.clone())).collect(),
        downtime_minutes: allowed("downtime_minutes"),
        total_minutes: allowed("migration_minutes"),
    })
}
