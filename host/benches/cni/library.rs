//! The library in a long-running process: one runtime serves all calls. Must not know:
//! the program.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    time::{ClockId, clock_gettime},
};
use serde_json::json;
use wasm_cni::{Attachment, CniError, Network, Runtime};

use crate::{
    cases::bridge,
    report::Library,
    shares::{Lines, Shares},
    stats::Spread,
};

/// Number of traced ADDs.
const TRACED: usize = 100;

/// Attaches all containers and then detaches all, this often. Processor times are read
/// after many calls: the kernel's accounting by ticks is right in the sum, not for a
/// single call.
pub(crate) fn measure(containers: &[PathBuf], times: u32) -> Result<Library> {
    let list = json!({ "cniVersion": "1.1.0", "name": "library", "plugins": [bridge("brlib", "10.110.0.0/16")] });
    let network = Network::parse_list(list.to_string().as_bytes())?;
    let runtime = Runtime::builder().bundled(wasm_cni_bundled::PLUGINS).build()?;
    let attachments: Vec<_> = containers.iter().enumerate().map(|(i, netns)| attachment(i, netns)).collect();
    let (mut adds, mut dels, mut statuses) = (Phase::default(), Phase::default(), Phase::default());
    for at in attachments.iter().take(3) {
        runtime.add(&network, at)?;
        runtime.del(&network, at)?;
    }
    for _ in 0..times {
        adds.run(&attachments, |at| runtime.add(&network, at).map(drop))?;
        dels.run(&attachments, |at| runtime.del(&network, at))?;
        statuses.run(&attachments, |_| runtime.status(&network))?;
    }
    let status_after_add = status_after_adds(&runtime, &network, &attachments)?;
    let shares = shares(&network, &attachments)?;
    let (add_user, add_system) = adds.processor();
    let (del_user, del_system) = dels.processor();
    let (status_user, _) = statuses.processor();
    Ok(Library {
        containers: containers.len(),
        calls: adds.walls.len(),
        add: Spread::of(adds.walls),
        del: Spread::of(dels.walls),
        add_user,
        add_system,
        del_user,
        del_system,
        status_user,
        status_again: Spread::of(statuses.processors).median,
        status_after_add,
        shares,
    })
}

/// The median processor time of a STATUS right after an ADD, whose work in the kernel
/// replaces most of the caches.
fn status_after_adds(runtime: &Runtime, network: &Network, attachments: &[Attachment]) -> Result<f64> {
    let mut statuses = Phase::default();
    for at in attachments {
        runtime.add(network, at)?;
        statuses.run(std::slice::from_ref(at), |_| runtime.status(network))?;
    }
    attachments.iter().try_for_each(|at| runtime.del(network, at))?;
    Ok(Spread::of(statuses.processors).median)
}

/// Repeats it with a trace.
fn shares(network: &Network, attachments: &[Attachment]) -> Result<Shares> {
    let lines = Lines::default();
    let sink = lines.clone();
    let runtime = Runtime::builder().bundled(wasm_cni_bundled::PLUGINS).trace(move |line| sink.push(line)).build()?;
    let (mut phase, attachments) = (Phase::default(), &attachments[..attachments.len().min(TRACED)]);
    // The first call loads the plugins.
    for at in attachments.iter().take(1) {
        runtime.add(network, at)?;
        runtime.del(network, at)?;
    }
    lines.clear();
    phase.run(attachments, |at| runtime.add(network, at).map(drop))?;
    let shares = lines.shares(attachments.len(), phase.walls.iter().sum());
    attachments.iter().try_for_each(|at| runtime.del(network, at))?;
    Ok(shares)
}

fn attachment(number: usize, netns: &std::path::Path) -> Attachment {
    Attachment::new(format!("library-{number}"), "eth0", netns)
}

#[derive(Default)]
struct Phase {
    walls: Vec<f64>,
    /// The exact processor time of this thread, for each call, in milliseconds.
    processors: Vec<f64>,
    user: Duration,
    system: Duration,
}

impl Phase {
    fn run(&mut self, all: &[Attachment], call: impl Fn(&Attachment) -> Result<(), CniError>) -> Result<()> {
        let before = getrusage(UsageWho::RUSAGE_SELF)?;
        for at in all {
            let (start, processor) = (Instant::now(), processor_of_thread()?);
            call(at)?;
            self.processors.push(processor_of_thread()? - processor);
            self.walls.push(milliseconds(start.elapsed()));
        }
        let after = getrusage(UsageWho::RUSAGE_SELF)?;
        self.user += duration(after.user_time() - before.user_time());
        self.system += duration(after.system_time() - before.system_time());
        Ok(())
    }

    /// User and system time of one call.
    fn processor(&self) -> (f64, f64) {
        let calls = self.walls.len() as f64;
        (milliseconds(self.user) / calls, milliseconds(self.system) / calls)
    }
}

fn processor_of_thread() -> Result<f64> {
    Ok(milliseconds(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into()))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
