//! Where text leaves the program: data to stdout, talk to stderr.
//!
//! A closed pipe (`tierlift status | head -1`) means that nobody reads on, which must neither panic nor end a run, so
//! write errors are dropped here and nowhere else.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

static PROGRAM: OnceLock<&'static str> = OnceLock::new();

/// One line of data.
pub fn data(line: impl Display) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
}

/// One line of talk.
pub fn talk(line: impl Display) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// Remembers how this program was called: `cargo xtask` or `tierlift`.
pub fn called_as(argv0: &Path) {
    let xtask = argv0.file_stem().is_some_and(|stem| stem == "xtask");
    PROGRAM.get_or_init(|| if xtask { "cargo xtask" } else { "tierlift" });
}

/// What to type in front of a command.
pub fn program() -> &'static str {
    PROGRAM.get().copied().unwrap_or("tierlift")
}
