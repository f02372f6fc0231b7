//! `git.commit` in real repositories: only the named files, one commit, one revert, and nothing of the user's touched.

mod actions;
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use actions::*;
use runbook::{Check, Effect, FailureKind};
use serde_json::{Value, json};

/// A repository with a commit: `app.txt`, `deploy/a.yaml`, `deploy/b.yaml`.
struct Repository {
    run: Run,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { run: Run::new() };
        fs::create_dir(repository.dir()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        let settings = [
            ("user.name", "Test"),
            ("user.email", "test@example.com"),
            ("commit.gpgsign", "false"),
            ("core.autocrlf", "false"),
            ("core.hooksPath", "hooks-of-no-test"),
            ("gc.auto", "0"),
        ];
        for (name, value) in settings {
            repository.git(&["config", name, value]);
        }
        repository.write("app.txt", "app\n");
        repository.write("deploy/a.yaml", "a: 1\n");
        repository.write("deploy/b.yaml", "b: 1\n");
        repository.commit_all("first");
        repository
    }

    fn dir(&self) -> PathBuf {
        self.run.path("repository")
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git").args(args).current_dir(self.dir()).env("LC_ALL", "C").output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn commit_all(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "-m", message]);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn status(&self) -> Vec<String> {
        self.git(&["status", "--porcelain", "--untracked-files=all"]).lines().map(str::to_owned).collect()
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    fn with(&self) -> Value {
        json!({"repository": self.dir(), "files": ["deploy"], "message": "Deploy tier 2\n\nBy tierlift."})
    }

    /// What an earlier step does to the named files.
    fn change_files(&self) {
        self.write("deploy/a.yaml", "a: 2\n");
        self.write("deploy/new/c.yaml", "c: 1\n");
        fs::remove_file(self.dir().join("deploy/b.yaml")).unwrap();
    }
}

#[test]
fn refuses_everything_but_named_files() {
    let run = Run::new();
    let usable = json!({"repository": run.dir.path(), "files": ["deploy", "a b.txt", ":x", "*"], "message": "x"});
    step("git.commit", &usable);
    let check = |change: &dyn Fn(&mut Value), words: &str| refuses("git.commit", &usable, change, words);
    check(&|with| with["files"] = json!([]), "files is empty");
    check(&|with| with["files"] = json!("deploy"), "invalid type");
    for everything in ["", ".", "./", "././."] {
        check(&|with| with["files"] = json!(["a", everything]), "is the whole repository");
    }
    check(&|with| with["files"] = json!([run.dir.path()]), "is the whole repository");
    check(&|with| with["files"] = json!(["../x"]), "goes up with `..`");
    check(&|with| with["files"] = json!(["a/../.."]), "goes up with `..`");
    check(&|with| with["files"] = json!(["/etc/passwd"]), "is not in the repository's folder");
    check(&|with| with["files"] = json!([".git/config"]), "is git's own");
    check(&|with| with["files"] = json!(["a\0b"]), "holds a zero byte");
    check(&|with| with["repository"] = json!(""), "repository is empty");
    check(&|with| with["message"] = json!(" \n"), "message is empty");
    check(&|with| with["message"] = json!("a\0"), "message holds a zero byte");
    check(&|with| with["message"] = json!("x\n\nTierlift-Step: r9/z"), "message holds Tierlift-Step");
    check(&|with| with["message"] = json!({"env": "X"}), "invalid type");
    check(&|with| with["all"] = json!(true), "unknown field `all`");
    check(&|with| drop(with.as_object_mut().unwrap().remove("message")), "missing field `message`");
}

#[tokio::test]
async fn commits_only_the_named_files_and_reverts_only_that_commit() {
    let repository = Repository::new();
    // What the user is at: something staged, something not, something new.
    repository.write("staged.txt", "mine\n");
    repository.write("app.txt", "app, edited\n");
    repository.git(&["add", "staged.txt"]);
    repository.write("notes.txt", "mine\n");
    let (start, users) = (files(&repository.dir()), repository.status());
    let first = repository.head();

    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    assert_eq!(commit.effect(), Effect::Reversible);
    repository.change_files();
    let changed = files(&repository.dir());
    let before = pending(&*commit, &cx).await;
    assert_eq!(before, json!({"branch": "refs/heads/main", "head": first}));
    let output = commit.apply(&cx, &before).await.unwrap();
    commit.verify(&cx).await.unwrap();
    assert_eq!(output, json!({"commit": repository.head(), "branch": "refs/heads/main", "committed_files": 3}));
    assert_eq!(
        repository.git(&["log", "-1", "--format=%P%n%B"]),
        format!("{first}\nDeploy tier 2\n\nBy tierlift.\n\nTierlift-Step: r1/commit")
    );
    assert_eq!(
        repository.git(&["show", "--format=", "--name-status", "--no-renames", "HEAD"]),
        "M\tdeploy/a.yaml\nD\tdeploy/b.yaml\nA\tdeploy/new/c.yaml"
    );
    assert_eq!((repository.status(), files(&repository.dir())), (users.clone(), changed));

    // Again, and after a crash between the commit and the journal.
    let committed = repository.head();
    assert!(is_done(&*commit, &cx).await);
    assert_eq!(commit.apply(&cx, &before).await.unwrap(), output);
    assert_eq!(repository.head(), committed);

    for _ in 0..2 {
        commit.undo(&cx, &before).await.unwrap();
        assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "3");
        assert_eq!((repository.status(), files(&repository.dir())), (users.clone(), start.clone()));
        assert_eq!(repository.git(&["diff", "--stat", &first, "HEAD"]), "");
    }
    assert!(repository.git(&["log", "-1", "--format=%B"]).contains(&format!("This reverts commit {committed}.")));
    assert_eq!(repository.git(&["rev-parse", "HEAD^"]), committed, "nothing was rewritten");

