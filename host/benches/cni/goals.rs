//! The goals, and whether the figures meet them. Must not know: where figures come from.

use crate::{
    report::{Goal, Report, Resources, Row},
    subject::Who::{Floor, Reference, WasmCni},
};

const MEGABYTE: f64 = 1024.0 * 1024.0;

pub(crate) fn goals(report: &Report) -> Vec<Goal> {
    let goal = |what: &str, bound: f64, unit: &str, measured: Option<f64>| Goal {
        what: what.to_owned(),
        bound: Some(bound),
        unit: unit.to_owned(),
        measured,
    };
    let times = "x the reference's";
    let wall = |row: &Row| row.wall.median;
    let of = |case: &str, call: &str| ratio(report, case, call, wall);
    let ours = |case: &str, call: &str| report.row(case, call, WasmCni).map(wall);
    let floor = |case: &str, call: &str| report.row(case, call, Floor).map(wall);
    let [we, they] = [WasmCni, Reference].map(|by| report.resources(by));
    let memory = |of: fn(&Resources) -> u64| divided(we.map(|we| of(we) as f64), they.map(|they| of(they) as f64));
    let disk = report.disk.as_ref();
    let mut goals = vec![
        goal("VERSION, a cold process", 0.35, times, of("version", "VERSION")),
        goal("ADD, bridge", 0.25, times, of("bridge", "ADD")),
        goal("ADD, bridge", 3.0, "x the floor's", divided(ours("bridge", "ADD"), floor("bridge", "ADD"))),
        goal("ADD, ipMasq by nftables", 0.1, times, of("nftables", "ADD")),
        goal("ADD, ipMasq by iptables", 0.35, times, of("iptables", "ADD")),
        goal("ADD, ptp", 0.25, times, of("ptp", "ADD")),
    ];
    for case in ["bridge", "ptp"] {
        let bound = floor(case, "DEL").map(|floor| 1.15 * floor + 2.0);
        let what = format!("DEL, {case}: 1.15 x the floor's and 2 ms");
        goals.push(Goal { what, bound, unit: "ms".to_owned(), measured: ours(case, "DEL") });
        goals.push(goal(&format!("DEL, {case}"), 0.8, times, of(case, "DEL")));
    }
    goals.extend([
        goal("DEL, ipMasq by nftables", 0.35, times, of("nftables", "DEL")),
        goal("DEL, ipMasq by iptables", 0.35, times, of("iptables", "DEL")),
        goal("processor time of ADD, bridge", 0.25, times, ratio(report, "bridge", "ADD", |row| row.cpu.median)),
        goal("system calls of ADD, bridge", 200.0, "calls", we.map(|we| we.system_calls as f64)),
        goal("500 x ADD, 64 at a time", 0.35, times, of("burst-500-64", "ADD")),
        goal(
            "host-local, ADD with 60 000 leases",
            1.3,
            "x with none",
            divided(ours("leases-60000", "ADD"), ours("leases-0", "ADD")),
        ),
        goal("peak memory of ADD, bridge: one process", 0.6, times, memory(|of| of.peak_memory)),
        goal("peak memory of ADD, bridge: all together", 0.6, times, memory(|of| of.peak_together)),
        goal("on disk, what runs as root", 8.0, "MB", disk.map(|disk| disk.wasm_cni as f64 / MEGABYTE)),
        goal(
            "on disk, what runs as root",
            0.4,
            "x the same plugins'",
            disk.and_then(|disk| Some(disk.wasm_cni as f64 / disk.reference? as f64)),
        ),
        goal("library: user time of ADD, bridge", 0.3, "ms", report.library.first().map(|library| library.add_user)),
    ]);
    goals
}

/// Ours divided by the reference's.
pub(crate) fn ratio(report: &Report, case: &str, call: &str, of: fn(&Row) -> f64) -> Option<f64> {
    divided(report.row(case, call, WasmCni).map(of), report.row(case, call, Reference).map(of))
}

pub(crate) fn divided(what: Option<f64>, by: Option<f64>) -> Option<f64> {
    Some(what? / by?)
}
