//! Where runs live: `<root>/runs/<run>/{plan.json, journal.jsonl}` and `<root>/locks/<target>.lock`.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};

use crate::canonical::sha256_hex;
use crate::entry::Entry;
use crate::failure::{Failure, FailureKind};
use crate::journal::{Journal, JournalError, ReadJournal, Record, is_held, read_journal, sync_folder};
use crate::lock::{Holder, TargetLock, try_lock};
use crate::plan::Plan;
use crate::run_state::{RunState, RunStatus};

/// The plan's name within a run's folder.
pub(crate) const PLAN_FILE: &str = "plan.json";

/// The journal's name within a run's folder.
pub(crate) const JOURNAL_FILE: &str = "journal.jsonl";

/// A folder of runs. Nothing is created before the first run.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A run as its files tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its id, e.g. `20261123-090512-1a2b3c`.
    pub id: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What it obeys.
    pub plan: Plan,
    /// What happened, line by line.
    pub records: Vec<Record>,
    /// What follows from that.
    pub state: RunState,
    /// Whether a process is at it right now.
    pub live: bool,
    /// How many bytes a crash left of a last event that never happened.
    pub torn_bytes: u64,
}

/// A run's id, and the run unless its files don't verify.
pub type NamedRun = (String, Result<RunRecord, Failure>);

impl RunRecord {
    /// Where the run is: a run that its journal leaves under way while no process is at it was interrupted.
    pub fn status(&self) -> RunStatus {
        match (&self.state.status, self.live) {
            (RunStatus::Running | RunStatus::Unwinding, false) => {
                RunStatus::Interrupted { unwinding: self.state.must_unwind() }
            }
            (status, _) => status.clone(),
        }
    }
}

