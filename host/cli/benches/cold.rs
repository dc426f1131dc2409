//! What a call costs in a fresh process, beside the reference if it is given:
//!
//! ```console
//! $ cargo bench -p wasm-cni-cli --bench cold -- --reference /opt/cni/bin --rounds 200
//! ```
//!
//! Both get the same calls in turn, in private namespaces. Machines differ and
//! one machine differs from hour to hour; the ratio is what can be compared.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use serde_json::json;

/// Calls before the first one that counts.
const WARM_UP: usize = 5;
const COMMANDS: [&str; 3] = ["VERSION", "ADD", "DEL"];

/// Compares cold calls of the bridge plugin with those of the reference.
#[derive(clap::Parser)]
struct Args {
    /// The folder of the reference plugins (`.ci/reference-plugins` fetches them)
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
    /// How many calls of each kind
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Already in the namespaces
    #[arg(long, hide = true)]
    inside: bool,
    /// What cargo says when it is asked to measure, and not only to test
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if !args.inside {
        return Err(enter_namespaces()).context("this needs `unshare` (util-linux)");
    }
    let rounds = if args.bench { args.rounds } else { 1 };
    let folder = tempfile::tempdir()?;
    let ours = folder.path().join("ours");
    fs::create_dir(&ours)?;
    symlink(env!("CARGO_BIN_EXE_wasm-cni"), ours.join("bridge"))?;
    let mut subjects = vec![Subject::new("wasm-cni", &ours, folder.path(), 1)?];
    if let Some(reference) = &args.reference {
        subjects.push(Subject::new("reference", reference, folder.path(), 2)?);
    }

    for round in 0..WARM_UP + usize::try_from(rounds)? {
        // Neither has always the other's traces in the caches.
        let first = round % subjects.len();
        for i in 0..subjects.len() {
            let at = (first + i) % subjects.len();
            subjects[at].round(round >= WARM_UP)?;
        }
    }
    print(&subjects, rounds)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs this program again in namespaces of its own, with a private /run.
fn enter_namespaces() -> io::Error {
    let script = "mount -t tmpfs tmpfs /run && ip link set lo up && ip netns add c1 && ip netns add c2 && exec \"$@\"";
    let this = match std::env::current_exe() {
        Ok(this) => this,
        Err(error) => return error,
    };
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"]);
    command.arg(this).arg("--inside").args(std::env::args_os().skip(1)).exec()
}

/// One implementation, and what its calls took.
struct Subject {
    name: &'static str,
    plugins: PathBuf,
    netns: String,
    config: PathBuf,
    reply: PathBuf,
    taken: [Vec<Taken>; COMMANDS.len()],
}

#[derive(Clone, Copy)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

impl Subject {
    fn new(name: &'static str, plugins: &Path, folder: &Path, number: u8) -> Result<Self> {
        ensure!(plugins.join("bridge").exists(), "no bridge plugin in {}", plugins.display());
        let config = json!({
            "cniVersion": "1.1.0", "name": name, "type": "bridge", "bridge": format!("br{number}"), "isGateway": true,
            "ipam": {
                "type": "host-local", "dataDir": folder.join("data"),
                "ranges": [[{ "subnet": format!("10.{number}.0.0/16") }]],
            },
        });
        let path = folder.join(format!("{name}.json"));
        fs::write(&path, config.to_string())?;
        Ok(Self {
            name,
            plugins: plugins.to_owned(),
            netns: format!("/run/netns/c{number}"),
            config: path,
            reply: folder.join(format!("{name}.reply")),
            taken: Default::default(),
        })
    }

    fn round(&mut self, counts: bool) -> Result<()> {
        for (i, command) in COMMANDS.iter().enumerate() {
            let taken = self.call(command)?;
            if counts {
                self.taken[i].push(taken);
            }
        }
        Ok(())
    }

    /// One call, from before the process exists until it is gone.
    fn call(&self, verb: &str) -> Result<Taken> {
        let mut command = Command::new(self.plugins.join("bridge"));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", "c1")
            .env("CNI_NETNS", &self.netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.plugins)
            .stdin(File::open(&self.config)?)
            .stdout(File::create(&self.reply)?)
            .stderr(Stdio::inherit());
        let (cpu, start) = (cpu_of_children(), Instant::now());
        let status = command.spawn()?.wait()?;
        let taken = Taken { wall: start.elapsed(), cpu: cpu_of_children() - cpu };
        let reply = || fs::read_to_string(&self.reply).unwrap_or_default();
        ensure!(status.success(), "{verb} by {} has failed: {}", self.name, reply());
        Ok(taken)
    }

    /// The quartiles of a command's times in milliseconds.
    fn quartiles(&self, command: usize, time: impl Fn(&Taken) -> Duration) -> [f64; 3] {
        let mut times: Vec<_> = self.taken[command].iter().map(time).collect();
        times.sort();
        [1, 2, 3].map(|quarter| times[(times.len() - 1) * quarter / 4].as_secs_f64() * 1000.0)
    }
}

/// Of all processes that this one has waited for, and of theirs.
#[expect(unsafe_code, reason = "getrusage(2)")]
fn cpu_of_children() -> Duration {
    // SAFETY: all zeros is a value of this structure of numbers, and it outlives
    // the call that writes to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let duration = |time: libc::timeval| {
        let micros = u64::try_from(time.tv_usec).unwrap_or_default();
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default()) + Duration::from_micros(micros)
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

fn print(subjects: &[Subject], rounds: u32) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "bridge + host-local, a fresh process for each of {rounds} calls; milliseconds\n")?;
    writeln!(
        out,
        "{:8} {:10} {:>8} {:>8} {:>8} {:>8} {:>12} {:>12}",
        "call", "by", "wall 1/4", "median", "3/4", "cpu", "wall, ratio", "cpu, ratio"
    )?;
    for (i, command) in COMMANDS.iter().enumerate() {
        let median = |subject: &Subject, time: fn(&Taken) -> Duration| subject.quartiles(i, time)[1];
        for subject in subjects {
            let [first, second, third] = subject.quartiles(i, |taken| taken.wall);
            let cpu = median(subject, |taken| taken.cpu);
            write!(out, "{command:8} {:10} {first:8.2} {second:8.2} {third:8.2} {cpu:8.2}", subject.name)?;
            match subjects.last() {
                Some(reference) if subjects.len() > 1 && subject.name != reference.name => {
                    let wall = second / median(reference, |taken| taken.wall);
                    writeln!(out, " {wall:12.2} {:12.2}", cpu / median(reference, |taken| taken.cpu))?;
                }
                _ => writeln!(out)?,
            }
        }
    }
    Ok(())
}
