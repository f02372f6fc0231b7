//! The user's triggers that writing an embedding would fire: a `before update` that touches `updated_at`, say, would
//! change every row in a way nobody asked for.

use pg_session::Session;
use runbook::Finding;

use crate::error::Error;
use crate::table::{Table, blocks};

/// What an update of the vector column fires, and whether that can be kept from happening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Firing {
    /// No trigger.
    None,
    /// These would fire, and do not in a session that applies changes as a replica, which this role may be.
    Avoidable { triggers: Vec<String> },
    /// These fire whatever we do.
    Unavoidable { finding: Finding },
}

/// Looks at the table's triggers, and at what the writing role may do on the target, which is the same server unless the
/// table has not been copied there yet. Changes nothing.
pub(crate) async fn firing(
    catalogue: &Session,
    target: &Session,
    table: &Table,
    column: &str,
) -> Result<Firing, Error> {
    let rows = catalogue
        .query(include_str!("sql/triggers.sql"), &[&table.oid, &column])
        .await
        .map_err(Error::on(catalogue))?;
    let names = |place: usize| -> Vec<String> {
        rows.iter().filter(|row| row.get::<_, bool>(place)).map(|row| row.get(0)).collect()
    };
    let (fire, fire_in_replica) = (names(1), names(2));
    if fire.is_empty() {
        return Ok(Firing::None);
    }
    if fire_in_replica.is_empty() && may_be_replica(target).await? {
        return Ok(Firing::Avoidable { triggers: fire });
    }
    let finding = blocks(
        table.object(),
        format!("writing embeddings would fire its trigger {}", fire.join(", ")),
        format!(
            "disable it meanwhile (alter table {} disable trigger ...), let it fire only for its own columns (update of ...), \
             or grant this role set on session_replication_role",
            table.relation.label()
        ),
    );
    Ok(Firing::Unavoidable { finding })
}

/// Tried and rolled back: what a role may do on a managed server can't be told from its name.
async fn may_be_replica(session: &Session) -> Result<bool, Error> {
    let tried = session.batch_execute("begin; set local session_replication_role = replica").await;
    session.batch_execute("rollback").await.map_err(Error::on(session))?;
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(Error::on(session)(error)),
    }
}
