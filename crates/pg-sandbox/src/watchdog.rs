//! Ends a server with its owner, however the owner ends.
//!
//! A watchdog is a forked process which holds the read end of a pipe (the leash). Only the owner has the write end, so
//! the kernel closes it when the owner ends, SIGKILL included, and the watchdog's read returns. It then shuts the
//! server down and removes its folder. The normal end takes the same way, so it is tried all the time.
//!
//! The watchdog leads a process group, and the server is started in that group. No process id has to be told to it,
//! and there is no moment in which an owner could die between starting the server and saying so. A second pipe (life)
//! tells when the server is gone: every process of it inherits the write end, as its stdin.
//!
//! Being another process group also keeps the Ctrl-C of a terminal from the server.

use std::ffi::CString;
use std::io::{self, PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The owner's hold on one watchdog. Dropping it ends the server, waits for that, and removes the folder.
pub(crate) struct Watchdog {
    pid: libc::pid_t,
    /// `None` once let go.
    pipes: Option<Pipes>,
}

struct Pipes {
    leash: PipeWriter,
    life: PipeWriter,
}

impl Watchdog {
    /// Starts one for `folder`, which will be removed with everything in it.
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let (leash_end, leash) = io::pipe()?;
        let (life_end, life) = io::pipe()?;
        // Everything that allocates is done before the fork: another thread may hold the allocator's lock.
        let rm = c_string(&program_in_path("rm"))?;
        let folder = c_string(folder)?;
        let argv = [rm.as_ptr(), c"-rf".as_ptr(), c"--".as_ptr(), folder.as_ptr(), std::ptr::null()];
        // SAFETY: the child calls nothing but async-signal-safe functions and never returns.
        let pid = unsafe {
            match libc::fork() {
                -1 => return Err(io::Error::last_os_error()),
                0 => watch(leash_end.as_raw_fd(), life_end.as_raw_fd(), &argv),
                pid => pid,
            }
        };
        // Both sides do it, so that it is done whichever runs first. It fails if the child was the first and has
        // already gone, which the server's start will notice.
        // SAFETY: plain system call on a process of ours.
        unsafe { libc::setpgid(pid, pid) };
        Ok(Self { pid, pipes: Some(Pipes { leash, life }) })
    }

    /// The process group to start the server in.
    pub(crate) fn process_group(&self) -> i32 {
        self.pid
    }

    /// The stdin to start the server with.
    pub(crate) fn stdin(&self) -> io::Result<Stdio> {
        match &self.pipes {
            Some(pipes) => Ok(pipes.life.try_clone()?.into()),
            None => Err(io::Error::other("the watchdog was let go")),
        }
    }

    /// Lets the server and its folder be: they outlive the owner from now on.
    pub(crate) fn let_go(mut self) -> io::Result<()> {
        if let Some(pipes) = &mut self.pipes {
            pipes.leash.write_all(b"g")?;
        }
        Ok(())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pipes = None;
        let mut status = 0;
        // SAFETY: `status` outlives the call; the process is our child, and waited for only here.
        while unsafe { libc::waitpid(self.pid, &raw mut status, 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
}

/// The watchdog's whole life.
///
/// # Safety
///
/// To be called in a freshly forked child: it closes every descriptor and ends the process.
unsafe fn watch(leash: RawFd, life: RawFd, rm: &[*const libc::c_char; 5]) -> ! {
    /// How long a server may take to end when asked; its own limit for its children is 5 s.
    const PATIENCE_MS: libc::c_int = 10_000;
    // SAFETY: all of these are async-signal-safe, and the pointers were prepared before the fork.
    unsafe {
        libc::setpgid(0, 0);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE, libc::SIGTSTP] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // Nothing of the owner's may stay open here: neither the pipe its own reader waits on, nor the leash of
        // another server. Both ends are above 2, as the standard descriptors are always open in a Rust program.
        libc::dup2(leash, 0);
        libc::dup2(life, 1);
        close_from(2);
        let mut byte = 0u8;
        loop {
            match libc::read(0, (&raw mut byte).cast(), 1) {
                0 => break,          // the owner ended, or dropped its hold
                1 => libc::_exit(0), // let go
                _ => {}              // interrupted
            }
        }
        let group = libc::getpgrp();
        libc::kill(-group, libc::SIGQUIT);
        libc::kill(-group, libc::SIGCONT);
        let mut gone = libc::pollfd { fd: 1, events: libc::POLLIN, revents: 0 };
        if libc::poll(&raw mut gone, 1, PATIENCE_MS) == 0 {
            // The postmaster is stuck. A child in a session of its own can kill the group without ending itself. The
            // backends lead groups of their own and see that they lost their postmaster at the next wait for anything.
            if libc::fork() == 0 {
                libc::setsid();
                libc::kill(-group, libc::SIGKILL);
                libc::poll(&raw mut gone, 1, PATIENCE_MS);
                libc::execv(rm[0], rm.as_ptr());
            }
            libc::_exit(1);
        }
        libc::execv(rm[0], rm.as_ptr());
        libc::_exit(1);
    }
}

/// Closes every descriptor from `first` on.
///
/// # Safety
///
/// To be called in a freshly forked child only.
unsafe fn close_from(first: RawFd) {
    #[cfg(target_os = "linux")]
    // SAFETY: a system call on plain numbers.
    if unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } == 0 {
        return;
    }
    // SAFETY: as above; the limit may be "unlimited", and nobody has that many open.
    unsafe {
        let limit = libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536) as RawFd;
        for fd in first..limit {
            libc::close(fd);
        }
    }
}

fn program_in_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| Path::new("/bin").join(name))
}

fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    fn folder() -> PathBuf {
        let dir = tempfile::tempdir().unwrap().keep();
        std::fs::write(dir.join("file"), "x").unwrap();
        dir
    }

    fn sleeper(watchdog: &Watchdog) -> std::process::Child {
        let mut sleep = Command::new("sleep");
        sleep.arg("600").stdin(watchdog.stdin().unwrap()).process_group(watchdog.process_group());
        // A server answers to SIGQUIT whatever it inherits; what a shell starts in the background inherits that it is
        // ignored, and so would `sleep`.
        // SAFETY: `signal` is async-signal-safe.
        unsafe {
            sleep.pre_exec(|| {
                libc::signal(libc::SIGQUIT, libc::SIG_DFL);
                Ok(())
            });
        }
        sleep.spawn().unwrap()
    }

    #[test]
    fn ends_the_group_and_removes_the_folder() {
        let dir = folder();
        let watchdog = Watchdog::start(&dir).unwrap();
        let mut child = sleeper(&watchdog);
        drop(watchdog);
        assert!(!child.wait().unwrap().success());
        assert!(!dir.exists());
    }

    #[test]
    fn leaves_alone_what_is_let_go() {
        let dir = folder();
        let watchdog = Watchdog::start(&dir).unwrap();
        let mut child = sleeper(&watchdog);
        watchdog.let_go().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        assert!(dir.join("file").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn does_not_hold_the_leash_of_another() {
        let (first_dir, second_dir) = (folder(), folder());
        let first = Watchdog::start(&first_dir).unwrap();
        let second = Watchdog::start(&second_dir).unwrap();
        drop(first);
        assert!(!first_dir.exists() && second_dir.exists());
        drop(second);
        assert!(!second_dir.exists());
    }
}
