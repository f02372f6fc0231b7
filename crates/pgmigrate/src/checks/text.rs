//! Encodings and collations: what text will be converted, and what will sort in another order.

use pg_session::Session;
use runbook::{Finding, Severity};
use tokio_postgres::types::Type;

use super::question::{Question, ask};
use crate::error::Error;
use crate::findings::finding;
use crate::survey::Survey;

use Severity::{Blocks, Changes, Note};

pub(super) const SOURCE: &[Question] = &[Question {
    severity: Note,
    sql: include_str!("../sql/assess/collated_columns.sql"),
    message: "its order depends on the operating system's or ICU's library",
    remedy: "its indexes are built anew on the target; sorted lists may come in another order",
}];

/// Asked at both ends.
const VERSIONS: &[Question] = &[version(include_str!("../sql/assess/collation_versions.sql"))];

/// From version 15 on.
const DATABASE_VERSION: &[Question] = &[version(include_str!("../sql/assess/database_collation_version.sql"))];

const fn version(sql: &'static str) -> Question {
    Question {
        severity: Note,
        sql,
        message: "{}",
        remedy: "an index on text may be out of order there, and a duplicate that it let through is refused by the target: run `reindex` and `alter ... refresh version`",
    }
}

/// Compares the two databases' encodings and collations.
pub(super) async fn compare(source: &Session, target: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let mut findings: Vec<Finding> = encoding(survey).into_iter().collect();
    let (from, to, order) =
        tokio::try_join!(versions(source, survey), versions(target, survey), order(source, survey))?;
    let at = |which: &'static str| move |f: Finding| Finding { object: format!("{which}: {}", f.object), ..f };
    findings.extend(from.into_iter().map(at("source")));
    findings.extend(to.into_iter().map(at("target")));
    findings.extend(order);
    Ok(findings)
}

async fn versions(session: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let known = if session.major() >= 15 { DATABASE_VERSION } else { &[] };
    ask(session, &survey.schemas, &[VERSIONS, known]).await
}

fn encoding(survey: &Survey) -> Option<Finding> {
    let (from, to) = (survey.source.encoding.as_str(), survey.target.encoding.as_str());
    let at = format!("target {}", survey.target.endpoint);
    let message = format!("its encoding is {to}, the source's {from}");
    match (from, to) {
        _ if from == to => None,
        // The server hands out such text as it is: nobody knows what its bytes mean.
        ("SQL_ASCII", _) => Some(finding(
            Blocks,
            at,
            format!("{message}, which means that any bytes may be in its text"),
            "create the target database with encoding SQL_ASCII, or first convert the source's text to UTF8",
        )),
        (_, "UTF8") => {
            Some(finding(Changes, at, message, "text is converted on its way; its characters stay the same"))
        }
        _ => Some(finding(Blocks, at, message, "create the target database with encoding UTF8")),
    }
}

/// Where the databases' own collations differ: everything that keeps text in their order.
async fn order(source: &Session, survey: &Survey) -> Result<Vec<Finding>, Error> {
    let (from, to) = (&survey.source.collation, &survey.target.collation);
    if from == to {
        return Ok(Vec::new());
    }
    let mut findings = vec![finding(
        Changes,
        format!("target {}", survey.target.endpoint),
        format!("its collation is {to}, the source's {from}"),
        "text may sort in another order; indexes are built anew",
    )];
    let rows = source
        .query_typed(include_str!("../sql/assess/text_order.sql"), &[(&survey.schemas, Type::TEXT_ARRAY)])
        .await
        .map_err(Error::on(source))?;
    for row in rows {
        let (object, kind): (String, String) = (row.get(0), row.get(1));
        let (message, remedy) = match kind.as_str() {
            "bounds" => (
                "its partitions are cut by the order of text, which differs",
                "rows at the edges may be refused by their partition: create the target database with the source's collation",
            ),
            "exclusion" => (
                "it compares text by the database's collation, which differs",
                "rows that do not exclude each other here may do so there; the target says so when it is made",
            ),
            "unique" => (
                "it is unique over text in the database's collation, which differs",
                "equal stays equal (byte by byte), only the order changes; it is built anew on the target",
            ),
            _ => (
                "it keeps text in the order of the database's collation, which differs",
                "it is built anew on the target in the target's order",
            ),
        };
        findings.push(finding(Changes, object, message, remedy));
    }
    Ok(findings)
}
