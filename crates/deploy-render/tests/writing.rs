//! Writing a folder's set as a whole, keeping the one before, putting it back; killed at any point.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use deploy_render::{Before, OnDisk, RenderedSet, State, WriteError, on_disk, restore, there, write};
use tempfile::TempDir;

const RECORD: &str = ".tierlift-set.json";

fn set(files: &[(&str, &str)]) -> RenderedSet {
    let mut set = RenderedSet::default();
    for (path, text) in files {
        set.insert(path, *text).unwrap();
    }
    set
}

fn old_set() -> RenderedSet {
    set(&[("a.txt", "old\n"), ("k8s/b.yaml", "b: 1\n"), ("k8s/gone.yaml", "c: 1\n")])
}

fn new_set() -> RenderedSet {
    set(&[("a.txt", "new\n"), ("k8s/b.yaml", "b: 1\n"), (".env.example", "X=\n")])
}

/// A folder to write in and one to keep in.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("deploy/out")
    }

    fn keep(&self) -> PathBuf {
        self.dir.path().join("run/previous/step")
    }

    /// A folder that holds a set.
    fn with(set: &RenderedSet) -> Self {
        let place = Self::new();
        let before = Before::of(&place.out()).unwrap();
        write(set, &place.out(), &place.dir.path().join("unused"), &before).unwrap();
        place
    }

    fn before(&self) -> Before {
        Before::of(&self.out()).unwrap()
    }

    fn write(&self, set: &RenderedSet, before: &Before) -> Result<bool, WriteError> {
        write(set, &self.out(), &self.keep(), before).map(|written| written.changed)
    }

    fn restore(&self, before: &Before) -> Result<(), WriteError> {
        restore(&self.out(), &self.keep(), before)
    }

    /// Every file beside and in the folder, with its bytes; not what was kept.
    fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut tree = BTreeMap::new();
        snapshot(self.dir.path(), &mut tree);
        tree.retain(|path, _| !path.starts_with(self.dir.path().join("run")));
        tree
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("deploy/.out.tierlift-{suffix}"))
    }
}

fn snapshot(dir: &Path, tree: &mut BTreeMap<PathBuf, Vec<u8>>) {
    tree.insert(dir.to_owned(), Vec::new());
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            snapshot(&path, tree);
        } else {
            tree.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn puts_back_nothing_where_nothing_was() {
    let place = Place::new();
    let tree = place.tree();
    let before = place.before();
    assert_eq!(before.state, State::Nothing);
    assert_eq!(before.missing_parent.as_deref(), Some(place.dir.path().join("deploy").as_path()));
    assert!(place.write(&new_set(), &before).unwrap());
    assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(new_set()));
    for _ in 0..2 {
        place.restore(&before).unwrap();
        assert_eq!(place.tree(), tree);
    }
}

#[test]
fn leaves_a_parent_that_somebody_uses() {
    let place = Place::new();
    let before = place.before();
    place.write(&new_set(), &before).unwrap();
    let other = place.dir.path().join("deploy/other.txt");
    fs::write(&other, "x").unwrap();
    place.restore(&before).unwrap();
    assert!(!place.out().exists());
    assert_eq!(fs::read_to_string(other).unwrap(), "x");
}

#[test]
fn puts_back_an_empty_folder() {
    let place = Place::new();
    fs::create_dir_all(place.out()).unwrap();
    let tree = place.tree();
    let before = place.before();
    assert_eq!(before.state, State::Empty);
    place.write(&new_set(), &before).unwrap();
    for _ in 0..2 {
        place.restore(&before).unwrap();
        assert_eq!(place.tree(), tree);
    }
}

#[test]
fn puts_back_the_set_before_byte_for_byte() {
    let place = Place::with(&old_set());
    let tree = place.tree();
    let before = place.before();
    assert_eq!(before.digest.as_deref(), Some(old_set().digest().as_str()));
    assert!(place.write(&new_set(), &before).unwrap());
    assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(new_set()));
    assert!(!place.out().join("k8s/gone.yaml").exists());
    for _ in 0..2 {
        place.restore(&before).unwrap();
        assert_eq!(place.tree(), tree);
    }
}

