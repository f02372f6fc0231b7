//! PostgreSQL of Google Cloud: Cloud SQL and AlloyDB.

use std::collections::BTreeMap;

use super::api::{
    AlloyDbBackup, AlloyDbClusterSpec, AlloyDbContinuousBackup, AlloyDbInstanceSpec, AlloyDbMachine, AlloyDbNetwork,
    AlloyDbPool, AlloyDbRetention, AlloyDbUser, Password, PasswordSource, SecretKey, SqlBackup, SqlBackupRetention,
    SqlDatabaseSpec, SqlFlag, SqlInsights, SqlInstanceSpec, SqlIp, SqlMaintenance, SqlSettings, SqlUserSpec,
};
use super::{Place, Reference};
use crate::object::Object;
use crate::quantity::Quantity;

/// A PostgreSQL server, its replicas, and who works with which database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Name of the instance or cluster.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Major version.
    pub version: u32,
    /// Virtual CPUs.
    pub vcpu: u32,
    /// Memory; AlloyDB derives it from the CPUs.
    pub memory: Quantity,
    /// Disk to begin with; it grows by itself. AlloyDB has none to choose.
    pub disk_gb: Option<u32>,
    /// Whether a standby in another zone takes over.
    pub high_availability: bool,
    /// For how many days backups and the log are kept.
    pub backup_days: u32,
    /// Parameters of the server.
    pub flags: BTreeMap<String, String>,
    /// How many replicas serve reads.
    pub replicas: u32,
    /// The database.
    pub database: String,
    /// The role of the programs.
    pub user: String,
    /// Secret and key with its password.
    pub password: (String, String),
}

/// Cloud SQL keeps the log for a week at most.
const LOG_DAYS_MAX: u32 = 7;
/// AlloyDB keeps it for five weeks at most.
const ALLOYDB_LOG_DAYS_MAX: u32 = 35;

impl Postgres {
    /// The name of a replica on Cloud SQL, counted from 1.
    pub fn replica_name(name: &str, number: u32) -> String {
        format!("{name}-replica-{number}")
    }

    fn password(&self) -> Password {
        let (name, key) = self.password.clone();
        Password { value_from: PasswordSource { secret_key_ref: SecretKey { name, key } } }
    }
}

/// A Cloud SQL instance, its replicas, database and role.
pub fn cloud_sql(place: &Place, server: &Postgres) -> Vec<Object> {
    let mut objects =
        vec![Object::SQLInstance(place.object("SQLInstance", &server.name, instance(place, server, false)))];
    for number in 1..=server.replicas {
        let name = Postgres::replica_name(&server.name, number);
        objects.push(Object::SQLInstance(place.object("SQLInstance", &name, instance(place, server, true))));
    }
    let instance_ref = Reference::Name(server.name.clone());
    let database = SqlDatabaseSpec {
        instance_ref: instance_ref.clone(),
        charset: "UTF8".to_owned(),
        deletion_policy: "ABANDON".to_owned(),
    };
    let user = SqlUserSpec { instance_ref, password: server.password() };
    objects.push(Object::SQLDatabase(place.object("SQLDatabase", &server.database, database)));
    objects.push(Object::SQLUser(place.object("SQLUser", &server.user, user)));
    objects
}

fn instance(place: &Place, server: &Postgres, is_replica: bool) -> SqlInstanceSpec {
    let backup = SqlBackup {
        enabled: true,
        start_time: "03:00".to_owned(),
        point_in_time_recovery_enabled: true,
        transaction_log_retention_days: server.backup_days.min(LOG_DAYS_MAX),
        backup_retention_settings: SqlBackupRetention {
            retained_backups: server.backup_days,
            retention_unit: "COUNT".to_owned(),
        },
    };
    let is_regional = server.high_availability && !is_replica;
    let flag = |(name, value): (&String, &String)| SqlFlag { name: name.clone(), value: value.clone() };
    SqlInstanceSpec {
        region: server.region.clone(),
        database_version: format!("POSTGRES_{}", server.version),
        master_instance_ref: is_replica.then(|| Reference::Name(server.name.clone())),
        settings: SqlSettings {
            tier: format!("db-custom-{}-{}", server.vcpu, server.memory.mebibytes()),
            // From version 16 on the default is Enterprise Plus, which has no custom sizes.
            edition: "ENTERPRISE".to_owned(),
            availability_type: if is_regional { "REGIONAL" } else { "ZONAL" }.to_owned(),
            disk_type: "PD_SSD".to_owned(),
            disk_size: server.disk_gb,
            disk_autoresize: true,
            deletion_protection_enabled: true,
            // A replica has no backups of its own.
            backup_configuration: (!is_replica).then_some(backup),
            ip_configuration: SqlIp {
                ipv4_enabled: false,
                private_network_ref: place.network(),
                ssl_mode: "ENCRYPTED_ONLY".to_owned(),
            },
            database_flags: server.flags.iter().map(flag).collect(),
            insights_config: SqlInsights { query_insights_enabled: true },
            // Sunday at four; a replica follows its primary.
            maintenance_window: (!is_replica).then_some(SqlMaintenance { day: 7, hour: 4 }),
        },
    }
}

/// An AlloyDB cluster, its primary, and a pool of replicas.
pub fn alloydb(place: &Place, server: &Postgres) -> Vec<Object> {
    let cluster = AlloyDbClusterSpec {
        project_ref: Reference::External(place.project.clone()),
        location: server.region.clone(),
        database_version: format!("POSTGRES_{}", server.version),
        network_config: AlloyDbNetwork { network_ref: place.network() },
        initial_user: AlloyDbUser { user: server.user.clone(), password: server.password() },
        automated_backup_policy: AlloyDbBackup {
            enabled: true,
            time_based_retention: AlloyDbRetention { retention_period: format!("{}s", server.backup_days * 86_400) },
        },
        continuous_backup_config: AlloyDbContinuousBackup {
            enabled: true,
            recovery_window_days: server.backup_days.min(ALLOYDB_LOG_DAYS_MAX),
        },
        deletion_policy: "DEFAULT".to_owned(),
    };
    let cluster_ref = Reference::Name(server.name.clone());
    let machine_config = AlloyDbMachine { cpu_count: server.vcpu };
    let availability = if server.high_availability { "REGIONAL" } else { "ZONAL" };
    let primary = AlloyDbInstanceSpec {
        cluster_ref: cluster_ref.clone(),
        // A primary is of the cluster's own type.
        instance_type_ref: cluster_ref.clone(),
        availability_type: Some(availability.to_owned()),
        machine_config: machine_config.clone(),
        read_pool_config: None,
        database_flags: server.flags.clone(),
    };
    let mut objects = vec![
        Object::AlloyDBCluster(place.object("AlloyDBCluster", &server.name, cluster)),
        Object::AlloyDBInstance(place.object("AlloyDBInstance", &format!("{}-primary", server.name), primary)),
    ];
    if server.replicas > 0 {
        let pool = AlloyDbInstanceSpec {
            cluster_ref,
            instance_type_ref: Reference::External("READ_POOL".to_owned()),
            availability_type: None,
            machine_config,
            read_pool_config: Some(AlloyDbPool { node_count: server.replicas }),
            database_flags: server.flags.clone(),
        };
        let name = format!("{}-read", server.name);
        objects.push(Object::AlloyDBInstance(place.object("AlloyDBInstance", &name, pool)));
    }
    objects
}