    // A run that can only go forward begins the step afresh, and may go back again.
    repository.change_files();
    assert_eq!(pending(&*commit, &cx).await["head"], json!(repository.head()));
    commit.apply(&cx, &before).await.unwrap();
    assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "4");
    commit.undo(&cx, &before).await.unwrap();
    assert_eq!((repository.status(), files(&repository.dir())), (users, start));
}

#[tokio::test]
async fn nothing_to_commit_is_done() {
    let repository = Repository::new();
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.write("app.txt", "another file\n");
    assert!(is_done(&*commit, &cx).await);
    // In a dry run, what will be committed is not there yet.
    assert_eq!(commit.check(&repository.run.dry()).await.unwrap(), Check::Pending { before: Value::Null });
    let before = json!({"branch": "refs/heads/main", "head": repository.head()});
    assert_eq!(commit.apply(&cx, &before).await.unwrap()["commit"], Value::Null);
    commit.verify(&cx).await.unwrap();
    commit.undo(&cx, &before).await.unwrap();
    assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "1");
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_nothing_staged() {
    let repository = Repository::new();
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.change_files();
    let (changed, status) = (files(&repository.dir()), repository.status());
    let before = pending(&*commit, &cx).await;
    repository.git(&["add", "deploy"]);
    assert!(!is_done(&*commit, &cx).await);
    for _ in 0..2 {
        commit.undo(&cx, &before).await.unwrap();
        assert_eq!((files(&repository.dir()), repository.status()), (changed.clone(), status.clone()));
    }
    // Or it goes forward.
    repository.git(&["add", "deploy"]);
    commit.apply(&cx, &before).await.unwrap();
    assert_eq!(repository.status(), Vec::<String>::new());
}

