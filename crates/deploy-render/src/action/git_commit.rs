//! `git.commit` commits the files it names and nothing else; its undo reverts that commit by another.

mod arguments;
mod undo;

use std::path::PathBuf;

use async_trait::async_trait;
use runbook::{Action, Check, Context, Effect, Estimate, Failure, FailureKind, Finding, Inspect, Preview};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::git::{Git, NO_PATHS};
use super::program::{NOT_FOUND, NOT_FOUND_REMEDY};
use super::{blocks, from_before, process, to_before};

/// Name of the action.
pub(super) const GIT_COMMIT: &str = "git.commit";

/// The trailer by which a commit is known to be a step's: `Tierlift-Step: RUN/STEP`.
const TRAILER: &str = "Tierlift-Step";

/// Arguments of `git.commit`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GitCommit {
    /// A folder of the work tree; the paths are relative to it.
    repository: PathBuf,
    /// The files, or folders with all they hold.
    files: Vec<String>,
    /// What the commit is for.
    message: String,
}

/// Where the branch was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    /// The branch, e.g. `refs/heads/main`.
    branch: String,
    /// Its last commit.
    head: String,
}

impl GitCommit {
    fn git(&self) -> Git {
        Git::at(&self.repository)
    }

    /// What makes a commit, or its revert, impossible here.
    async fn problems(&self) -> Result<Vec<Finding>, Failure> {
        let git = self.git();
        let object = git.object();
        let stop = |message: &str, remedy: &str| blocks(object.clone(), message, remedy);
        if !self.repository.is_dir() {
            return Ok(vec![stop("there is no such folder", "name the folder of a git work tree")]);
        }
        if git.program(&["version"], NO_PATHS).find().is_none() {
            return Ok(vec![blocks("program git", NOT_FOUND, NOT_FOUND_REMEDY)]);
        }
        let inside = git.ask(&["rev-parse", "--is-inside-work-tree"], NO_PATHS).await?;
        if !inside.is_success() || inside.output()?.trim_ascii() != b"true" {
            let [_, said] = inside.last_lines();
            let said = said.last().map(|line| format!(" ({line})")).unwrap_or_default();
            return Ok(vec![stop(&format!("it is no git work tree{said}"), "name the folder of a git work tree")]);
        }
        let mut found = Vec::new();
        if git.line(&["symbolic-ref", "--quiet", "HEAD"]).await?.is_none() {
            found.push(stop(
                "HEAD is detached, so a commit would be on no branch",
                "switch to the branch it belongs on",
            ));
        }
        if git.line(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?.is_none() {
            found.push(stop("it has no commit yet", "make its first commit by hand"));
        }
        if let Some(operation) = git.operation().await? {
            found.push(stop(&format!("{operation} is half-way"), "finish it, or abort it"));
        }
        for who in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            if found.iter().all(|f| !f.message.contains("who commits")) && git.line(&["var", who]).await?.is_none() {
                found.push(stop("git does not know who commits", "set user.name and user.email (git config)"));
            }
        }
        let line_ends = git.line(&["config", "--get", "core.autocrlf"]).await?;
        if line_ends.is_some_and(|value| value == "true") {
            let message = "core.autocrlf changes line ends, so a revert would not bring the same bytes back";
            found.push(stop(message, "set core.autocrlf to false or input in this repository"));
        }
        let ignored = ["ls-files", "--others", "--ignored", "--exclude-standard", "-z"];
        if let Some(file) = git.names(&ignored, &self.files).await?.first() {
            let message = "git ignores it, so it would neither be committed nor come back with a revert";
            found.push(blocks(
                format!("file {file}"),
                message,
                "take it out of .gitignore, or name the files one by one",
            ));
        }
        Ok(found)
    }

    async fn refuse_problems(&self) -> Result<(), Failure> {
        match self.problems().await?.into_iter().next() {
            Some(found) => Err(Failure::new(FailureKind::Blocked, found.object, found.message, found.remedy)),
            None => Ok(()),
        }
    }

    /// The named files that are not as the last commit has them.
    async fn uncommitted(&self) -> Result<Vec<String>, Failure> {
        let args = ["status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"];
        let lines = self.git().names(&args, &self.files).await?;
        // Two letters of state and a space stand in front of each name.
        Ok(lines.iter().filter_map(|line| line.get(3..)).map(str::to_owned).collect())
    }

