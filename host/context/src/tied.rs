//! Children that end with this process: a plugin, a compiler or iptables(8) of a process that was killed must not go on
//! changing what the next one takes back.
#![expect(unsafe_code, reason = "a hook between fork and exec, see below")]

use std::{
    io,
    os::unix::process::CommandExt as _,
    process::{Command, id},
};

use nix::{
    errno::Errno,
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::getppid,
};

/// Has the kernel kill the child when the thread that starts it ends. That thread has to wait for it.
pub fn tie(command: &mut Command) {
    let parent = id();
    let hook = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // It may have ended before that.
        match u32::try_from(getppid().as_raw()) == Ok(parent) {
            true => Ok(()),
            false => Err(io::Error::from(Errno::ESRCH)),
        }
    };
    // SAFETY: the hook makes two system calls and allocates nothing.
    unsafe { command.pre_exec(hook) };
}