#[tokio::test]
async fn a_crash_within_the_undo_is_finished() {
    let repository = Repository::new();
    let start = files(&repository.dir());
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.change_files();
    let before = pending(&*commit, &cx).await;
    commit.apply(&cx, &before).await.unwrap();
    let committed = repository.head();
    // A revert beside the user's index, which still has the commit's files: killed right then.
    repository.git(&["revert", "--no-edit", "HEAD"]);
    repository.git(&["read-tree", &committed]);
    assert_ne!(repository.status(), Vec::<String>::new());
    commit.undo(&cx, &before).await.unwrap();
    assert_eq!((repository.status(), files(&repository.dir())), (vec![], start));
    assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "3");
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_before_the_run() {
    let check = async |change: &dyn Fn(&Repository), expect: &[&str]| {
        let repository = Repository::new();
        change(&repository);
        let commit = step("git.commit", &repository.with());
        let preview = commit.preview(&repository.run.dry()).await.unwrap();
        let place = format!("repository {}: ", repository.dir().display());
        let found: Vec<String> = blocking(&preview.findings).iter().map(|f| f.replace(&place, "")).collect();
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "`{found}` does not say `{expect}`");
        }
        (repository, commit)
    };
    let (repository, commit) = check(&|_| (), &[]).await;
    let preview = commit.preview(&repository.run.dry()).await.unwrap();
    let dir = repository.dir();
    assert_eq!(
        preview.changes,
        [format!("commit what earlier steps change in deploy of {} on main: Deploy tier 2", dir.display())]
    );
    assert!(preview.undo.contains("git revert"));

    check(&|r| r.write("app.txt", "not named\n"), &[]).await;
    check(&|r| r.write("deploy/a.yaml", "a: 9\n"), &["file deploy/a.yaml: has changes that are not committed"]).await;
    let staged = |r: &Repository| {
        r.write("deploy/new.yaml", "x");
        r.git(&["add", "deploy/new.yaml"]);
    };
    check(&staged, &["file deploy/new.yaml: has changes that are not committed"]).await;
    check(&|r| r.write("deploy/x", ""), &["file deploy/x: has changes that are not committed"]).await;
    check(&|r| drop(r.git(&["checkout", "--quiet", "--detach"])), &["HEAD is detached"]).await;
    check(&|r| drop(r.git(&["checkout", "--quiet", "--orphan", "x"])), &["it has no commit yet"]).await;
    for (mark, words) in
        [("MERGE_HEAD", "a merge is"), ("CHERRY_PICK_HEAD", "a cherry-pick is"), ("REVERT_HEAD", "a revert is")]
    {
        check(&|r| fs::write(r.dir().join(".git").join(mark), r.head()).unwrap(), &[words]).await;
    }
    for mark in ["rebase-merge", "rebase-apply"] {
        check(&|r| fs::create_dir(r.dir().join(".git").join(mark)).unwrap(), &["a rebase is half-way"]).await;
    }
    check(&|r| drop(r.git(&["config", "user.name", ""])), &["git does not know who commits"]).await;
    check(&|r| drop(r.git(&["config", "core.autocrlf", "true"])), &["core.autocrlf changes line ends"]).await;
    let ignored = |r: &Repository| {
        r.write(".gitignore", "*.log\n");
        r.write("deploy/x.log", "");
    };
    check(&ignored, &["file deploy/x.log: git ignores it"]).await;
    check(&|r| fs::remove_dir_all(r.dir().join(".git")).unwrap(), &["it is no git work tree"]).await;
    check(&|r| fs::remove_dir_all(r.dir()).unwrap(), &["there is no such folder"]).await;
}

#[tokio::test]
async fn what_got_in_the_way_since_stops_the_step() {
    let repository = Repository::new();
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.change_files();
    let before = pending(&*commit, &cx).await;
    let (changed, head) = (files(&repository.dir()), repository.head());
    let check = async |change: &[&str], back: &[&str], words: &str| {
        repository.git(change);
        let failure = commit.apply(&cx, &before).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked);
        assert!(failure.message.contains(words), "{failure}");
        repository.git(back);
        assert_eq!((files(&repository.dir()), repository.head()), (changed.clone(), head.clone()));
    };
    check(&["switch", "--quiet", "-c", "other"], &["switch", "--quiet", "main"], "it is on branch other").await;
    check(&["config", "user.name", ""], &["config", "user.name", "Test"], "who commits").await;
    repository.write(".gitignore", "deploy/new\n");
    let failure = commit.apply(&cx, &before).await.unwrap_err();
    assert!(failure.message.contains("git ignores it"), "{failure}");
}

