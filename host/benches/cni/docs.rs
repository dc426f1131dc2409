//! docs/performance.md, from a report. Pure text; must not know: files.

use crate::{
    report::Report,
    subject::Who::{Floor, WasmCni},
    tables::{self, Cells},
};

pub(crate) fn markdown(report: &Report, chart: Option<&str>) -> String {
    let mut sections = vec![INTRODUCTION.to_owned()];
    if let Some(chart) = chart {
        sections.push(format!("![Wall time as a part of the reference's]({chart})"));
    }
    sections.push(format!("## Goals\n\n{}", table(&tables::goals(report))));
    sections.push(format!(
        "## Calls\n\nMedians; in brackets processor time, user and system.\n\n{}",
        table(&tables::comparison(report))
    ));
    sections.extend(parts(report).map(|parts| format!("## Where the time of an ADD goes\n\n{parts}")));
    let library = tables::library(report);
    if !library.is_empty() {
        sections.push(format!("## The library\n\n{}\n\n{LIBRARY}", table(&library)));
    }
    sections.push(format!("## Leases\n\nADD of `host-local` by itself.\n\n{}", table(&tables::leases(report))));
    let remarks: Vec<_> = tables::remarks(report).iter().map(|line| format!("- {}", capital(line))).collect();
    sections.push(format!("## Resources\n\n{}\n\n{}", table(&tables::resources(report)), remarks.join("\n")));
    sections.push(format!("## Method\n\n{}", method(report)));
    sections.push(format!("## Machine\n\n{}", machine(report)));
    if !report.remarks.is_empty() {
        let lines: Vec<_> = report.remarks.iter().map(|remark| format!("- {remark}")).collect();
        sections.push(format!("## Remarks\n\n{}", lines.join("\n")));
    }
    sections.push(COMMANDS.to_owned());
    sections.join("\n\n")
}

const INTRODUCTION: &str = "\
# Performance

Written by the benchmark from its JSON: change `host/benches/cni`, not this file. Both implementations were measured
in one run, in turn. One machine's figures differ from hour to hour; ratios are what counts.";

const LIBRARY: &str = "\
STATUS makes, calls and drops an instance of each of the two plugins, as ADD does, and asks the kernel for nothing. Called in
a row it shows what that takes with all of it in the processor's caches. Right after an ADD it takes more: links are much work
for the kernel, and little else is left in the caches then. ADD's own part, ours and the guests', runs in between.";

const COMMANDS: &str = "\
## Commands

```console
$ .ci/reference-plugins target/reference-plugins
$ packaging/program
$ cargo bench -p wasm-cni-cli --bench cni -- --program target/x86_64-unknown-linux-musl/release/wasm-cni \\
      --reference target/reference-plugins --json performance.json
$ cargo bench -p wasm-cni-cli --bench cni -- --from performance.json \\
      --docs docs/performance.md --chart docs/performance.svg
```

The package is built for that target. Without `--program` it is a build for this machine's C library that is measured, and the
floor has the same: glibc asks the processor so much at each start that it takes a virtual machine 0.4 ms more.

`--quick` leaves out what takes long, `--only NAME,...` takes some cases, `--syscalls` lists system calls by name.
";

const METHOD: &str = "\
In a round each implementation gets the calls of the case;
who comes first changes from round to round. Namespaces of users, networks and mounts are private, /run, /etc and
/var/lib/cni with them, on tmpfs; nothing of the machine's network takes part.

- Time is from before posix_spawn(3) to after wait4(2): there is no shell, the configuration is a file on standard input
  and the reply one on standard output. Processor time and switches are wait4's, of all processes that took part.
- The kernel has one lock for the links of all namespaces: whatever else the machine does with networks is in the times.
- Bridges are there before the first call that counts.
- A CHECK gets the result of the ADD before it.
- The three plugins are loopback, bridge and loopback, by `wasm-cni add` and `del`: ours in its process or, with
  `--prefer-native`, the reference's executables.
- Of a burst the time is that of all its calls together.
- The floor is a static program that sends the netlink messages of which the result consists and nothing else
  (`host/benches/floor.rs`), for bridge and for ptp.
- System calls and peak memory are of one call more, under ptrace(2): `VmHWM` of the process that has most, and `VmRSS`
  of all processes that are there when one of them ends, together.
- The library attaches all containers and then detaches them. The kernel accounts what a process takes of the processor
  to user and system time; over many calls that is exact enough to tell the guest's and the host's own part, user time,
  from the kernel's. Some calls more, with a trace, tell the guest's part from the host's: tracing costs time itself.";

/// What an ADD of bridge consists of, by calls that have some of the same parts.
fn parts(report: &Report) -> Option<String> {
    let row = |case: &str, call: &str, by| report.row(case, call, by);
    let add = row("bridge", "ADD", WasmCni)?;
    let start = row("version", "VERSION", WasmCni)?.wall.median;
    let plugin = row("loopback", "ADD", WasmCni)?.wall.median;
    let floor = row("bridge", "ADD", Floor)?;
    let rest = add.wall.median - plugin - floor.wall.median;
    let cells: Cells = [
        ("part", "ms".to_owned(), "measured as"),
        ("start and end of the process", tables::short(start), "VERSION"),
        ("engine, one plugin, what the process gives up, a record", tables::short(plugin - start), "ADD of loopback"),
        ("the messages that the result needs", tables::short(floor.wall.median), "the floor, a process too"),
        ("a second plugin, the lease, what is looked at first, sysctls", tables::short(rest), "the rest"),
    ]
    .map(|(part, time, by)| vec![part.to_owned(), time, by.to_owned()])
    .into();
    let kernel = 100.0 * add.system.mean / (add.user.mean + add.system.mean);
    let of_floor = 100.0 * floor.cpu.median / add.cpu.median;
    Some(format!(
        "ADD of bridge takes {} ms:\n\n{}\n\nOf its processor time {kernel:.0} % is the kernel's. The floor's is \
         {of_floor:.0} % of it.",
        tables::short(add.wall.median),
        table(&cells)
    ))
}

fn method(report: &Report) -> String {
    let method = &report.method;
    let mut text = format!(
        "{} rounds after {} that do not count; four times as many for bridge and ptp, whose DEL waits for the kernel for a time\n\
         that chance decides; with 1 000 leases half of them, with 8 000 a quarter, with 60 000 a tenth; bursts are repeated for\n\
         every twenty rounds. {METHOD}",
        method.rounds, method.warm_up
    );
    if method.quick {
        text += "\n- This was a quick run: without what takes long.";
    }
    if !method.optimised {
        text += "\n- The library was not optimised in this run: its figures say nothing.";
    }
    text
}

fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let mut lines = vec![
        format!("- {} x {}, load {} at the beginning", machine.cores, machine.cpu, machine.load),
        format!("- Linux {}", machine.kernel),
        format!("- {}", machine.rustc),
    ];
    lines.extend(report.programs.iter().map(|program| format!("- {}: {}", program.by.name(), program.version)));
    lines.join("\n")
}

fn table(cells: &Cells) -> String {
    let mut lines: Vec<_> = cells.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    if let Some(head) = cells.first() {
        lines.insert(1, format!("|{}", "---|".repeat(head.len())));
    }
    lines.join("\n")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
