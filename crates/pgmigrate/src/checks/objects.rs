//! The source's objects: what does not come, comes otherwise, or is worth a look.

use runbook::{Finding, Severity};

use super::question::Question;
use crate::findings::finding;
use crate::survey::Survey;

use Severity::{Blocks, Changes, Note};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        severity: Blocks,
        sql: "select format('prepared transaction %s', gid) from pg_prepared_xacts where database = current_database()",
        message: "it holds locks and may still commit; its rows would not come",
        remedy: "commit or roll it back first",
    },
    Question {
        severity: Blocks,
        sql: include_str!("../sql/assess/unreadable_sequences.sql"),
        message: "the source role may not read it",
        remedy: "grant select on it to the source role",
    },
    Question {
        severity: Changes,
        sql: "select format('foreign table %I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind = 'f' and n.nspname = any ($1) order by 1",
        message: "its rows live on another server",
        remedy: "its definition comes; the target needs its own way to that server",
    },
    Question {
        severity: Changes,
        sql: include_str!("../sql/assess/foreign_servers.sql"),
        message: "it leads out of the database ({})",
        remedy: "its definition comes where the target's role may make it",
    },
    Question {
        severity: Changes,
        sql: "select format('subscription %I', subname) from pg_stat_subscription order by 1",
        message: "subscriptions hold credentials of another server",
        remedy: "it is not created on the target",
    },
    Question {
        severity: Changes,
        sql: include_str!("../sql/assess/extension_comments.sql"),
        message: "its comment was changed on the source",
        remedy: "the comment is not copied: only the extension's owner may set it",
    },
    Question {
        severity: Changes,
        sql: include_str!("../sql/assess/ciphertext.sql"),
        message: "{}",
        remedy: "the ciphertext is of no use elsewhere: read the secrets out on the source and keep them in the target's own secret store",
    },
    Question {
        severity: Changes,
        sql: include_str!("../sql/assess/untrusted_functions.sql"),
        message: "it is written in {}, in which only a superuser may make functions",
        remedy: "a target without superusers refuses it, and the copy says so before any row is copied",
    },
    Question {
        severity: Changes,
        sql: "select format('column %I.%I.%I', n.nspname, c.relname, a.attname)
                from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = any ($1) and array_to_string(a.attoptions, ',') ~ 'pg_attver' order by 1",
        message: "it carries the server's internal option pg_attver",
        remedy: "the option is left out, no other server needs it",
    },
    Question {
        severity: Changes,
        sql: include_str!("../sql/assess/invalid_indexes.sql"),
        message: "it is invalid: building it failed or was broken off, and no query uses it",
        remedy: "it is not created on the target; run `reindex index concurrently` on it first if it is wanted",
    },
    Question {
        severity: Note,
        sql: include_str!("../sql/assess/unvalidated_constraints.sql"),
        message: "it was never validated: rows that break it may be there",
        remedy: "it comes as it is, not valid",
    },
    Question {
        severity: Note,
        sql: "select format('table %I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relkind in ('r', 'p') and n.nspname = any ($1)
                 and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
               order by 1",
        message: "it has no columns",
        remedy: "it comes with as many empty rows as it has",
    },
    Question {
        severity: Note,
        sql: include_str!("../sql/assess/no_replica_identity.sql"),
        message: "it has no replica identity",
        remedy: "nothing to do for a copy; a live migration could not follow its updates and deletes: it needs a key or `replica identity full` then",
    },
    Question {
        severity: Note,
        sql: include_str!("../sql/assess/sequences_near_end.sql"),
        message: "it has used {} of its values",
        remedy: "it goes on from there; widen it (and its column) before it ends",
    },
];

/// What the survey knows of tables already.
pub(super) fn tables(survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let neon = |provider| provider == crate::provider::Provider::Neon;
    for table in &survey.tables {
        let object = || format!("table {}", table.relation.label());
        if !table.readable {
            findings.push(finding(
                Blocks,
                object(),
                "the source role may not read it",
                "grant select on it (and usage on its schema) to the source role",
            ));
        }
        if table.filtered {
            findings.push(finding(
                Blocks,
                object(),
                "row-level security hides rows from the source role",
                "connect as the table's owner or as a role with BYPASSRLS",
            ));
        }
        if table.unlogged && (neon(survey.source.provider) || neon(survey.target.provider)) {
            findings.push(finding(
                Changes,
                object(),
                "it is unlogged, and Neon empties such tables whenever a compute is suspended",
                "it comes unlogged, with what is in it at that moment; run `alter table ... set logged` to keep its rows",
            ));
        } else if table.unlogged {
            findings.push(finding(
                Note,
                object(),
                "it is unlogged",
                "it comes unlogged, and is emptied when the target crashes",
            ));
        }
        if table.key.is_empty() {
            findings.push(finding(
                Note,
                object(),
                "it has no primary key",
                "it is copied and compared all the same; a difference is named by row instead of by key",
            ));
        }
    }
    findings
}

/// The provider's schemas, which the survey leaves out.
pub(super) fn managed_schemas(survey: &Survey) -> Option<Finding> {
    (!survey.managed_schemas.is_empty()).then(|| {
        finding(
            Changes,
            format!("schemas {}", survey.managed_schemas.join(", ")),
            "they are the provider's own",
            "they stay behind",
        )
    })
}

/// Objects in the application's schemas that belong to somebody else than our role on the target will.
pub(super) fn owners(survey: &Survey, owners: &[String]) -> Option<Finding> {
    let target_user = &survey.roles.target_user;
    owners.iter().any(|owner| owner != target_user).then(|| {
        let message = format!("objects belong to {}", owners.join(", "));
        let mapped = if survey.wanted.owners.is_empty() { "" } else { ", but for what --map-owner names" };
        finding(Changes, "owners", message, format!("everything on the target belongs to {target_user}{mapped}"))
    })
}