#[test]
fn writing_twice_changes_nothing_and_keeps_the_first_previous_set() {
    let place = Place::with(&old_set());
    let before = place.before();
    assert!(place.write(&new_set(), &before).unwrap());
    let tree = place.tree();
    assert!(!place.write(&new_set(), &before).unwrap());
    assert_eq!(place.tree(), tree);
    assert_eq!(on_disk(&place.keep()).unwrap(), OnDisk::Ours(old_set()));
    // And forth and back again.
    place.restore(&before).unwrap();
    assert!(place.write(&new_set(), &before).unwrap());
    place.restore(&before).unwrap();
    assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(old_set()));
}

#[test]
fn leaves_alone_what_it_did_not_write() {
    let check = |what: &str, spoil: &dyn Fn(&Path), expect: &str| {
        for undo in [false, true] {
            let place = Place::with(&old_set());
            let mut before = place.before();
            if undo {
                place.write(&new_set(), &before).unwrap();
                // For the record the folder was empty before: putting that back would remove everything.
                before = Before { state: State::Nothing, digest: None, missing_parent: None };
            }
            spoil(&place.out());
            let tree = place.tree();
            let error =
                if undo { place.restore(&before).unwrap_err() } else { place.write(&new_set(), &before).unwrap_err() };
            assert!(matches!(error, WriteError::Foreign { .. }), "{what}: {error}");
            assert!(error.to_string().contains(expect), "{what}: {error}");
            assert_eq!(place.tree(), tree, "{what}");
            assert!(matches!(Before::of(&place.out()), Err(WriteError::Foreign { .. })), "{what}");
        }
    };
    check("an edited file", &|out| fs::write(out.join("a.txt"), "mine").unwrap(), "edited a.txt");
    check("a removed file", &|out| fs::remove_file(out.join("k8s/b.yaml")).unwrap(), "missing k8s/b.yaml");
    check("a new file", &|out| fs::write(out.join(".env"), "SECRET=1").unwrap(), "unknown .env");
    check("a new file below", &|out| fs::write(out.join("k8s/x.yaml"), "").unwrap(), "unknown k8s/x.yaml");
    check("a new folder", &|out| fs::create_dir(out.join("notes")).unwrap(), "unknown notes/");
    check("no record", &|out| fs::remove_file(out.join(RECORD)).unwrap(), "unknown ");
    check("a record of something else", &|out| fs::write(out.join(RECORD), "{}").unwrap(), "unknown ");
    check(
        "an edited record",
        &|out| {
            let text = fs::read_to_string(out.join(RECORD)).unwrap();
            let at = text.find("\"digest\": \"").unwrap() + 11;
            fs::write(out.join(RECORD), format!("{}{}{}", &text[..at], "0".repeat(8), &text[at + 8..])).unwrap();
        },
        "edited .tierlift-set.json",
    );
    #[cfg(unix)]
    check("a link", &|out| std::os::unix::fs::symlink("/etc/hosts", out.join("link")).unwrap(), "unknown link");
    check(
        "a file in the folder's place",
        &|out| {
            fs::remove_dir_all(out).unwrap();
            fs::write(out, "x").unwrap();
        },
        "unknown ",
    );
}

#[test]
fn refuses_when_the_folder_is_another_set_than_when_the_step_began() {
    let place = Place::with(&old_set());
    let before = place.before();
    let other = set(&[("z", "z")]);
    write(&other, &place.out(), &place.dir.path().join("unused2"), &before).unwrap();
    let error = place.write(&new_set(), &before).unwrap_err();
    assert!(matches!(error, WriteError::Moved { .. }), "{error}");
    assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(other));
}

#[test]
fn does_not_take_away_another_steps_way_back() {
    let place = Place::with(&old_set());
    let before = place.before();
    write(&set(&[("z", "z")]), &place.keep(), &place.dir.path().join("unused2"), &Before::of(&place.keep()).unwrap())
        .unwrap();
    let error = place.write(&new_set(), &before).unwrap_err();
    assert!(matches!(error, WriteError::Kept { .. }), "{error}");
    assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(old_set()));
}

