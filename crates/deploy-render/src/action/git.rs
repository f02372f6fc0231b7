//! Questions to git, and the few commands that change a repository.

use std::path::{Path, PathBuf};
use std::time::Duration;

use runbook::{Failure, FailureKind};

use super::program::{Ended, Program};

/// Hooks and signatures take their time; git itself does not.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What would make git look at another repository, index or set of objects than the step names.
const FOREIGN: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// Git in one folder of a work tree. Paths are taken literally: no pattern, no magic.
pub(super) struct Git {
    folder: PathBuf,
    index: Option<PathBuf>,
}

impl Git {
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), index: None }
    }

    /// The same with an index of its own instead of the user's.
    pub(super) fn with_index(&self, index: &Path) -> Self {
        Self { folder: self.folder.clone(), index: Some(index.to_owned()) }
    }

    pub(super) fn program<S: AsRef<str>>(&self, args: &[&str], paths: &[S]) -> Program {
        let mut argv = vec!["git".to_owned(), "--literal-pathspecs".to_owned()];
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        if !paths.is_empty() {
            argv.push("--".to_owned());
            argv.extend(paths.iter().map(|path| path.as_ref().to_owned()));
        }
        let mut program = Program::new(argv, TIMEOUT).in_dir(&self.folder).whole_output();
        for name in FOREIGN {
            program = program.variable(name, None);
        }
        if let Some(index) = &self.index {
            program = program.variable("GIT_INDEX_FILE", Some(&index.to_string_lossy()));
        }
        // A question must not wait for a lock, nor for somebody to type a password.
        program
            .variable("GIT_OPTIONAL_LOCKS", Some("0"))
            .variable("GIT_TERMINAL_PROMPT", Some("0"))
            .variable("LC_ALL", Some("C"))
    }

    /// Asks, whatever the answer's exit code.
    pub(super) async fn ask<S: AsRef<str>>(&self, args: &[&str], paths: &[S]) -> Result<Ended, Failure> {
        self.program(args, paths).run(None).await
    }

    /// Asks for the lines of an answer.
    pub(super) async fn lines(&self, args: &[&str]) -> Result<Vec<String>, Failure> {
        let ended = self.ask(args, NO_PATHS).await?;
        let ended = ended.success("try the command by hand")?;
        Ok(String::from_utf8_lossy(ended.output()?).lines().map(str::to_owned).collect())
    }

    /// Asks for names that end with a zero byte each (`-z`).
    pub(super) async fn names<S: AsRef<str>>(&self, args: &[&str], paths: &[S]) -> Result<Vec<String>, Failure> {
        let ended = self.ask(args, paths).await?.success("try the command by hand")?;
        let text = String::from_utf8(ended.output()?.to_vec()).map_err(|_| {
            let message = "a file's name is no UTF-8 text, and can't be given to git safely";
            Failure::new(FailureKind::Blocked, self.object(), message, "give the file another name")
        })?;
        Ok(text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// The one line of an answer; none when git says no.
    pub(super) async fn line(&self, args: &[&str]) -> Result<Option<String>, Failure> {
        let ended = self.ask(args, NO_PATHS).await?;
        if !ended.is_success() {
            return Ok(None);
        }
        Ok(String::from_utf8_lossy(ended.output()?).lines().next().map(str::to_owned))
    }

    /// What failures call it.
    pub(super) fn object(&self) -> String {
        format!("repository {}", self.folder.display())
    }

    /// Which operation is half-way, if one is.
    pub(super) async fn operation(&self) -> Result<Option<&'static str>, Failure> {
        const MARKS: [(&str, &str); 6] = [
            ("MERGE_HEAD", "a merge"),
            ("CHERRY_PICK_HEAD", "a cherry-pick"),
            ("REVERT_HEAD", "a revert"),
            ("rebase-merge", "a rebase"),
            ("rebase-apply", "a rebase"),
            ("BISECT_LOG", "a bisection"),
        ];
        let mut args = vec!["rev-parse"];
        args.extend(MARKS.iter().flat_map(|(mark, _)| ["--git-path", mark]));
        let paths = self.lines(&args).await?;
        let found = paths.iter().position(|path| self.folder.join(path).exists());
        Ok(found.map(|at| MARKS[at].1))
    }
}

/// For commands without any.
pub(super) const NO_PATHS: &[&str] = &[];