#[tokio::test]
async fn a_hook_that_refuses_or_adds_is_noticed() {
    let repository = Repository::new();
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.change_files();
    let before = pending(&*commit, &cx).await;
    let lock = repository.dir().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let failure = commit.apply(&cx, &before).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Failed);
    assert!(failure.causes.iter().any(|line| line.contains("index.lock")), "{failure:?}");
    fs::remove_file(lock).unwrap();
    commit.apply(&cx, &before).await.unwrap();

    repository.write("app.txt", "slipped in\n");
    repository.git(&["commit", "--quiet", "--amend", "--no-edit", "app.txt"]);
    let failure = commit.verify(&cx).await.unwrap_err();
    assert!(failure.message.contains("has app.txt, which the step does not name"), "{failure}");
    repository.write("deploy/a.yaml", "a: 3\n");
    let failure = commit.verify(&cx).await.unwrap_err();
    assert!(failure.message.contains("deploy/a.yaml has changes that are not committed"), "{failure}");
}

#[tokio::test]
async fn a_revert_that_conflicts_changes_nothing() {
    let repository = Repository::new();
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.change_files();
    let before = pending(&*commit, &cx).await;
    commit.apply(&cx, &before).await.unwrap();
    let committed = repository.head();
    repository.write("deploy/a.yaml", "a: 3\n");
    repository.commit_all("later");
    repository.write("staged.txt", "mine\n");
    repository.git(&["add", "staged.txt"]);
    repository.write("app.txt", "edited\n");
    let now = (files(&repository.dir()), repository.status(), repository.head());
    for _ in 0..2 {
        let failure = commit.undo(&cx, &before).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Failed);
        let expect =
            format!("commit {committed} can't be reverted: later commits changed the same lines of deploy/a.yaml");
        assert_eq!(failure.message, expect);
        assert!(failure.hint.contains("git revert"), "{}", failure.hint);
        assert_eq!((files(&repository.dir()), repository.status(), repository.head()), now);
        assert!(!repository.dir().join(".git/REVERT_HEAD").exists());
    }
    // Reverted by hand, the step is undone.
    repository.git(&["reset", "--quiet"]);
    repository.git(&["stash", "--quiet", "--include-untracked"]);
    repository.git(&["revert", "--no-edit", "HEAD"]);
    repository.git(&["revert", "--no-edit", &committed]);
    let head = repository.head();
    commit.undo(&cx, &before).await.unwrap();
    assert_eq!(repository.head(), head);
}

#[tokio::test]
async fn an_undo_that_can_not_be_safe_is_refused() {
    let repository = Repository::new();
    let (commit, cx) = (step("git.commit", &repository.with()), repository.run.context("commit"));
    repository.change_files();
    let before = pending(&*commit, &cx).await;
    commit.apply(&cx, &before).await.unwrap();
    let check = async |words: &str| {
        let now = (files(&repository.dir()), repository.head());
        let failure = commit.undo(&cx, &before).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Blocked);
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!((files(&repository.dir()), repository.head()), now);
    };
    repository.write("deploy/a.yaml", "a: 4\n");
    check("has changes that are not committed").await;
    repository.git(&["checkout", "--quiet", "deploy/a.yaml"]);
    fs::write(repository.dir().join(".git/MERGE_HEAD"), repository.head()).unwrap();
    check("a merge is half-way").await;
    fs::remove_file(repository.dir().join(".git/MERGE_HEAD")).unwrap();
    repository.git(&["switch", "--quiet", "-c", "other", "HEAD^"]);
    check("it is on branch other, and the step began on main").await;
    repository.git(&["switch", "--quiet", "main"]);
    commit.undo(&cx, &before).await.unwrap();
    assert_eq!(repository.status(), Vec::<String>::new());
}

#[tokio::test]
async fn steps_with_similar_names_keep_their_commits_apart() {
    let repository = Repository::new();
    let commit = step("git.commit", &repository.with());
    let (short, long) = (repository.run.context("commit"), repository.run.context("commit-again"));
    repository.write("deploy/a.yaml", "a: 2\n");
    let before = pending(&*commit, &long).await;
    commit.apply(&long, &before).await.unwrap();
    repository.write("deploy/a.yaml", "a: 3\n");
    let before = pending(&*commit, &short).await;
    commit.apply(&short, &before).await.unwrap();
    assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "3");
    commit.undo(&short, &before).await.unwrap();
    assert_eq!(fs::read_to_string(repository.dir().join("deploy/a.yaml")).unwrap(), "a: 2\n");
}

