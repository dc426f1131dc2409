//! Many attachments to one bridge, concurrently. Must not know: rounds of single
//! calls.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    cases::{bridge, named},
    namespaces,
    process::{Call, Taken, wait},
    report::{Remark, Row},
    rounds::order,
    subject::{Subject, Who},
};

/// The number of attachments, and how many run concurrently.
#[derive(Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) count: usize,
    pub(crate) at_once: usize,
}

impl Burst {
    pub(crate) fn name(self) -> String {
        format!("burst-{}-{}", self.count, self.at_once)
    }

    fn title(self) -> String {
        format!("{} x bridge, {} at a time", self.count, self.at_once)
    }
}

/// Namespaces for this many containers.
pub(crate) fn containers(count: usize) -> Result<Vec<PathBuf>> {
    (0..count).map(|i| namespaces::container(&format!("burst-{i}"))).collect()
}

/// Repeats a burst for each subject; wall time is for the whole burst.
pub(crate) fn measure(
    burst: Burst,
    subjects: &[Subject],
    containers: &[PathBuf],
    times: u32,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Row>> {
    let mut runs = Vec::new();
    for subject in subjects.iter().filter(|subject| subject.who != Who::Floor) {
        let number = subject.who.number();
        let config = bridge(&format!("brb{number}"), &format!("10.{}.0.0/16", 100 + number));
        let config = named(config, &format!("burst-{}", subject.who.name()));
        fs::write(subject.config("burst"), config.to_string())?;
        runs.push(Run { subject, taken: Default::default(), failed: false });
    }
    // The first warm-up call creates the bridge.
    let once = Burst { count: 1, at_once: 1 };
    for round in 0..=times {
        for at in order(round, runs.len()) {
            let run = &mut runs[at];
            let done = if run.failed { Ok(()) } else { run.round(if round == 0 { once } else { burst }, containers) };
            if let Err(error) = done {
                run.failed = true;
                remarks.push(Remark::failed(&burst.name(), run.subject.who, &error));
            }
            if round == 0 {
                run.taken = Default::default();
            }
        }
    }
    let whole: Vec<_> = runs.iter().filter(|run| !run.failed).collect();
    let rows = CALLS.iter().enumerate().flat_map(|(i, call)| {
        let row = move |run: &&Run<'_>| Row::new(&burst.name(), &burst.title(), call, run.subject.who, &run.taken[i]);
        whole.iter().map(row)
    });
    Ok(rows.collect())
}

const CALLS: [&str; 2] = ["ADD", "DEL"];

struct Run<'a> {
    subject: &'a Subject,
    taken: [Vec<Taken>; CALLS.len()],
    failed: bool,
}

impl Run<'_> {
    /// All ADDs, then all DELs.
    fn round(&mut self, burst: Burst, containers: &[PathBuf]) -> Result<()> {
        for (verb, taken) in CALLS.iter().zip(&mut self.taken) {
            let containers = containers.iter().take(burst.count).enumerate();
            let calls: Vec<_> = containers.map(|(i, netns)| call(self.subject, verb, i, netns)).collect();
            taken.push(run(&calls, burst.at_once)?);
        }
        Ok(())
    }
}

fn call(subject: &Subject, verb: &str, number: usize, netns: &Path) -> Call {
    let mut call = subject.plugin("bridge", verb, "burst");
    for (name, value) in &mut call.env {
        match *name {
            "CNI_CONTAINERID" => *value = format!("burst-{number}").into(),
            "CNI_NETNS" => *value = netns.into(),
            _ => {}
        }
    }
    call.reply = subject.directory.join(format!("reply-{number}"));
    call
}

/// Runs all calls, with at most this many at a time, from one thread, so that nothing
/// else needs to be scheduled.
fn run(calls: &[Call], at_once: usize) -> Result<Taken> {
    let mut running: Vec<(i32, &Call)> = Vec::new();
    let mut all =
        Taken { wall: Duration::ZERO, user: Duration::ZERO, system: Duration::ZERO, voluntary: 0, involuntary: 0 };
    let mut failures = Vec::new();
    let start = Instant::now();
    let mut calls = calls.iter();
    loop {
        if running.len() < at_once
            && let Some(call) = calls.next()
        {
            let child = call.command()?.spawn()?;
            running.push((child.id().cast_signed(), call));
            continue;
        }
        if running.is_empty() {
            break;
        }
        let ended = wait(-1)?;
        let taken = ended.taken(Duration::ZERO);
        all.user += taken.user;
        all.system += taken.system;
        all.voluntary += taken.voluntary;
        all.involuntary += taken.involuntary;
        let at = running.iter().position(|(pid, _)| *pid == ended.pid).context("unknown child process")?;
        let (_, call) = running.swap_remove(at);
        if ended.status != 0 {
            failures.push(call.failure());
        }
    }
    all.wall = start.elapsed();
    ensure!(failures.is_empty(), "{} have failed, the first: {}", failures.len(), failures[0]);
    Ok(all)
}
