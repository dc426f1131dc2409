//! Sysctls of a network namespace. Must not know: which of them are harmless.
//!
//! `/proc/sys/net` shows the namespace of the thread that reads it, so the thread
//! enters the namespace, once for a whole list.

use std::io::{self, Read, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::{Error, Netns, open};

impl Netns {
    /// Reads the values of `keys`, without the final newline; `None` where there is no
    /// such key. A key is a path below `/proc/sys` that begins with `net/`; `EINVAL`
    /// for any other.
    pub fn sysctls_get(&self, keys: &[&str]) -> Result<Vec<Option<String>>, Error> {
        self.run(|| keys.iter().map(|key| get(key).map_err(|error| named("get", key, error))).collect())?
    }

    /// Writes values to keys, also after a failure, and returns the results in the same
    /// order. `ENOENT` where there is no such key.
    pub fn sysctls_set(&self, pairs: &[(&str, &str)]) -> Result<Vec<Result<(), Error>>, Error> {
        self.sysctls_set_while(pairs, &|| true)
    }

    /// The same. One write can take long, in a namespace with many links, so before
    /// each of them `goes_on` is asked; `ETIMEDOUT` for those that are left out.
    pub fn sysctls_set_while(
        &self,
        pairs: &[(&str, &str)],
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let write = |key: &str, value: &str| match goes_on() {
            true => set(key, value),
            false => Err(Errno::ETIMEDOUT.into()),
        };
        let set = |(key, value): &(&str, &str)| write(key, value).map_err(|error| named("set", key, error));
        self.run(|| pairs.iter().map(set).collect())
    }
}

fn named(verb: &str, key: &str, error: io::Error) -> Error {
    Error::from_io(&error).during(format!("sysctl-{verb} {key}"))
}

fn get(key: &str) -> io::Result<Option<String>> {
    let mut value = [0; 4096];
    let read = open(Path::new(&path(key)?), OFlag::O_RDONLY, 0).and_then(|mut file| {
        // The first read gets the whole value, unless it is longer than the buffer.
        let size = file.read(&mut value)?;
        let mut rest = Vec::new();
        if size == value.len() {
            file.read_to_end(&mut rest)?;
        }
        Ok([&value[..size], &rest].concat())
    });
    match read {
        Ok(value) => {
            let value = String::from_utf8_lossy(&value);
            Ok(Some(value.strip_suffix('\n').unwrap_or(&value).to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Uses one write(2), as the kernel takes each for a whole value.
fn set(key: &str, value: &str) -> io::Result<()> {
    let mut file = open(Path::new(&path(key)?), OFlag::O_WRONLY, 0)?;
    match file.write(value.as_bytes())? {
        size if size == value.len() => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn path(key: &str) -> io::Result<String> {
    let odd = |part: &str| matches!(part, "" | "." | "..") || part.contains('\0');
    if !key.starts_with("net/") || key.split('/').any(odd) {
        return Err(Errno::EINVAL.into());
    }
    Ok(format!("/proc/sys/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_below_net() {
        assert_eq!(path("net/ipv4/conf/eth0.100/arp_notify").unwrap(), "/proc/sys/net/ipv4/conf/eth0.100/arp_notify");
        for key in [
            "",
            "net",
            "net/",
            "net//ipv4",
            "/net/ipv4",
            "kernel/hostname",
            "netx/y",
            "net/../kernel/x",
            "net/./ipv4",
            "net/ipv4/",
            "net/ipv4/..",
            "net/a\0b",
            "net.ipv4.ip_forward",
        ] {
            assert_eq!(path(key).unwrap_err().raw_os_error(), Some(Errno::EINVAL as i32), "{key:?}");
        }
    }
}
