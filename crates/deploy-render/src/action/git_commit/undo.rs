//! The way back of `git.commit`: a revert of exactly its commit, with whatever the user has staged left alone.

use runbook::{Context, Failure, FailureKind};

use super::super::git::{Git, NO_PATHS};
use super::super::{process, run_file};
use super::{Before, GitCommit};

impl GitCommit {
    /// Reverts the step's commit. Without one, only what a step cut off had staged is taken out of the index again.
    ///
    /// # Errors
    /// When the branch is another, something else is half-way, or later changes are in the way; the repository is then as
    /// it was.
    pub(super) async fn put_back(&self, cx: &Context, before: &Before) -> Result<(), Failure> {
        let git = self.git();
        self.refuse_other_branch(before).await?;
        if let Some(operation) = git.operation().await? {
            let message = format!("{operation} is half-way");
            let hint = "finish it, or abort it, then roll back again";
            return Err(Failure::new(FailureKind::Blocked, git.object(), message, hint));
        }
        let Some(commit) = self.own_commit(cx).await? else { return unstage(&git, &self.files).await };
        if self.revert_of(&commit).await?.is_none() {
            self.revert(cx, &commit).await?;
        }
        // The revert was made beside the user's index, which still has the files as the commit had them.
        unstage(&git, &self.files).await
    }

    /// `git revert`, in an index of its own: git refuses to revert while anything is staged, and what the user staged is
    /// not ours to put away.
    async fn revert(&self, cx: &Context, commit: &str) -> Result<(), Failure> {
        let git = self.git();
        if let Some(file) = self.uncommitted().await?.first() {
            return Err(Failure::new(
                FailureKind::Blocked,
                format!("file {file}"),
                format!("has changes that are not committed, so commit {commit} can't be reverted"),
                "commit them, or put them away (git stash), then roll back again",
            ));
        }
        let index = run_file::path(cx, "git", ".index")?;
        run_file::make_folder(&index)?;
        let index = std::path::absolute(&index).map_err(|error| run_file::refused(&index, &error))?;
        run_file::remove(&index)?;
        let own = git.with_index(&index);
        own.ask(&["read-tree", "HEAD"], NO_PATHS).await?.success("look at the repository")?;
        // Its code only says that some files are not as in HEAD, which is the user's business.
        own.ask(&["update-index", "-q", "--refresh"], NO_PATHS).await?;
        let record = process::record_path(cx);
        let revert = own.program(&["-c", "revert.reference=false", "revert", "--no-edit", commit], NO_PATHS);
        let ended = revert.run(record.as_deref()).await?;
        if !ended.is_success() {
            let conflicting = own.names(&["diff", "--name-only", "--diff-filter=U", "-z"], NO_PATHS).await?;
            let mut failure = ended.failure("");
            if git.operation().await?.is_some() {
                let hint = "`git revert --abort` did not work: look at `git status`";
                own.program(&["revert", "--abort"], NO_PATHS).run(record.as_deref()).await?.success(hint)?;
            }
            failure.object = git.object();
            failure.message = match conflicting.is_empty() {
                true => format!("commit {commit} can't be reverted"),
                false => format!(
                    "commit {commit} can't be reverted: later commits changed the same lines of {}",
                    conflicting.join(", ")
                ),
            };
            failure.hint = format!("revert it by hand (git revert {commit}), then roll back again");
            return Err(failure);
        }
        run_file::remove(&index)
    }
}

/// Takes what is staged of these files out of the index again; the files themselves stay as they are.
async fn unstage(git: &Git, files: &[String]) -> Result<(), Failure> {
    let args = ["diff", "--cached", "--name-only", "--no-renames", "--relative", "-z", "HEAD"];
    let staged = git.names(&args, files).await?;
    if staged.is_empty() {
        return Ok(());
    }
    let restore = git.program(&["restore", "--staged", "--source=HEAD"], &staged);
    restore.run(None).await?.success("try the command by hand").map(drop)
}
