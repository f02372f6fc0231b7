//! The command line: what can be typed, nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pgmigrate::OnRefused;
use pgmigrate::Rate;

/// Move an application up (or back down) an infrastructure tier: planned, verified row by row, undoable.
#[derive(Debug, Parser)]
#[command(name = "tierlift", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// Options every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done, nothing to change      6 failed, unwind incomplete
  1 a fault of tierlift          7 locked by another run
  2 changes pending (dry run)    8 outside the window
  3 invalid input                9 approval missing
  4 a gate or finding stops it  10 plan stale or consumed
    or the copy is incomplete   11 paused
  5 failed and unwound          12 past the point of no return";

/// Options every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Every command")]
pub struct Global {
    /// Print machine-readable JSON, one event or result a line, on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Where runs, journals and locks are kept
    #[arg(long, global = true, env = "TIERLIFT_STATE_DIR", default_value = ".tierlift", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Where systems and their playbooks are
    #[arg(long, global = true, env = "TIERLIFT_PLAYBOOKS", default_value = "playbooks", value_name = "DIR")]
    pub playbooks: PathBuf,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List systems and their tiers: users, cost, components, triggers, gates
    Tiers(TiersArgs),
    /// Move a system to a tier, as its playbook says
    Migrate(MigrateArgs),
    /// Show runs, or one run step by step
    Status(StatusArgs),
    /// Continue a run that was interrupted
    Resume(RunArgs),
    /// Undo a run: unfinished, stuck or completed
    Rollback(RunArgs),
    /// Render a tier's files without running anything
    Render(RenderArgs),
    /// Work on Postgres databases without a playbook
    #[command(subcommand)]
    Pg(PgCommand),
    /// Work on embeddings without a playbook
    #[command(subcommand)]
    Vector(VectorCommand),
    /// Print a shell's completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// `tiers`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tierlift tiers\n  tierlift tiers --system oviya --json")]
pub struct TiersArgs {
    /// Only this system
    #[arg(long)]
    pub system: Option<String>,
}

/// `migrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tierlift migrate --to tier2 --dry-run        read what would happen; changes nothing, exits 2
  tierlift migrate --to tier2 --plan-out plan.json
  tierlift migrate --to tier2 --plan plan.json --yes
  tierlift migrate --to tier2 --yes            plan and run at once

The playbook names the environment variables that hold the database URLs; nothing
secret is taken from the command line.")]
pub struct MigrateArgs {
    /// The tier to move to
    #[arg(long, value_name = "TIER")]
    pub to: String,
    /// The tier to move from, when more than one playbook leads there
    #[arg(long, value_name = "TIER")]
    pub from: Option<String>,
    /// The system, when several have the tier
    #[arg(long)]
    pub system: Option<String>,
    /// Show what would happen and change nothing (exit 2 when something would)
    #[arg(long)]
    pub dry_run: bool,
    /// Save the plan to this file and stop
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub plan_out: Option<PathBuf>,
    /// Run exactly this saved plan, or refuse
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// Do not ask before starting
    #[arg(long, short)]
    pub yes: bool,
    /// Allow a plan with steps that cannot be undone
    #[arg(long)]
    pub accept_irreversible: bool,
}

/// `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tierlift status                 all runs, newest first\n  tierlift status 20261123-09     one run, by any unique prefix"
)]
pub struct StatusArgs {
    /// A run's id, or a unique prefix of it
    pub run: Option<String>,
}

/// `resume` and `rollback`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tierlift status                  which runs there are
  tierlift resume 20261123-09      a run by any unique prefix, where it was stopped
  tierlift rollback 20261123-09    back to the start, also hours after it was completed

The same environment variables must be set as for `migrate`.")]
pub struct RunArgs {
    /// A run's id, or a unique prefix of it
    pub run: String,
    /// Do not ask before starting
    #[arg(long, short)]
    pub yes: bool,
}

