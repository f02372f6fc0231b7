//! One file a command.

pub mod migrate;
pub mod pg;
pub mod render;
pub mod resume;
mod run;
pub mod status;
pub mod tiers;
pub mod vector;

use std::io::IsTerminal;

use pg_session::PgUrl;
use runbook::{Failure, FailureKind};

use crate::output::talk;
use crate::registry::environment;

/// Reads a `postgresql://` URL, or `env:NAME` for one kept in the environment.
///
/// # Errors
/// `InvalidInput`, never repeating the URL.
pub fn database_url(text: &str, which: &str) -> Result<PgUrl, Failure> {
    url_text(text, which)?
        .parse()
        .map_err(|e: pg_session::SessionError| Failure::from_error(FailureKind::InvalidInput, which, &e, e.hint()))
}

/// The URL's text as it is, secret and all: only for handing on.
///
/// # Errors
/// `InvalidInput` naming the variable that is not set.
pub fn url_text(text: &str, which: &str) -> Result<String, Failure> {
    match text.strip_prefix("env:") {
        Some(name) => environment(name).ok_or_else(|| {
            Failure::new(
                FailureKind::InvalidInput,
                which,
                format!("the environment variable {name} is not set"),
                format!("set {name} to the database's postgresql:// URL"),
            )
        }),
        None => Ok(text.to_owned()),
    }
}

/// Refuses early what [`confirm`] would refuse later.
///
/// # Errors
/// `InvalidInput` when nobody can be asked and `--yes` was not given.
pub fn can_ask(yes: bool) -> Result<(), Failure> {
    if yes || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(unconfirmed(
        "there is no terminal to ask on",
        "add --yes to start without being asked, or --dry-run to only look",
    ))
}

/// Asks on the terminal before changing anything.
///
/// # Errors
/// `InvalidInput` when nobody can be asked and `--yes` was not given, or the answer was no.
pub fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    can_ask(yes)?;
    if yes {
        return Ok(());
    }
    talk(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(unconfirmed("not confirmed", "nothing was changed; answer y, or add --yes")),
    }
}

fn unconfirmed(message: &str, hint: &str) -> Failure {
    Failure::new(FailureKind::InvalidInput, "", message, hint)
}
