//! The privileges of this process, and whether it can drop them.

use std::{fs, path::Path, thread};

use landlock::{AccessFs, LandlockStatus, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetError};

use super::Report;
use crate::version;

/// The capabilities(7) that plugins need, and their bits.
const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_NET_RAW", 13)];

const SECCOMP: &str = "/proc/sys/kernel/seccomp/actions_avail";

pub(super) fn look(report: &mut Report) {
    report.ok("version", format!("wasm-cni {}", version::build()));
    capabilities(report);
    match landlock() {
        Ok(RestrictionStatus { landlock: LandlockStatus::Available { effective_abi, .. }, .. }) => {
            report.ok("confinement", format!("Landlock, {effective_abi:?}"));
        }
        _ => report.warn(
            "confinement",
            "Landlock is not available: calls are confined without it",
            "use Linux 5.13 or newer; if the kernel has an `lsm=` parameter, add `landlock` to it",
        ),
    }
    if Path::new(SECCOMP).exists() {
        report.ok("confinement", "seccomp");
    } else {
        let text = "seccomp is not available: calls without native plugins fail";
        report.fail("confinement", text, "use a kernel with CONFIG_SECCOMP_FILTER");
    }
}

/// The effective set: user namespaces and the bounding set reduce it.
fn capabilities(report: &mut Report) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        return report.fail("privileges", "cannot read /proc/self/status", "mount proc(5) on /proc");
    };
    let missing: Vec<_> = NEEDED.iter().filter(|(_, bit)| effective & (1 << bit) == 0).map(|(name, _)| *name).collect();
    match missing.is_empty() {
        true => report.ok("privileges", "all capabilities that plugins need"),
        false => report.warn(
            "privileges",
            format!("this process lacks {}", missing.join(", ")),
            "run this as the container runtime's user; `wasm-cni run --isolated` works without root",
        ),
    }
}

/// Tries it on a thread of its own, whose restrictions end with it.
fn landlock() -> Result<RestrictionStatus, RulesetError> {
    let restrict = || Ruleset::default().handle_access(AccessFs::Execute)?.create()?.restrict_self();
    thread::spawn(restrict).join().expect("this does not panic")
}
