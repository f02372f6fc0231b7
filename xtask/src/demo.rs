//! `cargo xtask demo`: Oviya from tier 1 to tier 2 on two throw-away servers, the way an operator would do it.
//!
//! Every step is the real command line, run as a child of this program with the database URLs in its environment;
//! what this file adds is the two servers, the commentary, and the report.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use pg_sandbox::{PgInstall, PgServer, oviya};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave both servers up, migrated, and print how to connect
    #[arg(long)]
    keep: bool,
    /// Chat messages in the source
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    messages: u32,
}

/// Searches shown; each topic's answers are counted among the ten nearest.
const SEARCHES_SHOWN: usize = 3;

struct Demo {
    source: PgServer,
    target: PgServer,
    old: oviya::OviyaSource,
    new: oviya::OviyaTarget,
    model: PathBuf,
    dir: PathBuf,
    playbooks: PathBuf,
}

/// Runs the demo; an error means that something did not go as it must.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let demo = Demo::set_up(args)?;
    let before = demo.source_dump()?;

    heading("What would happen: tierlift migrate --to tier2 --dry-run");
    demo.tierlift(&["migrate", "--to", "tier2", "--dry-run"], 2)?;
    ensure!(demo.source_dump()? == before, "the dry run changed the source");

    heading("The migration: tierlift migrate --to tier2 --yes");
    demo.tierlift(&["migrate", "--to", "tier2", "--yes"], 0)?;
    let summary = demo.only_run()?;
    let run = text(&summary, "/run")?;

    heading("Searching by meaning, on the target");
    demo.search()?;

    let report = report(&summary)?;
    let file = demo.dir.join("report.json");
    std::fs::write(&file, format!("{report:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;

    if args.keep {
        return demo.keep(&run);
    }
    heading(&format!("The way back: tierlift rollback {run} --yes"));
    demo.tierlift(&["rollback", &run, "--yes"], 0)?;
    demo.prove_rolled_back(&before)?;

    heading("Summary");
    print_summary(&report);
    println!("  report             {}", file.display());
    println!("  whole demo         {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

impl Demo {
    fn set_up(args: &DemoArgs) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
        let dir = root.join("target").join("demo");
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", dir.display()));
            }
            _ => std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?,
        }
        heading("Starting PostgreSQL 16 (as Supabase) and PostgreSQL 18 (as Cloud SQL)");
        let start = |major| {
            let install = PgInstall::find(Some(major)).with_context(|| format!("cannot obtain PostgreSQL {major}"))?;
            PgServer::builder().install(install).start().with_context(|| format!("cannot start PostgreSQL {major}"))
        };
        let (source, target) = std::thread::scope(|scope| {
            let source = scope.spawn(|| start(16));
            let target = start(18);
            (source.join().expect("the starting thread does not panic"), target)
        });
        let (source, target) = (source?, target?);
        let old = oviya::load_source(&source, args.messages).context("cannot load the source")?;
        let new = oviya::prepare_target(&target).context("cannot prepare the target")?;
        let model = pg_sandbox::model_dir().context("cannot obtain the embedding model")?;
        println!("  source  127.0.0.1:{}/{}  {} messages", source.port(), old.database, args.messages);
        println!("  target  127.0.0.1:{}/{}  empty", target.port(), new.database);
        Ok(Self { source, target, old, new, model, dir, playbooks: root.join("playbooks") })
    }

    /// The tierlift command line of this very program, told everything through its environment.
    fn command(&self, args: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
        command
            .args(args)
            .env("OVIYA_SOURCE_URL", &self.old.owner_url)
            .env("OVIYA_TARGET_URL", &self.new.owner_url)
            .env("OVIYA_DEPLOY_DIR", self.dir.join("deploy"))
            .env("TIERLIFT_STATE_DIR", self.dir.join("state"))
            .env("TIERLIFT_PLAYBOOKS", &self.playbooks)
            .env("TIERLIFT_MODEL_DIR", &self.model);
        Ok(command)
    }

    fn tierlift(&self, args: &[&str], expected: i32) -> anyhow::Result<()> {
        let status = self.command(args)?.status().context("cannot run tierlift")?;
        ensure!(status.code() == Some(expected), "tierlift {} ended with {status}, not {expected}", args.join(" "));
        Ok(())
    }

    fn tierlift_json(&self, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let output =
            self.command(args)?.arg("--json").stderr(Stdio::inherit()).output().context("cannot run tierlift")?;
        ensure!(output.status.success(), "tierlift {} ended with {}", args.join(" "), output.status);
        let text = String::from_utf8(output.stdout).context("tierlift printed no UTF-8")?;
        text.lines().map(|line| serde_json::from_str(line).context("tierlift --json printed no JSON")).collect()
    }

    fn only_run(&self) -> anyhow::Result<Value> {
        let mut runs = self.tierlift_json(&["status"])?;
        ensure!(runs.len() == 1, "expected one run, found {}", runs.len());
        let run = text(&runs.remove(0), "/run")?;
        self.tierlift_json(&["status", &run])?.pop().context("status printed nothing")
    }

    fn source_dump(&self) -> anyhow::Result<String> {
        let dump = self.source.pg_dump(&self.old.database, &[]).context("cannot dump the source")?;
        // Each dump carries a random \restrict key.
        Ok(dump.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n"))
    }

    fn search(&self) -> anyhow::Result<()> {
        for (query, topic) in oviya::EXAMPLE_SEARCHES.iter().take(SEARCHES_SHOWN) {
            println!("\n  \"{query}\"");
            let hits = self.tierlift_json(&[
                "vector",
                "search",
                "--target",
                "env:OVIYA_TARGET_URL",
                "--table",
                "public.messages",
                "--k",
                "10",
                query,
            ])?;
            let mut on_topic = 0;
            for (i, hit) in hits.iter().enumerate() {
                let (key, words, distance) = (text(hit, "/key")?, text(hit, "/text")?, number(hit, "/distance")?);
                let found = self.topic_of(&key)?;
                on_topic += usize::from(found == *topic);
                if i < 3 {
                    println!("    {distance:.3}  [{found}]  {words}");
                }
            }
            println!("    {on_topic} of the {} nearest are about {topic}", hits.len());
            ensure!(on_topic * 2 > hits.len(), "the search found mostly other topics");
        }
        Ok(())
    }

    fn topic_of(&self, key: &str) -> anyhow::Result<String> {
        let id: i64 = key.parse().context("a message's key is a number")?;
        let topic = self
            .target
            .psql(&self.new.database, &format!("select metadata->>'topic' from public.messages where id = {id}"))
            .context("cannot read a message's topic")?;
        Ok(topic.trim().to_owned())
    }

    fn prove_rolled_back(&self, before: &str) -> anyhow::Result<()> {
        ensure!(self.source_dump()? == before, "the source is not as it was");
        println!("  the source's dump is byte for byte what it was");
        let target = self.target.psql(
            &self.new.database,
            "select count(*) from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
             where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
        )?;
        ensure!(target.trim() == "0", "the target still holds {} relations", target.trim());
        println!("  the target is empty again");
        // The application's role, in a session of its own, as after a reconnect. Put back at once.
        let wrote = self.source.psql(
            &self.old.database,
            "begin; create table public.write_probe (id int); drop table public.write_probe; commit; select 'writes'",
        )?;
        ensure!(wrote.contains("writes"), "the source still refuses writes");
        println!("  the source takes writes again");
        ensure!(!self.dir.join("deploy").exists(), "rendered files are left");
        println!("  the rendered files are gone");
        Ok(())
    }

    fn keep(self, run: &str) -> anyhow::Result<()> {
        // The URLs hold (throw-away) passwords, so they go into a file only this user can read.
        let file = self.dir.join("connect.env");
        let line = |name: &str, value: &str| format!("export {name}='{value}'\n");
        let mut text = line("OVIYA_SOURCE_URL", &self.old.owner_url);
        text += &line("OVIYA_TARGET_URL", &self.new.owner_url);
        for (name, path) in [
            ("OVIYA_DEPLOY_DIR", self.dir.join("deploy")),
            ("TIERLIFT_STATE_DIR", self.dir.join("state")),
            ("TIERLIFT_PLAYBOOKS", self.playbooks.clone()),
        ] {
            text += &line(name, &path.display().to_string());
        }
        write_private(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        heading("Both servers stay up");
        println!("  first            . {}", file.display());
        println!("  source (fenced)  psql \"$OVIYA_SOURCE_URL\"");
        println!("  target           psql \"$OVIYA_TARGET_URL\"");
        println!("  files            ls -R \"$OVIYA_DEPLOY_DIR\"");
        println!(
            "  search           cargo xtask vector search --target env:OVIYA_TARGET_URL --table public.messages 'your words'"
        );
        println!("  undo             cargo xtask rollback {run}");
        for (name, server) in [("source", self.source), ("target", self.target)] {
            let kept = server.detach().with_context(|| format!("cannot leave the {name} up"))?;
            println!("  stop the {name:<7} kill -INT {}; its files are in {}", kept.pid, kept.folder.display());
        }
        Ok(())
    }
}

/// Creates a file that only this user can read.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

/// The figures of the run, by the names the demo promises.
fn report(summary: &Value) -> anyhow::Result<Value> {
    let output = |step: &str, field: &str| {
        let value = summary
            .pointer("/steps")
            .and_then(Value::as_array)
            .and_then(|steps| steps.iter().find(|s| s["id"] == step))
            .and_then(|s| s.pointer(&format!("/output/{field}")));
        value.cloned().with_context(|| format!("step {step} recorded no {field}"))
    };
    Ok(json!({
        "run_id": text(summary, "/run")?,
        "plan_digest": text(summary, "/plan_digest")?,
        "tables": output("copy", "tables")?,
        "rows": output("copy", "rows")?,
        "bytes": output("copy", "bytes")?,
        "copy_seconds": output("copy", "seconds")?,
        "downtime_seconds": number(summary, "/downtime_seconds")?,
        "verify": {
            "tables": output("verify", "tables")?,
            "rows": output("verify", "rows")?,
            "mismatches": output("verify", "mismatches")?,
        },
        "backfill": {
            "rows": output("backfill", "rows")?,
            "rows_per_second": output("backfill", "rows_per_second")?,
            "model": output("backfill", "model")?,
            "dimensions": output("backfill", "dimensions")?,
            "lifted_from": output("backfill", "lifted_from")?,
        },
        "index": { "lists": output("index", "lists")?, "seconds": output("index", "seconds")? },
        "recall_at_10": output("gate-semantic-search", "recall")?,
        "probes": output("gate-semantic-search", "probes")?,
        "rendered_files": output("switch", "rendered_files")?,
    }))
}

fn print_summary(report: &Value) {
    let line = |name: &str, value: String| println!("  {name:<18} {value}");
    let f = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    line(
        "copied",
        format!(
            "{} tables, {} rows, {:.1} MB in {:.1} s",
            report["tables"],
            report["rows"],
            f("/bytes") / 1e6,
            f("/copy_seconds")
        ),
    );
    line("verified", format!("{} rows, {} mismatches", report["verify"]["rows"], report["verify"]["mismatches"]));
    line(
        "embedded",
        format!(
            "{} messages at {:.0} a second ({}: {} dimensions, lifted to {} by a fixed orthonormal map)",
            report["backfill"]["rows"],
            f("/backfill/rows_per_second"),
            report["backfill"]["model"],
            report["backfill"]["lifted_from"],
            report["backfill"]["dimensions"]
        ),
    );
    line("indexed", format!("ivfflat, {} lists in {:.1} s", report["index"]["lists"], f("/index/seconds")));
    line("recall@10", format!("{:.3} with {} probes", f("/recall_at_10"), report["probes"]));
    line("rendered", format!("{} files", report["rendered_files"]));
    line("write pause", format!("{:.1} s (fence to switch)", f("/downtime_seconds")));
}

fn heading(text: &str) {
    println!("\n=== {text}");
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    match value.pointer(pointer).and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => bail!("no text at {pointer}"),
    }
}

fn number(value: &Value, pointer: &str) -> anyhow::Result<f64> {
    value.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no number at {pointer}"))
}
