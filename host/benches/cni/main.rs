//! Measures calls, alternating ours and the reference's, in private namespaces:
//!
//! ```console
//! $ cargo bench -p wasm-cni-cli --bench cni -- --reference DIR --json FILE
//! $ cargo bench -p wasm-cni-cli --bench cni -- --from FILE --docs docs/performance.md
//! ```
//!
//! Times depend on the machine and its load; ratios can be compared. The benchmark does
//! not touch the machine's network, needs no privileges, and leaves nothing behind
//! however it ends. As a test, without `--bench`, each case runs once.

mod args;
mod bursts;
mod cases;
mod chart;
mod disk;
mod docs;
mod floor;
mod goals;
mod library;
mod machine;
mod namespaces;
mod output;
mod process;
mod report;
mod rounds;
mod shares;
mod stats;
mod subject;
mod syscalls;
mod tables;

use std::process::ExitCode;

use anyhow::{Result, bail};

use args::Plan;
use cases::cases;
use report::{Machine, Method, Program, Remark, Report, Resources};
use subject::{Subject, Who};

fn main() -> Result<ExitCode> {
    let Some(args) = args::of_process() else { return Ok(ExitCode::SUCCESS) };
    let report = match &args.from {
        Some(path) => Report::read(path)?,
        None => {
            let plan = args.plan()?;
            // The kernel requires a single thread here.
            match namespaces::enter() {
                Err(error) if !args.bench => {
                    eprintln!("skipped: the benchmark: {error:#}");
                    return Ok(ExitCode::SUCCESS);
                }
                entered => entered?,
            }
            measure(&plan)?
        }
    };
    output::write(&report, &args)?;
    let failed = args.from.is_none() && report.remarks.iter().any(|remark| remark.failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(plan: &Plan) -> Result<Report> {
    let mut remarks = Vec::new();
    let subjects = subjects(plan, &mut remarks)?;
    let mut report = Report {
        machine: Machine::this(),
        method: Method {
            rounds: plan.rounds,
            warm_up: plan.warm_up,
            quick: plan.quick,
            optimised: !cfg!(debug_assertions),
        },
        programs: subjects.iter().map(|s| Program { by: s.who, version: s.version() }).collect(),
        rows: Vec::new(),
        resources: Vec::new(),
        disk: None,
        library: Vec::new(),
        remarks: Vec::new(),
        goals: Vec::new(),
    };
    let cases = cases(plan.most_leases);
    for case in cases.iter().filter(|case| plan.wants(case.name)) {
        eprintln!("{} ...", case.name);
        let rounds = case.rounds(plan.rounds);
        report.rows.extend(rounds::measure(case, &subjects, plan.warm_up, rounds, &mut remarks));
    }
    if plan.wants("resources") {
        resources(&subjects, &mut report.resources, &mut remarks);
    }
    if plan.wants("disk") {
        report.disk = Some(disk::measure(&plan.program, &subjects)?);
    }
    report.remarks = remarks;
    if let Err(error) = bursts_and_library(plan, &subjects, &mut report) {
        report.remarks.push(Remark::failed("bursts", Who::WasmCni, &error));
    }
    report.goals = goals::goals(&report);
    Ok(report)
}

fn subjects(plan: &Plan, remarks: &mut Vec<Remark>) -> Result<Vec<Subject>> {
    let mut subjects = vec![Subject::ours(&plan.program)?];
    match &plan.reference {
        Some(directory) => subjects.push(Subject::reference(directory, &plan.program)?),
        None => {
            let why = "no --reference DIR (`.ci/reference-plugins DIR` fetches it)";
            remarks.push(Remark::skipped("all", Who::Reference, why));
        }
    }
    match floor::build(&subjects[0].version()).and_then(Subject::floor) {
        Ok(floor) => subjects.push(floor),
        Err(error) => remarks.push(Remark::skipped("all", Who::Floor, format_args!("{error:#}"))),
    }
    Ok(subjects)
}

/// Counts the system calls of an ADD of `bridge`.
fn resources(subjects: &[Subject], all: &mut Vec<Resources>, remarks: &mut Vec<Remark>) {
    eprintln!("resources ...");
    for subject in subjects {
        match counted(subject) {
            Ok(resources) => all.push(resources),
            Err(error) => remarks.push(Remark::failed("resources", subject.who, &error)),
        }
    }
}

fn counted(subject: &Subject) -> Result<Resources> {
    let case = cases::counted();
    let steps = case.steps(subject)?;
    let [add, del] = &steps[..] else { bail!("not ADD and DEL") };
    // A first call creates the bridge.
    add.call.run()?;
    del.call.run()?;
    let resources = syscalls::count(&add.call, subject.who)?;
    del.call.run()?;
    Ok(resources)
}

/// Measurements with many containers.
fn bursts_and_library(plan: &Plan, subjects: &[Subject], report: &mut Report) -> Result<()> {
    let most = plan.bursts.iter().map(|burst| burst.count).max().unwrap_or(0);
    let for_library = plan.library.iter().map(|(containers, _)| *containers).max().unwrap_or(0);
    let wanted = [("bursts", most), ("library", for_library)];
    let count = wanted.iter().filter(|(name, _)| plan.wants(name)).map(|(_, count)| *count).max().unwrap_or(0);
    let containers = bursts::containers(count)?;
    if plan.wants("library") {
        for &(count, times) in &plan.library {
            eprintln!("library, {count} containers ...");
            match library::measure(&containers[..count], times) {
                Ok(library) => report.library.push(library),
                Err(error) => report.remarks.push(Remark::failed("library", Who::WasmCni, &error)),
            }
        }
    }
    if plan.wants("bursts") {
        for &burst in &plan.bursts {
            eprintln!("{} ...", burst.name());
            report.rows.extend(bursts::measure(burst, subjects, &containers, plan.burst_times, &mut report.remarks)?);
        }
    }
    Ok(())
}
