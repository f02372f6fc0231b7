//! What Config Connector makes: nothing that a removed file would delete, nothing that hangs in the air.

use super::{Report, Set};
use crate::config_connector::{DELETION_POLICY, IamPolicyMemberSpec, Reference, SqlInstanceSpec};
use crate::object::Object;

pub(super) fn check(set: &Set, object: &Object, report: &mut Report) {
    let annotations = &object.metadata().annotations;
    if annotations.get(DELETION_POLICY).map(String::as_str) != Some("abandon") {
        report.add(
            format!("metadata.annotations.{DELETION_POLICY}"),
            "whoever deletes this object deletes the data with it",
            "set it to abandon",
        );
    }
    let mut refers = |path: &str, kind: &str, reference: &Reference| {
        if let Reference::Name(name) = reference
            && set.find(kind, object.namespace(), name).is_none()
        {
            report.add(path, format!("there is no {kind} `{name}`"), "add it, or name one that is there");
        }
    };
    match object {
        Object::SQLInstance(instance) => {
            if let Some(primary) = &instance.spec.master_instance_ref {
                refers("spec.masterInstanceRef.name", "SQLInstance", primary);
            }
            check_instance(object, &instance.spec, report);
        }
        Object::SQLDatabase(database) => refers("spec.instanceRef.name", "SQLInstance", &database.spec.instance_ref),
        Object::SQLUser(user) => refers("spec.instanceRef.name", "SQLInstance", &user.spec.instance_ref),
        Object::AlloyDBInstance(instance) => {
            refers("spec.clusterRef.name", "AlloyDBCluster", &instance.spec.cluster_ref);
            refers("spec.instanceTypeRef.name", "AlloyDBCluster", &instance.spec.instance_type_ref);
        }
        Object::SpannerDatabase(database) => {
            refers("spec.instanceRef.name", "SpannerInstance", &database.spec.instance_ref);
        }
        _ => {}
    }
}

fn check_instance(object: &Object, spec: &SqlInstanceSpec, report: &mut Report) {
    let settings = &spec.settings;
    if !settings.deletion_protection_enabled {
        let message = "anybody may delete it, by one command";
        report.add("spec.settings.deletionProtectionEnabled", message, "set it to true");
    }
    if settings.ip_configuration.ipv4_enabled {
        let message = "it has an address on the internet";
        report.add("spec.settings.ipConfiguration.ipv4Enabled", message, "set it to false");
    }
    let has_log = settings.backup_configuration.as_ref().is_some_and(|b| b.enabled && b.point_in_time_recovery_enabled);
    if spec.master_instance_ref.is_none() && !has_log {
        let message = format!("{} can't be restored to a moment", object.name());
        report.add("spec.settings.backupConfiguration", message, "enable backups and point-in-time recovery");
    }
}

/// Roles that hold nearly everything, and members that are nearly everybody.
pub(super) fn check_member(set: &Set, object: &Object, spec: &IamPolicyMemberSpec, report: &mut Report) {
    if ["roles/owner", "roles/editor"].contains(&spec.role.as_str()) {
        report.add("spec.role", format!("{} may do nearly everything", spec.role), "name the role that is needed");
    }
    if spec.member.starts_with("all") {
        report.add("spec.member", format!("{} is nearly everybody", spec.member), "name who needs it");
    }
    if let Some(name) = &spec.resource_ref.name
        && set.find(&spec.resource_ref.kind, object.namespace(), name).is_none()
    {
        let message = format!("there is no {} `{name}`", spec.resource_ref.kind);
        report.add("spec.resourceRef.name", message, "add it, or name one that is there");
    }
}
