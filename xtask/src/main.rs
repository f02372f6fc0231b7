//! `cargo xtask X`: the tierlift commands on a developer's machine, plus demo, test, bench, golden, tidy and model.
//!
//! Anything that is not one of ours goes to tierlift unchanged, with PostgreSQL's client programs and the embedding
//! model obtained first, so that `cargo xtask migrate --to tier2` needs nothing installed.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a developer's tool: stdout is where it talks

mod bench;
mod check;
mod demo;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true, after_help = FORWARDED)]
struct Xtask {
    #[command(subcommand)]
    command: Own,
}

const FORWARDED: &str = "\
Every other command is tierlift's own: tiers, migrate, status, resume, rollback, render, pg, vector, completions.
`cargo xtask migrate --help` and so on describe them.";

#[derive(Debug, Subcommand)]
enum Own {
    /// Move Oviya from tier 1 to tier 2 on two throw-away PostgreSQL servers, search it, and roll it back
    Demo(demo::DemoArgs),
    /// Everything CI checks: format, clippy, dependency rules, unit and acceptance tests
    Test,
    /// Measure ours against its peers
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Write the golden files of the rendered sets anew, and show what changed in them
    Golden,
    /// Assert which crate may depend on which
    Tidy,
    /// Fetch the local embedding model and print its folder
    Model,
}

const OWN: &[&str] = &["demo", "test", "bench", "golden", "tidy", "model", "help", "--help", "-h"];

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let first = args.get(1).and_then(|a| a.to_str()).unwrap_or("--help");
    if !OWN.contains(&first) {
        return forward(args);
    }
    let outcome = match Xtask::parse().command {
        Own::Demo(args) => demo::run(&args),
        Own::Test => check::run(),
        Own::Bench(command) => bench::run(&command),
        Own::Golden => check::write_golden(),
        Own::Tidy => tidy::run(),
        Own::Model => model(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn model() -> anyhow::Result<()> {
    println!("{}", pg_sandbox::model_dir().context("cannot obtain the embedding model")?.display());
    Ok(())
}

/// Runs a tierlift command in this process.
fn forward(args: Vec<OsString>) -> ExitCode {
    let needs_tools =
        matches!(args.get(1).and_then(|a| a.to_str()), Some("migrate" | "resume" | "rollback" | "pg" | "vector"))
            && !args.iter().any(|a| a == "--help" || a == "-h");
    if needs_tools && let Err(error) = provide_tools() {
        // Not fatal: whatever the command really lacks, it names itself.
        eprintln!("warning: {error:#}");
    }
    tierlift::main_with(args)
}

fn provide_tools() -> anyhow::Result<()> {
    let provide = |name: &str, value: &std::path::Path| {
        if std::env::var_os(name).is_none() {
            // SAFETY: `main` has started no thread yet, so nobody reads the environment meanwhile.
            unsafe { std::env::set_var(name, value) };
        }
    };
    let install = pg_sandbox::PgInstall::find(Some(18)).context("cannot obtain PostgreSQL 18's client programs")?;
    provide("TIERLIFT_PG_BIN", install.bin_dir());
    let model = pg_sandbox::model_dir().context("cannot obtain the embedding model")?;
    provide("TIERLIFT_MODEL_DIR", &model);
    Ok(())
}