#[test]
fn says_so_when_the_kept_set_is_gone_or_damaged() {
    for damage in
        [|keep: &Path| fs::remove_dir_all(keep).unwrap(), |keep: &Path| fs::write(keep.join("a.txt"), "x").unwrap()]
    {
        let place = Place::with(&old_set());
        let before = place.before();
        place.write(&new_set(), &before).unwrap();
        damage(&place.keep());
        let error = place.restore(&before).unwrap_err();
        assert!(matches!(error, WriteError::Kept { .. }), "{error}");
        assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(new_set()));
    }
}

#[test]
fn an_undo_before_anything_was_written_changes_nothing() {
    let place = Place::with(&old_set());
    let (before, tree) = (place.before(), place.tree());
    place.restore(&before).unwrap();
    assert_eq!(place.tree(), tree);
}

/// The states a kill can leave, each made by hand: whatever it is, writing again ends with the new set, undoing with the
/// old one, and nothing is left beside the folder.
#[test]
fn goes_on_from_wherever_it_was_killed() {
    let half = |place: &Place, suffix: &str| {
        let dir = place.beside(suffix);
        fs::create_dir_all(dir.join("k8s")).unwrap();
        fs::write(dir.join("a.txt"), "ne").unwrap();
    };
    let whole = |place: &Place, set: &RenderedSet, suffix: &str| {
        let other = Place::with(set);
        copy_tree(&other.out(), &place.beside(suffix));
    };
    let kept = |place: &Place| {
        let other = Place::with(&old_set());
        copy_tree(&other.out(), &place.keep());
    };
    let becomes_new = |place: &Place| {
        let other = Place::with(&new_set());
        fs::remove_dir_all(place.out()).unwrap();
        copy_tree(&other.out(), &place.out());
    };
    type Kill<'a> = &'a dyn Fn(&Place);
    let killed: [(&str, Kill); 9] = [
        ("while the previous set was being kept", &|place| {
            fs::create_dir_all(place.keep().parent().unwrap().join(".step.tierlift-new/k8s")).unwrap();
        }),
        ("after it was kept", &|place| kept(place)),
        ("while the new set was being written", &|place| {
            kept(place);
            half(place, "new");
        }),
        ("before the exchange", &|place| {
            kept(place);
            whole(place, &new_set(), "new");
        }),
        ("after the exchange", &|place| {
            kept(place);
            becomes_new(place);
            whole(place, &old_set(), "new");
        }),
        ("between two renames, where there is no exchange", &|place| {
            kept(place);
            whole(place, &new_set(), "new");
            fs::rename(place.out(), place.beside("old")).unwrap();
        }),
        ("after both renames", &|place| {
            kept(place);
            becomes_new(place);
            whole(place, &old_set(), "old");
        }),
        ("while the old set was being removed", &|place| {
            kept(place);
            becomes_new(place);
            half(place, "gone");
        }),
        ("at the end", &|place| {
            kept(place);
            becomes_new(place);
        }),
    ];
    for (when, kill) in killed {
        for undo in [false, true] {
            let place = Place::with(&old_set());
            let (before, tree) = (place.before(), place.tree());
            kill(&place);
            // Looking changes nothing, and sees one set or the other.
            let seen = place.tree();
            match on_disk(&place.out()).unwrap() {
                OnDisk::Ours(set) => assert!(set == old_set() || set == new_set(), "{when}"),
                other => panic!("{when}: {other:?}"),
            }
            assert_eq!(place.tree(), seen, "{when}");
            if !undo {
                place.write(&new_set(), &before).unwrap_or_else(|error| panic!("{when}: {error}"));
                assert_eq!(on_disk(&place.out()).unwrap(), OnDisk::Ours(new_set()), "{when}");
                let expected = Place::with(&new_set());
                assert_eq!(
                    place.tree().into_values().collect::<Vec<_>>(),
                    expected.tree().into_values().collect::<Vec<_>>(),
                    "{when}"
                );
            }
            for _ in 0..2 {
                place.restore(&before).unwrap_or_else(|error| panic!("{when}: {error}"));
                assert_eq!(place.tree(), tree, "{when}");
            }
        }
    }
}

#[test]
fn an_undo_takes_away_folders_made_before_the_first_file() {
    let place = Place::new();
    let out = place.dir.path().join("a/b/c");
    let before = Before::of(&out).unwrap();
    fs::create_dir(place.dir.path().join("a")).unwrap();
    restore(&out, &place.keep(), &before).unwrap();
    assert!(!place.dir.path().join("a").exists());
}