/// `render`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tierlift render --tier tier2 --check                     check every file, write nothing
  tierlift render --tier tier2 --out deploy/oviya --diff   show what would change, exit 2 if anything
  tierlift render --tier tier3 --out deploy/oviya          write the set, keep the previous one
  tierlift render --tier tier3 --out deploy/oviya --overlays ops/overlays --diff
                                                           with your own small changes
  tierlift render --kept .tierlift/previous-sets/STAMP --out deploy/oviya
                                                           back to the files that were replaced, byte for byte

Exit codes: 0 done or nothing would change, 2 something would change, 3 a folder, template or overlay can't be used,
4 a file has a problem, or something would change for good that --accept-irreversible does not allow.")]
pub struct RenderArgs {
    /// The tier whose files to render
    #[arg(long, value_name = "TIER", required_unless_present = "kept")]
    pub tier: Option<String>,
    /// The system, when several have the tier
    #[arg(long)]
    pub system: Option<String>,
    /// Instead of rendering, take the files that `render` kept when it replaced them
    #[arg(long, value_name = "DIR", conflicts_with_all = ["tier", "system", "templates", "overlays"])]
    pub kept: Option<PathBuf>,
    /// Where the files go
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Your own templates, which replace ours file by file
    #[arg(long, value_name = "DIR")]
    pub templates: Option<PathBuf>,
    /// Partial files that change rendered ones of the same path: only the keys that are to differ
    #[arg(long, value_name = "DIR")]
    pub overlays: Option<PathBuf>,
    /// Only check the files
    #[arg(long)]
    pub check: bool,
    /// Show a unified diff against what is in --out
    #[arg(long)]
    pub diff: bool,
    /// Write even what the platform never takes back, such as a smaller disk
    #[arg(long)]
    pub accept_irreversible: bool,
}

/// Two databases. A URL on a command line can be seen by everyone on the machine, so a name of an environment
/// variable is taken too.
#[derive(Debug, Args)]
pub struct Pair {
    /// Source: a postgresql:// URL, or env:NAME to read it from the environment
    #[arg(long, value_name = "URL|env:NAME", env = "TIERLIFT_SOURCE_URL", hide_env_values = true)]
    pub source: String,
    /// Target: a postgresql:// URL, or env:NAME to read it from the environment
    #[arg(long, value_name = "URL|env:NAME", env = "TIERLIFT_TARGET_URL", hide_env_values = true)]
    pub target: String,
}

/// A heading of its own: one set for the whole group would go on below it.
const FILTERS: &str = "Filters";

/// What of the source comes, and under which names.
#[derive(Debug, Clone, Args)]
pub struct SelectionArgs {
    /// Only what this takes: schema or schema.table, with * and ? (repeatable)
    #[arg(help_heading = FILTERS, long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Nothing that this takes, included or not: schema or schema.table, with * and ? (repeatable)
    #[arg(help_heading = FILTERS, long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Everything but rows; sequences start anew
    #[arg(help_heading = FILTERS, long, conflicts_with = "data_only")]
    pub schema_only: bool,
    /// Rows and sequences only, into the target's own, empty tables
    #[arg(help_heading = FILTERS, long)]
    pub data_only: bool,
    /// What is in schema OLD arrives in schema NEW (repeatable)
    #[arg(help_heading = FILTERS, long, value_name = "OLD=NEW")]
    pub map_schema: Vec<String>,
    /// What belongs to role OLD will belong to role NEW, which the target must have (repeatable)
    #[arg(help_heading = FILTERS, long, value_name = "OLD=NEW")]
    pub map_owner: Vec<String>,
    /// Only rows of a table for which an SQL condition holds on the source (repeatable)
    #[arg(help_heading = FILTERS, long = "where", value_name = "TABLE=CONDITION")]
    pub conditions: Vec<String>,
}

/// `pg ...`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tierlift pg assess --source env:OLD_URL --target env:NEW_URL
  tierlift pg copy   --source env:OLD_URL --target env:NEW_URL --jobs 4 --yes
  tierlift pg verify --source env:OLD_URL --target env:NEW_URL --json
  tierlift pg copy   ... --exclude audit --exclude 'public.*_log' --where \"public.events=created_at >= '2026-01-01'\"
  tierlift pg copy   ... --schema-only --map-schema public=app --map-owner postgres=app_owner
  tierlift pg copy   ... --max-rate 20MB/s --max-source-sessions 10
  tierlift pg verify --source env:OLD_URL --target env:NEW_URL --repair-sql repair.sql")]