    async fn place(&self) -> Result<Before, Failure> {
        let git = self.git();
        let branch = git.line(&["symbolic-ref", "--quiet", "HEAD"]).await?;
        let head = git.line(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?;
        match (branch, head) {
            (Some(branch), Some(head)) => Ok(Before { branch, head }),
            _ => {
                let (message, hint) = ("it is on no branch with a commit", "switch to the branch the files belong on");
                Err(Failure::new(FailureKind::Blocked, git.object(), message, hint))
            }
        }
    }

    /// The branch must be the one that the step began on: on another, its commit is not to be found.
    async fn refuse_other_branch(&self, before: &Before) -> Result<(), Failure> {
        let now = self.place().await?;
        if now.branch == before.branch {
            return Ok(());
        }
        let short = |branch: &str| branch.trim_start_matches("refs/heads/").to_owned();
        Err(Failure::new(
            FailureKind::Blocked,
            self.git().object(),
            format!("it is on branch {}, and the step began on {}", short(&now.branch), short(&before.branch)),
            format!("git switch {}, then try again", short(&before.branch)),
        ))
    }

    /// The step's commit in the branch, unless it was reverted.
    async fn committed(&self, cx: &Context) -> Result<Option<String>, Failure> {
        match self.own_commit(cx).await? {
            Some(commit) if self.revert_of(&commit).await?.is_none() => Ok(Some(commit)),
            _ => Ok(None),
        }
    }

    /// The newest commit in the branch with the step's trailer.
    async fn own_commit(&self, cx: &Context) -> Result<Option<String>, Failure> {
        let Some(mark) = mark(cx) else { return Ok(None) };
        let pattern = format!("--grep={TRAILER}: {mark}");
        let format = format!("--format=%H %(trailers:key={TRAILER},valueonly,separator=%x20)");
        let lines = self.git().lines(&["log", "--fixed-strings", &pattern, &format, "HEAD"]).await?;
        // The pattern may stand anywhere in a message, and one step's id begin another's: only the trailer counts.
        let own = lines.iter().find_map(|line| {
            let mut words = line.split(' ');
            let commit = words.next()?;
            words.any(|word| word == mark).then(|| commit.to_owned())
        });
        Ok(own)
    }

    /// The commit that reverts this one: git writes into its message which it reverts.
    async fn revert_of(&self, commit: &str) -> Result<Option<String>, Failure> {
        let pattern = format!("--grep=This reverts commit {commit}.");
        let range = format!("{commit}..HEAD");
        self.git().line(&["log", "--fixed-strings", "--format=%H", &pattern, &range]).await
    }

    async fn output(&self, commit: &str) -> Result<Value, Failure> {
        let args = ["diff-tree", "--no-commit-id", "--name-only", "--no-renames", "-r", "-z", commit];
        let files = self.git().names(&args, NO_PATHS).await?;
        let branch = self.place().await?.branch;
        Ok(json!({"commit": commit, "branch": branch, "committed_files": files.len()}))
    }
}

/// What the trailer says; none outside of a run.
fn mark(cx: &Context) -> Option<String> {
    cx.run_id().map(|run| format!("{run}/{}", cx.step()))
}

#[async_trait]
impl Inspect for GitCommit {
    fn effect(&self) -> Effect {
        Effect::Reversible
    }

    async fn preview(&self, _cx: &Context) -> Result<Preview, Failure> {
        let mut findings = self.problems().await?;
        let files = self.files.join(", ");
        let place = self.repository.display();
        let mut branch = String::new();
        if findings.is_empty() {
            branch = format!(" on {}", self.place().await?.branch.trim_start_matches("refs/heads/"));
            findings.extend(self.uncommitted().await?.into_iter().map(|file| {
                let message = "has changes that are not committed, and they would become part of the step's commit";
                blocks(format!("file {file}"), message, "commit them, or put them away (git stash), before the run")
            }));
        }
        let subject = self.message.lines().next().unwrap_or_default();
        Ok(Preview {
            changes: vec![format!("commit what earlier steps change in {files} of {place}{branch}: {subject}")],
            undo: "revert that commit by another (git revert)".to_owned(),
            estimate: Estimate { rows: None, bytes: None, seconds: Some(5.0) },
            findings,
        })
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        if cx.run_id().is_none() {
            // Before a run nothing of what it will commit is there.
            return Ok(Check::Pending { before: Value::Null });
        }
        process::refuse_outlived(cx)?;
        if self.committed(cx).await?.is_some() || self.uncommitted().await?.is_empty() {
            return Ok(Check::Done);
        }
        Ok(Check::Pending { before: to_before(&self.place().await?)? })
    }
}

#[async_trait]
impl Action for GitCommit {
    async fn apply(&self, cx: &Context, before: &Value) -> Result<Value, Failure> {
        process::refuse_outlived(cx)?;
        self.refuse_other_branch(&from_before(before)?).await?;
        self.refuse_problems().await?;
        if let Some(commit) = self.committed(cx).await? {
            return self.output(&commit).await;
        }
        if self.uncommitted().await?.is_empty() {
            return Ok(json!({"commit": null, "committed_files": 0}));
        }
        let git = self.git();
        let record = process::record_path(cx);
        let hint = "put right what git complains about, then make a new plan";
        git.program(&["add"], &self.files).run(record.as_deref()).await?.success(hint)?;
        let message = format!("--message={}", self.message);
        let trailer = format!("--message={TRAILER}: {}", mark(cx).unwrap_or_default());
        let commit = ["commit", "--quiet", "--cleanup=whitespace", &message, &trailer, "--only"];
        git.program(&commit, &self.files).run(record.as_deref()).await?.success(hint)?;
        match self.committed(cx).await? {
            Some(commit) => self.output(&commit).await,
            None => {
                let (message, hint) = ("the commit just made is not on the branch", "look at its hooks");
                Err(Failure::new(FailureKind::Failed, git.object(), message, hint))
            }
        }
    }

    async fn verify(&self, cx: &Context) -> Result<(), Failure> {
        let git = self.git();
        let failed = |message: String, hint: &str| Err(Failure::new(FailureKind::Failed, git.object(), message, hint));
        if let Some(file) = self.uncommitted().await?.first() {
            let message = format!("{file} has changes that are not committed");
            return failed(message, "find out who else writes there, or which hook does");
        }
        let Some(commit) = self.committed(cx).await? else { return Ok(()) };
        let args = ["diff-tree", "--no-commit-id", "--name-only", "--no-renames", "-r", "-z", &commit];
        let named = git.names(&args, &self.files).await?;
        match git.names(&args, NO_PATHS).await?.into_iter().find(|file| !named.contains(file)) {
            Some(file) => {
                failed(format!("commit {commit} has {file}, which the step does not name"), "look at its hooks")
            }
            None => Ok(()),
        }
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        process::refuse_outlived(cx)?;
        self.put_back(cx, &from_before(before)?).await
    }
}
