//! `log`, `random` and `resolver`.

use std::{
    fs::{Metadata, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
};

use nix::{errno::Errno, libc};
use rustix::rand::{GetRandomFlags, getrandom};
use wasm_cni_kernel::errno_text;

use super::{State, refuse};
use crate::bindings::{log, random, resolver, types};

/// Largest `resolv.conf`, octets.
const MAX_RESOLV_CONF: u64 = 64 << 10;

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        if matches!(level, log::Level::Error) {
            *self.last_words.lock().expect("no panic with the lock held") = Some(for_people(&message));
        }
        self.log(level, message);
        Ok(())
    }
}

impl State {
    /// A line of the log, as much of it as the limit leaves.
    pub(super) fn log(&self, level: log::Level, mut message: String) {
        let left = self.allowance.log_left();
        if message.len() > left {
            message.truncate(message.floor_char_boundary(left));
        }
        self.allowance.take_log(message.len());
        if !message.is_empty() {
            (self.attempt.runtime.log)(&crate::plugin::LogLine {
                level: match level {
                    log::Level::Trace => "trace",
                    log::Level::Debug => "debug",
                    log::Level::Info => "info",
                    log::Level::Warn => "warn",
                    log::Level::Error => "error",
                },
                plugin: &self.plugin,
                network: &self.attempt.network,
                container_id: &self.attempt.container_id,
                message: &one_line(&message),
            });
        }
    }
}

/// Longest text of a guest in an error of the host, octets.
const MAX_QUOTED: usize = 1024;

/// A guest's text as part of an error: the start of it, on one line.
pub(crate) fn for_people(text: &str) -> String {
    one_line(&text[..text.floor_char_boundary(MAX_QUOTED)])
}

/// A guest's text in a log must not look like more than one line of it.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl random::Host for State {
    fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        let mut bytes = vec![0; len.min(1024) as usize];
        // So many come at once, getrandom(2) says.
        for part in bytes.chunks_mut(256) {
            getrandom(part, GetRandomFlags::empty())
                .map_err(|e| wasmtime::Error::msg(format!("no random bytes: {e}")))?;
        }
        Ok(bytes)
    }
}

impl resolver::Host for State {
    fn resolv_conf(&mut self) -> wasmtime::Result<Result<Option<String>, types::Error>> {
        self.enter()?;
        let Some(path) = self.grants.resolver.clone() else { return Ok(Ok(None)) };
        let what = format!("open {}", path.display());
        let failed = |e: &std::io::Error| {
            let errno = e.raw_os_error().unwrap_or(libc::EIO);
            types::Error {
                code: if errno == libc::ENOENT { types::Code::NotFound } else { types::Code::Io },
                errno: errno.unsigned_abs(),
                what: what.clone(),
                msg: errno_text(errno),
            }
        };
        let regular = |metadata: Metadata| match metadata.is_file() {
            true => Ok(()),
            false => Err(std::io::Error::from_raw_os_error(Errno::EINVAL as i32)),
        };
        // Not to be held up by a FIFO, nor to read from a device; and for the text
        // of the error, as what is no file is out of a confined process's reach.
        let open = || OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(&path);
        let file = std::fs::metadata(&path).and_then(regular).and_then(|()| open());
        let read = file.and_then(|file| {
            regular(file.metadata()?)?;
            let mut text = Vec::new();
            file.take(MAX_RESOLV_CONF).read_to_end(&mut text)?;
            Ok(text)
        });
        Ok(match read {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                Err(self.failed(refuse(types::Code::Invalid, what, "not a regular file")))
            }
            Err(e) => Err(self.failed(failed(&e))),
        })
    }
}

impl types::Host for State {}