/// Renders into the repository, commits, switches, commits, and goes all the way back.
async fn renders_commits_and_goes_back(repository: &Repository, out: &Path, steps: &[&str]) {
    let (start, status) = (files(&repository.dir()), repository.status());
    let mut begun = Vec::new();
    for database in steps {
        let system_file = common::system_file("oviya");
        let with = json!({"system_file": system_file, "tier": "tier2", "out": out, "database": database});
        let commit =
            json!({"repository": repository.dir(), "files": [out], "message": format!("Deploy with {database}")});
        for (name, with) in [("render.write", with), ("git.commit", commit)] {
            let cx = repository.run.context(&format!("{}-{database}", name.replace('.', "-")));
            let action = step(name, &with);
            let before = pending(&*action, &cx).await;
            action.apply(&cx, &before).await.unwrap();
            action.verify(&cx).await.unwrap();
            begun.push((action, cx, before, files(&repository.dir())));
        }
        assert_eq!(repository.status(), status, "all of {} is committed", out.display());
    }
    while let Some((action, cx, before, _)) = begun.pop() {
        for _ in 0..2 {
            action.undo(&cx, &before).await.unwrap_or_else(|failure| panic!("{}: {failure:?}", cx.step()));
        }
        // A revert brings back what was committed last, which is what the rendering before it left.
        if let Some((.., was)) = begun.last().filter(|_| cx.step().starts_with("render")) {
            assert_eq!(files(&repository.dir()), *was);
        }
    }
    assert_eq!((files(&repository.dir()), repository.status()), (start, status));
}

#[tokio::test]
async fn rendering_and_its_commit_are_undone_to_the_same_bytes() {
    // Into a folder that is not there, then a switch on top of it.
    let repository = Repository::new();
    let out = repository.dir().join("env/oviya");
    renders_commits_and_goes_back(&repository, &out, &["source", "target"]).await;
    assert!(!repository.dir().join("env").exists());
    assert_eq!(repository.git(&["rev-list", "--count", "HEAD"]), "5");

    // Over a set that an earlier run committed.
    let system_file = common::system_file("oviya");
    let with = json!({"system_file": system_file, "tier": "tier2", "out": out, "database": "source"});
    let (render, cx) = (step("render.write", &with), repository.run.context("earlier"));
    let before = pending(&*render, &cx).await;
    render.apply(&cx, &before).await.unwrap();
    repository.commit_all("an earlier run");
    assert_eq!(repository.status(), Vec::<String>::new());
    renders_commits_and_goes_back(&repository, &out, &["target"]).await;
}

#[tokio::test]
async fn files_that_git_ignores_stop_the_commit_and_the_rendering_still_goes_back() {
    let repository = Repository::new();
    repository.write(".gitignore", ".env*\n");
    repository.commit_all("ignore settings");
    let start = files(&repository.dir());
    let out = repository.dir().join("deploy/oviya");
    let with = json!({"system_file": common::system_file("oviya"), "tier": "tier2", "out": out, "database": "source"});
    let (render, cx1) = (step("render.write", &with), repository.run.context("render"));
    let before1 = pending(&*render, &cx1).await;
    render.apply(&cx1, &before1).await.unwrap();
    let with = json!({"repository": repository.dir(), "files": [out], "message": "x"});
    let (commit, cx2) = (step("git.commit", &with), repository.run.context("commit"));
    let before2 = pending(&*commit, &cx2).await;
    let failure = commit.apply(&cx2, &before2).await.unwrap_err();
    assert!(failure.object.contains(".env.example"), "{failure}");
    commit.undo(&cx2, &before2).await.unwrap();
    render.undo(&cx1, &before1).await.unwrap();
    assert_eq!((files(&repository.dir()), repository.status()), (start, vec![]));
}