#[test]
fn an_undo_killed_while_removing_goes_on() {
    let place = Place::new();
    let (tree, before) = (place.tree(), place.before());
    place.write(&new_set(), &before).unwrap();
    // The folder was renamed, and half of it is removed.
    fs::rename(place.out(), place.beside("gone")).unwrap();
    fs::remove_file(place.beside("gone").join("a.txt")).unwrap();
    place.restore(&before).unwrap();
    assert_eq!(place.tree(), tree);
}

#[cfg(unix)]
#[test]
fn follows_a_link_in_the_folders_place() {
    let place = Place::new();
    let real = place.dir.path().join("real");
    fs::create_dir_all(&real).unwrap();
    fs::create_dir_all(place.out().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&real, place.out()).unwrap();
    let before = place.before();
    assert_eq!(before.state, State::Empty);
    place.write(&new_set(), &before).unwrap();
    assert!(fs::symlink_metadata(place.out()).unwrap().is_symlink());
    assert_eq!(on_disk(&real).unwrap(), OnDisk::Ours(new_set()));
    place.restore(&before).unwrap();
    assert_eq!(on_disk(&real).unwrap(), OnDisk::Empty);
}

/// As when the program is run in the very folder it shall write.
#[test]
fn does_not_keep_anything_in_the_folder_it_replaces() {
    let place = Place::with(&old_set());
    let (before, tree) = (place.before(), place.tree());
    let linked = place.dir.path().join("linked");
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.out(), &linked).unwrap();
    for keep in [place.out().join(".tierlift/previous"), place.out(), linked.join("previous")] {
        let error = write(&new_set(), &place.out(), &keep, &before).unwrap_err();
        assert!(matches!(error, WriteError::KeptInside { .. }), "{}: {error}", keep.display());
    }
    #[cfg(unix)]
    fs::remove_file(linked).unwrap();
    assert_eq!(place.tree(), tree);
}

#[test]
fn compares_with_what_is_there_whoever_wrote_it() {
    let place = Place::with(&old_set());
    assert_eq!(there(&place.out(), &new_set()).unwrap(), old_set());
    // Edited, beside a file that is none of ours and one that a new set has.
    fs::write(place.out().join("a.txt"), "mine\n").unwrap();
    fs::write(place.out().join("notes.txt"), "n").unwrap();
    fs::write(place.out().join(".env.example"), "Y=\n").unwrap();
    let seen =
        set(&[("a.txt", "mine\n"), ("k8s/b.yaml", "b: 1\n"), ("k8s/gone.yaml", "c: 1\n"), (".env.example", "Y=\n")]);
    assert_eq!(there(&place.out(), &new_set()).unwrap(), seen);
    fs::remove_file(place.out().join(RECORD)).unwrap();
    let seen = set(&[("a.txt", "mine\n"), ("k8s/b.yaml", "b: 1\n"), (".env.example", "Y=\n")]);
    assert_eq!(there(&place.out(), &new_set()).unwrap(), seen);
    assert_eq!(there(&place.dir.path().join("nowhere"), &new_set()).unwrap(), RenderedSet::default());
}

/// A folder may be somebody's whole disk: without a record, nothing below it is looked at.
#[test]
fn does_not_read_through_somebody_elses_folder() {
    let place = Place::new();
    fs::create_dir_all(place.out().join("deep/er")).unwrap();
    fs::write(place.out().join("deep/er/file"), "x").unwrap();
    let OnDisk::Foreign(foreign) = on_disk(&place.out()).unwrap() else { panic!() };
    assert_eq!(foreign.unknown, ["deep/"]);
}

#[test]
fn two_at_a_time_are_refused() {
    let place = Place::with(&old_set());
    let before = place.before();
    let holder = fs::File::open(place.out().parent().unwrap()).unwrap();
    holder.lock().unwrap();
    let error = place.write(&new_set(), &before).unwrap_err();
    assert!(matches!(error, WriteError::Locked { .. }), "{error}");
    drop(holder);
    place.write(&new_set(), &before).unwrap();
}
