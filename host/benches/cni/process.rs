//! Runs a program as a cold process, and measures it. Must not know: CNI.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// A program to run repeatedly. Input and output are files, so it needs no thread.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, OsString)>,
    pub(crate) input: Option<PathBuf>,
    pub(crate) reply: PathBuf,
}

/// What a process used, including its threads and the children that it waited for.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// Voluntary and involuntary context switches.
    pub(crate) voluntary: u64,
    pub(crate) involuntary: u64,
}

impl Call {
    /// std uses posix_spawn(3) for such a command, so the measurement does not include a
    /// copy of this process's page tables.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(match &self.input {
                Some(path) => File::open(path).with_context(|| path.display().to_string())?.into(),
                None => Stdio::null(),
            })
            .stdout(File::create(&self.reply)?)
            .stderr(Stdio::inherit());
        Ok(command)
    }

    /// Runs it, and returns what it used if it succeeds.
    pub(crate) fn run(&self) -> Result<Taken> {
        let (taken, succeeded) = self.time()?;
        ensure!(succeeded, self.failure());
        Ok(taken)
    }

    /// Measures from before the process exists until it has ended, and returns whether it
    /// succeeded.
    pub(crate) fn time(&self) -> Result<(Taken, bool)> {
        let mut command = self.command()?;
        let start = Instant::now();
        let child = command.spawn().with_context(|| self.name())?;
        let ended = wait(child.id().cast_signed())?;
        let taken = ended.taken(start.elapsed());
        Ok((taken, ended.status == 0))
    }

    pub(crate) fn failure(&self) -> String {
        format!("{} has failed: {}", self.name(), self.answer())
    }

    pub(crate) fn answer(&self) -> String {
        fs::read_to_string(&self.reply).unwrap_or_default()
    }

    fn name(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        let verb = self.env.iter().filter(|(name, _)| *name == "CNI_COMMAND").map(|(_, verb)| verb.to_string_lossy());
        let program = self.program.display().to_string();
        std::iter::once(program.into()).chain(words).chain(verb).collect::<Vec<_>>().join(" ")
    }
}

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds a program in the path of the measured processes.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    PATH.split(':').map(|directory| PathBuf::from(directory).join(program)).find(|path| path.exists())
}

pub(crate) struct Ended {
    pub(crate) pid: i32,
    /// The status of wait(2): 0 on success.
    pub(crate) status: i32,
    usage: libc::rusage,
}

impl Ended {
    pub(crate) fn taken(&self, wall: Duration) -> Taken {
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Taken {
            wall,
            user: duration(self.usage.ru_utime),
            system: duration(self.usage.ru_stime),
            voluntary: count(self.usage.ru_nvcsw),
            involuntary: count(self.usage.ru_nivcsw),
        }
    }
}

/// Waits for a child, or for any with -1.
#[expect(unsafe_code, reason = "wait4(2), which nix and std do not have")]
pub(crate) fn wait(pid: i32) -> io::Result<Ended> {
    // SAFETY: all zeros is a valid value of this struct of numbers; it and the status
    // outlive the call that writes to them.
    let (pid, status, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let mut status = 0;
        let pid = libc::wait4(pid, &raw mut status, 0, &raw mut usage);
        (pid, status, usage)
    };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Ended { pid, status, usage }) }
}

fn duration(time: libc::timeval) -> Duration {
    let micros = u64::try_from(time.tv_usec).unwrap_or_default();
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default()) + Duration::from_micros(micros)
}
