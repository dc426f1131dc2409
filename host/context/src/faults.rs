//! Faults on purpose, for tests of what is left behind. A build without debug
//! assertions, such as a release, has none.

use wasm_cni_kernel::Error;

#[cfg(debug_assertions)]
mod plan {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    use super::Fault;

    static PLAN: OnceLock<(Fault, u32)> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);

    pub(super) fn set(fault: Fault, at: u32) {
        let _ = PLAN.set((fault, at));
    }

    /// Is it this fault's turn, of several of a kind?
    pub(super) fn is_due(kinds: &[Fault]) -> Option<Fault> {
        let (fault, at) = PLAN.get()?;
        let counts = kinds.contains(fault);
        (counts && COUNT.fetch_add(1, Ordering::Relaxed) + 1 == *at).then_some(*fault)
    }
}

#[cfg(not(debug_assertions))]
mod plan {
    use super::Fault;

    pub(super) fn set(_: Fault, _: u32) {}

    pub(super) fn is_due(_: &[Fault]) -> Option<Fault> {
        None
    }
}

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL at the start of a host call.
    Kill,
    /// A trap in the guest at the start of a host call.
    Trap,
    /// The end of the time at the start of a host call.
    Deadline,
    /// `EIO` in place of what the kernel would say.
    Kernel,
}

/// Plans `KIND:N`, the fault of this kind the Nth time that it could happen in
/// this process, counted from 1. Anything else is no plan.
pub fn plan(text: &str) {
    let Some((kind, at)) = text.split_once(':') else { return };
    let fault = match kind {
        "kill" => Fault::Kill,
        "trap" => Fault::Trap,
        "deadline" => Fault::Deadline,
        "kernel" => Fault::Kernel,
        _ => return,
    };
    if let Ok(at) = at.parse() {
        plan::set(fault, at);
    }
}

/// At the start of a host call, and at the end of an ADD.
pub fn at_host_call() -> Option<Fault> {
    let fault = plan::is_due(&[Fault::Kill, Fault::Trap, Fault::Deadline]);
    if fault == Some(Fault::Kill) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
    fault
}

/// Before the kernel is asked.
pub fn at_kernel() -> Result<(), Error> {
    match plan::is_due(&[Fault::Kernel]) {
        Some(_) => Err(Error::of_errno("fault", nix::libc::EIO)),
        None => Ok(()),
    }
}