impl Store {
    /// The store in this folder, usually `.tierlift`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The ids of all runs, oldest first.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn run_ids(&self) -> Result<Vec<String>, Failure> {
        let entries = match std::fs::read_dir(self.runs()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.unusable(&error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| self.unusable(&error))?.file_name().to_string_lossy().into_owned();
            // A run under construction has a dot in front; a crash may leave one for good, and it never began.
            if !name.starts_with('.') {
                ids.push(name);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// All runs, oldest first. One that can't be read does not hide the others.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list_runs(&self) -> Result<Vec<NamedRun>, Failure> {
        Ok(self.run_ids()?.into_iter().map(|id| (id.clone(), self.read_run(&id))).collect())
    }

    /// One run, by its id or the unique beginning of it.
    ///
    /// # Errors
    /// `InvalidInput` when there is none or more than one, or when its files don't verify.
    pub fn open(&self, run: &str) -> Result<RunRecord, Failure> {
        self.read_run(&self.full_id(run)?)
    }

    /// The run that used a plan up, if one did.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn is_consumed(&self, plan_digest: &str) -> Result<Option<String>, Failure> {
        for id in self.run_ids()? {
            // The saved plan is enough: it is written before the run begins, and a run that began used it up.
            if Plan::load(&self.dir(&id).join(PLAN_FILE)).is_ok_and(|plan| plan.digest() == plan_digest) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The last run on a target that has no end yet, so that another must not start.
    ///
    /// # Errors
    /// When a run on that target can't be read: nobody knows then how it left it.
    pub fn unfinished_run_on(&self, target: &str) -> Result<Option<RunRecord>, Failure> {
        Ok(self.runs_on(target)?.into_iter().rev().find(|run| !run.status().is_finished()))
    }

    /// Refuses a target on which a run, other than `but`, has no end yet.
    ///
    /// # Errors
    /// `Locked`, naming that run; or when a run on that target can't be read.
    pub fn refuse_unfinished(&self, target: &str, but: Option<&str>) -> Result<(), Failure> {
        let unfinished = |run: &RunRecord| Some(run.id.as_str()) != but && !run.status().is_finished();
        match self.runs_on(target)?.into_iter().rev().find(unfinished) {
            Some(run) => Err(Failure::new(
                FailureKind::Locked,
                format!("target {target}"),
                format!("run {} on it is {} and has no end", run.id, run.status().word()),
                format!("`tierlift resume {0}` or `tierlift rollback {0}` first", run.id),
            )),
            None => Ok(()),
        }
    }

    /// All runs on a target, oldest first.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn runs_on(&self, target: &str) -> Result<Vec<RunRecord>, Failure> {
        let mut runs = Vec::new();
        for id in self.run_ids()? {
            if self.plan_of(&id)?.target == target {
                runs.push(self.read_run(&id)?);
            }
        }
        Ok(runs)
    }

    /// Takes a target for a run on this machine.
    ///
    /// # Errors
    /// `Locked`, naming who has it, on which host, with which process, for which run and since when.
    pub fn lock_target(&self, target: &str, run: &str) -> Result<TargetLock, Failure> {
        let folder = self.root.join("locks");
        self.create_folder(&folder).map_err(|error| self.unusable(&error))?;
        let path = folder.join(format!("{}.lock", &sha256_hex(target.as_bytes())[..16]));
        match try_lock(&path, Holder::this_process(target, run)).map_err(|error| self.unusable(&error))? {
            Ok(lock) => Ok(lock),
            Err(holder) => Err(Failure::new(
                FailureKind::Locked,
                format!("target {target}"),
                match holder {
                    Some(h) => format!(
                        "run {} of {} holds it: process {} on {} since {}, last heard of {}",
                        h.run, h.owner, h.pid, h.host, h.since, h.heartbeat
                    ),
                    None => "another process holds it and has not said who it is".to_owned(),
                },
                "wait until that run ends, or stop its process and then resume or roll back its run",
            )),
        }
    }

    /// A new run id: the time and the beginning of the plan's digest.
    pub(crate) fn new_id(&self, plan_digest: &str, now: Timestamp) -> String {
        let stem = format!("{}-{}", now.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S"), &plan_digest[..6]);
        let mut id = stem.clone();
        for n in 2.. {
            if !self.dir(&id).exists() {
                break;
            }
            id = format!("{stem}-{n}");
        }
        id
    }

    /// Makes a run's folder with its plan and the first line of its journal: all there and durable, or not there.
    pub(crate) fn create_run(&self, id: &str, plan: &Plan) -> Result<Journal, Failure> {
        let building = self.runs().join(format!(".{id}"));
        let build = || -> io::Result<()> {
            self.create_folder(&self.runs())?;
            self.create_folder(&building)?;
            write_durably(&building.join(PLAN_FILE), plan.to_file().as_bytes())
        };
        build().map_err(|error| self.unusable(&error))?;
        let first =
            Entry::RunStarted { run: id.to_owned(), plan_digest: plan.digest(), plan_file: PLAN_FILE.to_owned() };
        // Dropped and opened again under its final name, so that its errors name a file that exists.
        // Nothing was changed yet, so a folder that can't be written to is the caller's to mend.
        let journal = Journal::create(&building.join(JOURNAL_FILE), &first).map_err(|error| match error {
            JournalError::Io { source, .. } => self.unusable(&source),
            other => other.into(),
        })?;
        drop(journal);
        std::fs::rename(&building, self.dir(id))
            .and_then(|()| sync_folder(&self.runs()))
            .map_err(|error| self.unusable(&error))?;
        Ok(Journal::open(&self.dir(id).join(JOURNAL_FILE))?.0)
    }

    /// Opens a run to go on with it: its journal is this process's alone from here on.
    pub(crate) fn take_up(&self, id: &str) -> Result<(Journal, RunRecord), Failure> {
        let (journal, read) =
            Journal::open(&self.dir(id).join(JOURNAL_FILE)).map_err(|error| of_run(id, error.into()))?;
        let record = self.fold(id, read, true)?;
        Ok((journal, record))
    }

    /// The id that a beginning of it stands for.
    pub(crate) fn full_id(&self, run: &str) -> Result<String, Failure> {
        let ids = self.run_ids()?;
        let matching: Vec<&String> = ids.iter().filter(|id| id.starts_with(run)).collect();
        let refuse = |message: &str, shown: Vec<&str>| {
            let hint = match shown.as_slice() {
                [] => {
                    format!("there are no runs in {}; is this the folder they were started from?", self.root.display())
                }
                shown => format!("name one of: {}", shown.join(", ")),
            };
            Failure::new(FailureKind::InvalidInput, format!("run {run}"), message, hint)
        };
        match matching.as_slice() {
            _ if ids.iter().any(|id| id == run) => Ok(run.to_owned()),
            _ if run.is_empty() => Err(refuse("is no run id", ids.iter().rev().take(5).map(String::as_str).collect())),
            [one] => Ok((*one).clone()),
            [] => Err(refuse("does not exist", ids.iter().rev().take(5).map(String::as_str).collect())),
            several => Err(refuse("could be several runs", several.iter().map(|id| id.as_str()).collect())),
        }
    }

    /// The folder of a run.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.runs().join(id)
    }

    fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    fn plan_of(&self, id: &str) -> Result<Plan, Failure> {
        Plan::load(&self.dir(id).join(PLAN_FILE)).map_err(|mut failure| {
            failure.hint = format!(
                "restore the file from a copy; or, if you know that run {id} left nothing behind, move {} away",
                self.dir(id).display()
            );
            failure
        })
    }

    fn read_run(&self, id: &str) -> Result<RunRecord, Failure> {
        let path = self.dir(id).join(JOURNAL_FILE);
        // Asked before reading: a run that ends in between is then shown as it ended, not as interrupted.
        let live = is_held(&path).map_err(|error| of_run(id, self.unusable(&error)))?;
        let read = read_journal(&path).map_err(|error| of_run(id, error.into()))?;
        self.fold(id, read, live)
    }

    fn fold(&self, id: &str, read: ReadJournal, live: bool) -> Result<RunRecord, Failure> {
        let dir = self.dir(id);
        let plan = self.plan_of(id)?;
        let wrong = |what: String| {
            Failure::new(
                FailureKind::InvalidInput,
                format!("run {id}"),
                what,
                "its files were mixed up or damaged: restore them from a copy",
            )
        };
        match read.records.first().map(|record| &record.event) {
            Some(Entry::RunStarted { plan_digest, .. }) if *plan_digest == plan.digest() => {}
            Some(Entry::RunStarted { .. }) => return Err(wrong("the journal is of another plan".to_owned())),
            _ => return Err(wrong("the journal does not begin with the start of a run".to_owned())),
        }
        let mut state = RunState::new(&plan);
        for record in &read.records {
            state
                .apply(&record.event)
                .map_err(|error| wrong(format!("line {} of the journal can't have happened: {error}", record.seq)))?;
        }
        Ok(RunRecord { id: id.to_owned(), dir, plan, records: read.records, state, live, torn_bytes: read.torn_bytes })
    }

    /// Journals hold what undo must know of a database: for the owner's eyes, and for no repository.
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        let ignore = self.root.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(ignore, "*\n")?;
        }
        Ok(())
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::from_error(
            FailureKind::InvalidInput,
            format!("state folder {}", self.root.display()),
            error,
            "run tierlift from a folder you may write to, or name another state folder",
        )
    }
}

/// Writes a file whole or not at all; it is on disk when this returns.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "names no file"))?;
    let temporary = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_folder(folder)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

fn of_run(id: &str, mut failure: Failure) -> Failure {
    if failure.object.is_empty() {
        failure.object = format!("run {id}");
    }
    failure
}