pub enum PgCommand {
    /// Look at both databases: what stands in the way (exit 4 when something does), what will differ, how long it takes
    #[command(after_help = "\
Examples:
  tierlift pg assess --source env:OLD_URL --target env:NEW_URL
  tierlift pg assess --source env:OLD_URL --target env:NEW_URL --json | jq '.assessment.findings[]'

Changes nothing. The text says the same of several objects once; --json names every one.")]
    Assess {
        /// The databases.
        #[command(flatten)]
        pair: Pair,
        /// What of the source.
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Copy the source, whole or filtered, into an empty target; the same command continues a copy that was interrupted
    /// (exit 4 when something stops it or was left out)
    #[command(after_help = COPY_EXAMPLES)]
    Copy {
        /// The databases.
        #[command(flatten)]
        pair: Pair,
        /// What of the source.
        #[command(flatten)]
        selection: SelectionArgs,
        /// Tables copied at once (default: what both ends' settings, their free connections and our cores allow, 2 to 8)
        #[arg(long, value_parser = at_least_one)]
        jobs: Option<usize>,
        /// Read the source no faster than this, all jobs together, e.g. 20MB/s or 512KiB/s
        #[arg(long, value_name = "RATE")]
        max_rate: Option<Rate>,
        /// Start no further reader while the source has more active sessions than this beside ours; one always goes on
        #[arg(long, value_name = "N")]
        max_source_sessions: Option<u32>,
        /// Cut tables larger than this into parts of about this size (default: only where it is worth it)
        #[arg(long, value_name = "MB", value_parser = at_least_one)]
        split_mb: Option<usize>,
        /// How long to wait and try again without getting on, when a server or a connection breaks off; 0: not at all
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        retry: u64,
        /// What to do when the target refuses an object: stop before any row is copied, or skip it and what needs it
        #[arg(long, value_name = "stop|skip", default_value = "stop", value_parser = on_refused)]
        on_refused: OnRefused,
        /// Do not ask before starting
        #[arg(long, short)]
        yes: bool,
    },
    /// Compare the contents of both databases row by row (exit 0 equal, 4 different)
    Verify(Box<VerifyArgs>),
}

/// `pg verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tierlift pg verify --source env:OLD_URL --target env:NEW_URL
  tierlift pg verify --source env:OLD_URL --target env:NEW_URL --repair-sql repair.sql
  tierlift pg verify --source env:OLD_URL --target env:NEW_URL --repair --yes
  tierlift pg verify --source env:OLD_URL --target env:NEW_URL --include 'public.messages'

Without any filter, what a copy on the target was made with is compared. Nothing is changed without --repair, and nothing on the source ever. --repair makes the
target equal to the source, one transaction a table: rows that only the target has are
deleted. It is refused while others are connected to the target, because what they wrote
would be undone. --repair-sql writes the same as SQL for psql, to review it first; the
file holds rows of the application, only its owner may read it.

After a repair the touched tables are compared again: exit 0 only when all is equal.")]
pub struct VerifyArgs {
    /// The databases.
    #[command(flatten)]
    pub pair: Pair,
    /// What of the source.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Sessions on each end that read at once (default: as many as this machine has cores)
    #[arg(long, value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Differing rows named for each table; all are counted
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub limit: usize,
    /// Write the SQL that makes the target equal to the source to this new file (exit 4 when there is any)
    #[arg(long, value_name = "FILE")]
    pub repair_sql: Option<PathBuf>,
    /// Make the target equal to the source
    #[arg(long, conflicts_with = "repair_sql")]
    pub repair: bool,
    /// Do not ask before the repair
    #[arg(long, short, requires = "repair")]
    pub yes: bool,
}

const COPY_EXAMPLES: &str = "\
Examples:
  tierlift pg copy --source env:OLD_URL --target env:NEW_URL --yes
  tierlift pg copy --source env:OLD_URL --target env:NEW_URL --on-refused skip --yes
  tierlift pg copy ... --exclude audit --exclude 'public.*_log' --include 'public.\"Mood Entries\"'
  tierlift pg copy ... --where \"public.events=created_at >= '2026-01-01'\"
  tierlift pg copy ... --schema-only --map-schema public=app --map-owner postgres=app_owner

Names in filters are case-sensitive; * takes any characters, ? one. A name with dots, quotes or wildcards
of its own goes into double quotes. --exclude wins over --include. A filter that matches nothing is an
error. What cannot be without something left out (a foreign key, a view) is left out too and named; a
table never is: then nothing starts.

Whatever the target refuses is found before any row is copied. With --on-refused stop (the default)
all of it is listed with the server's own words and the target is left as it was. With skip it is left
out together with what needs it; each such object is listed by name, and the command exits 4.";

/// The column that holds embeddings and the text they are made from.
#[derive(Debug, Args)]
pub struct VectorColumn {
    /// Database: a postgresql:// URL, or env:NAME to read it from the environment
    #[arg(long, value_name = "URL|env:NAME", env = "TIERLIFT_TARGET_URL", hide_env_values = true)]
    pub target: String,
    /// Table, schema-qualified
    #[arg(long, value_name = "SCHEMA.TABLE")]
    pub table: String,
    /// Text column
    #[arg(long, value_name = "COLUMN", default_value = "content")]
    pub text: String,
    /// Vector column
    #[arg(long, value_name = "COLUMN", default_value = "embedding")]
    pub column: String,
    /// Dimensions of the vector column
    #[arg(long, default_value_t = 1536)]
    pub dimensions: usize,
    /// Folder of the local embedding model
    #[arg(long, value_name = "DIR", env = "TIERLIFT_MODEL_DIR")]
    pub model_dir: Option<PathBuf>,
}

/// `vector ...`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tierlift vector plan     --target env:NEW_URL --table public.messages
  tierlift vector enable   --target env:NEW_URL --table public.messages
  tierlift vector backfill --target env:NEW_URL --table public.messages --workers 2
  tierlift vector index    --target env:NEW_URL --table public.messages
  tierlift vector recall   --target env:NEW_URL --table public.messages --min-recall 0.95
  tierlift vector search   --target env:NEW_URL --table public.messages 'cannot sleep before the exam'")]
pub enum VectorCommand {
    /// Say what enabling, backfilling and indexing would do; changes nothing
    Plan {
        /// The column.
        #[command(flatten)]
        at: VectorColumn,
    },
    /// Create the extension and the column
    Enable {
        /// The column.
        #[command(flatten)]
        at: VectorColumn,
    },
    /// Embed every row that has no embedding yet
    Backfill {
        /// The column.
        #[command(flatten)]
        at: VectorColumn,
        /// Chunks worked on at once
        #[arg(long, default_value_t = 2, value_parser = at_least_one)]
        workers: usize,
    },
    /// Build the ivfflat index
    Index {
        /// The column.
        #[command(flatten)]
        at: VectorColumn,
        /// Lists (default: rows / 1000, sqrt(rows) above a million)
        #[arg(long)]
        lists: Option<u32>,
    },
    /// Measure recall@k against exact search and choose probes
    Recall {
        /// The column.
        #[command(flatten)]
        at: VectorColumn,
        /// Neighbours asked for
        #[arg(long, default_value_t = 10, value_parser = at_least_one)]
        k: usize,
        /// Recall to reach
        #[arg(long, default_value_t = 0.9)]
        min_recall: f64,
    },
    /// Find the rows nearest in meaning to a text
    Search {
        /// The column.
        #[command(flatten)]
        at: VectorColumn,
        /// What to look for
        query: String,
        /// Hits to show
        #[arg(long, default_value_t = 5, value_parser = at_least_one)]
        k: usize,
        /// ivfflat lists to look into (default: the database's setting)
        #[arg(long)]
        probes: Option<u32>,
    },
}

fn on_refused(text: &str) -> Result<OnRefused, String> {
    match text {
        "stop" => Ok(OnRefused::Stop),
        "skip" => Ok(OnRefused::Skip),
        _ => Err("must be stop or skip".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("is no number: {error}")),
    }
}
