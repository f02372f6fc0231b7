//! The composition root: command line, settings, progress, exit codes. The only crate (with xtask) that prints.

mod assess_text;
mod cli;
mod commands;
pub mod exit;
mod output;
mod plan_text;
mod registry;
mod reporter;
mod signals;
mod style;
mod systems;
mod target_lock;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use runbook::Failure;

pub use registry::Actions;

use crate::cli::{Cli, Command};
use crate::output::{called_as, data, program, talk};
use crate::reporter::{Mode, Screen};

/// Runs one command line (program name first) and says how it went; see [`exit`] for the codes.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    called_as(args.first().map_or(Path::new("tierlift"), Path::new));
    let parsed = Cli::command().bin_name(program()).try_get_matches_from(args).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors too; they go to stdout and are no failure.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { exit::INVALID_INPUT } else { exit::DONE });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            talk(format_args!("error: cannot start the runtime: {error}"));
            return ExitCode::from(exit::INTERNAL);
        }
    };
    let json = cli.global.json;
    let code = match runtime.block_on(dispatch(cli)) {
        Ok(code) => code,
        Err(failure) => {
            print_failure(&failure, json);
            exit::of_failure(failure.kind)
        }
    };
    // A blocking task of a cancelled step must not keep the process alive.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Tiers(args) => commands::tiers::run(&global, &args),
        Command::Migrate(args) => commands::migrate::run(&global, &args).await,
        Command::Status(args) => commands::status::run(&global, &args),
        Command::Resume(args) => commands::resume::resume(&global, &args).await,
        Command::Rollback(args) => commands::resume::rollback(&global, &args).await,
        Command::Render(args) => commands::render::run(&global, &args),
        Command::Pg(args) => commands::pg::run(&global, args).await,
        Command::Vector(args) => commands::vector::run(&global, args).await,
        Command::Completions { shell } => {
            // Into memory first: the generator panics when nobody reads on.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tierlift", &mut script);
            data(String::from_utf8_lossy(&script).trim_end());
            Ok(exit::DONE)
        }
    }
}

/// One screen: what happened, to which object, why, and what to do next.
fn print_failure(failure: &Failure, json: bool) {
    if json {
        data(format_args!("{}", serde_json::json!({"event": "error", "failure": failure})));
        return;
    }
    talk(format_args!("error: {failure}"));
    for cause in &failure.causes {
        talk(format_args!("  because: {cause}"));
    }
    if !failure.hint.is_empty() {
        talk(format_args!("  what to do: {}", failure.hint));
    }
}

fn screen(global: &cli::Global) -> std::sync::Arc<Screen> {
    std::sync::Arc::new(Screen::new(Mode::choose(global.json)))
}
