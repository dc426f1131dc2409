//! docs/performance.md, from a report. Pure text; must not know: files.

use crate::{
    report::Report,
    subject::Who::{Floor, WasmCni},
    tables::{self, Cells},
};

pub(crate) fn markdown(report: &Report, chart: Option<&str>) -> String {
    let mut sections = vec![INTRODUCTION.to_owned()];
    if let Some(chart) = chart {
        sections.push(format!("![Wall time relative to the reference's]({chart})"));
    }
    sections.push(format!("## Goals\n\n{}", table(&tables::goals(report))));
    sections.push(format!(
        "## Calls\n\nMedians; user and system processor time in parentheses.\n\n{}",
        table(&tables::comparison(report))
    ));
    sections.extend(parts(report).map(|parts| format!("## Where the time of an ADD goes\n\n{parts}")));
    let library = tables::library(report);
    if !library.is_empty() {
        sections.push(format!("## The library\n\n{}\n\n{LIBRARY}", table(&library)));
    }
    sections.push(format!("## Leases\n\nADD of `host-local` alone.\n\n{}", table(&tables::leases(report))));
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

The benchmark generates this file from its JSON: change `host/benches/cni` instead. Both implementations were measured in
one run, alternating. Times change with the machine's load, so ratios matter more.";

const LIBRARY: &str = "\
Like ADD, STATUS creates, calls and drops an instance of each of the two plugins, but it makes no request to the kernel.
Called repeatedly, it shows this cost with warm processor caches. After an ADD it costs more, because the kernel's work on
links has replaced most of the caches. The host's and guests' part of an ADD lies between the two.";

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

The package is built for that target. Without `--program`, a build for this machine's C library is measured, and the floor is
built in the same way: glibc's processor detection takes 0.4 ms at each start in a virtual machine.

`--quick` skips slow cases, `--only NAME,...` selects cases, `--syscalls` lists system calls by name.
";

const METHOD: &str = "\
In a round, each implementation gets the calls of the case;
the order changes from round to round. User, network and mount namespaces are private, with /run, /etc and /var/lib/cni on
tmpfs; the machine's network is not involved.

- Times are from before posix_spawn(3) to after wait4(2), without a shell: the configuration is a file on standard input,
  and the reply is a file on standard output. Processor time and switches are from wait4, for all processes of the call.
- The kernel has one lock for the links of all namespaces, so other network activity of the machine affects the times.
- Bridges exist before the first measured call.
- A CHECK gets the result of the ADD before it.
- The three plugins are loopback, bridge and loopback, with `wasm-cni add` and `del`: ours in its process or, with
  `--prefer-native`, the reference's executables.
- The time of a burst is for all of its calls together.
- The floor is a static program that sends only the netlink messages that the result needs (`host/benches/floor.rs`), for
  bridge and for ptp.
- System calls and peak memory are from an extra call under ptrace(2): the largest `VmHWM` of a process, and the sum of
  `VmRSS` over all processes that exist when one of them ends.
- The library attaches all containers and then detaches them. Over many calls, the kernel's accounting of user and system
  time is exact enough to separate guests and host (user time) from the kernel. Extra calls with a trace separate guests
  from the host; tracing itself takes time.";

/// The parts of an ADD of bridge, derived from calls that share some of them.
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
        ("engine, one plugin, confinement of the process, a record", tables::short(plugin - start), "ADD of loopback"),
        ("the messages that the result needs", tables::short(floor.wall.median), "the floor, also a process"),
        ("a second plugin, the lease, reads, sysctls", tables::short(rest), "the rest"),
    ]
    .map(|(part, time, by)| vec![part.to_owned(), time, by.to_owned()])
    .into();
    let kernel = 100.0 * add.system.mean / (add.user.mean + add.system.mean);
    let of_floor = 100.0 * floor.cpu.median / add.cpu.median;
    Some(format!(
        "ADD of bridge takes {} ms:\n\n{}\n\nThe kernel takes {kernel:.0} % of its processor time. The floor takes \
         {of_floor:.0} % of it.",
        tables::short(add.wall.median),
        table(&cells)
    ))
}

fn method(report: &Report) -> String {
    let method = &report.method;
    let mut text = format!(
        "{} rounds after {} of warm-up; four times as many for bridge and ptp, whose DEL waits for the kernel for a\n\
         random time; half of them with 1 000 leases, a quarter with 8 000, a tenth with 60 000; bursts are repeated for every\n\
         twenty rounds. {METHOD}",
        method.rounds, method.warm_up
    );
    if method.quick {
        text += "\n- This was a quick run, without slow cases.";
    }
    if !method.optimised {
        text += "\n- The library was not optimised in this run: ignore its figures.";
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
