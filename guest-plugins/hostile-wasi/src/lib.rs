//! `hostile-wasi`: a plugin that asks WASI for what it has none of, for the host's
//! tests. Built for `wasm32-wasip2`, as a third party's is.
//!
//! | `mode` | |
//! |---|---|
//! | `ok` | a valid result, after lines of every kind |
//! | `look` | environment, arguments, input, files, sockets; ends with what it found, code [`FOUND`] |
//! | `clocks` | clocks, random bytes and a short sleep; ends with what was odd, code [`FOUND`] |
//! | `flood`, `long-line` | output without end |
//! | `random` | more random bytes than there may be |
//! | `sleep`, `naps` | waits without end |
//! | `exit`, `abort`, `panic` | its end |
#![expect(clippy::print_stdout, reason = "what becomes of it is what is tested")]
#![cfg_attr(target_os = "wasi", expect(unsafe_code, reason = "what the standard library asks for in small only"))]

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket},
    process, thread,
    time::{Duration, Instant, SystemTime},
};

use cni_plugin::decode::Document;
use cni_plugin::{Call, Failure, InterfacePlugin, Mistake, Netns, Output};

/// Code of the failure that lists what was found.
pub const FOUND: u32 = 131;

/// The plugin.
#[derive(Debug)]
pub struct HostileWasi;

cni_plugin::export_interface_plugin!(HostileWasi);

impl InterfacePlugin for HostileWasi {
    fn add(call: &Call, _: &Netns, _: Option<&Netns>) -> Result<Output, Failure> {
        let document = Document::parse(&call.config)?;
        let mode = document.root("NetConf").text("mode").unwrap_or_default();
        match mode.as_str() {
            "ok" => print(),
            "look" => return Err(Failure::new(FOUND, format!("found: {}", look().join("; ")), "")),
            "clocks" => return Err(Failure::new(FOUND, format!("odd: {}", clocks().join("; ")), "")),
            "flood" => loop {
                println!("{}", "flood ".repeat(100));
            },
            "long-line" => loop {
                print!("{}", "x".repeat(1 << 20));
            },
            "random" => random(1 << 40),
            "sleep" => thread::sleep(Duration::MAX),
            "naps" => loop {
                thread::sleep(Duration::from_millis(10));
            },
            "exit" => process::exit(0),
            "abort" => process::abort(),
            // By the standard library, without the SDK's words.
            "panic" => {
                let _ = std::panic::take_hook();
                panic!("hostile says: boom");
            }
            other => return Err(Failure::plain(format!("no mode {other:?}"))),
        }
        Ok(Output::default())
    }

    fn del(_: &Call, _: Option<&Netns>, _: Option<&Netns>) -> Result<(), Failure> {
        Ok(())
    }

    fn check(_: &Call, _: &Netns, _: Option<&Netns>) -> Result<(), Failure> {
        Ok(())
    }

    fn validate(config: &str) -> Vec<Mistake> {
        cni_plugin::validate::unknown_keys(config, &["mode"])
    }
}

fn print() {
    println!("a line\nand \x1b[31manother");
    eprintln!("a warning");
    print!("a line ");
    let _ = io::stdout().flush();
    print!("in two parts, without an end");
    let _ = io::stdout().flush();
}

/// What there should not be.
#[expect(clippy::disallowed_methods, reason = "it asks for what there must not be")]
fn look() -> Vec<String> {
    let mut found = Vec::new();
    found.extend(std::env::vars_os().map(|(name, _)| format!("variable {name:?}")));
    found.extend(std::env::args_os().map(|argument| format!("argument {argument:?}")));
    let mut input = Vec::new();
    if let Ok(1..) = io::stdin().read_to_end(&mut input) {
        found.push("input".to_owned());
    }
    for path in ["/etc/passwd", "/proc/self/environ", ".", "../../etc/passwd", ""] {
        let opened = fs::File::open(path).is_ok() || fs::metadata(path).is_ok() || fs::read_dir(path).is_ok();
        found.extend(opened.then(|| format!("file {path:?}")));
    }
    for path in ["/tmp/hostile", "/run/hostile", "hostile"] {
        let made = fs::write(path, "hostile").is_ok() || fs::create_dir(path).is_ok();
        found.extend(made.then(|| format!("new file {path:?}")));
    }
    let address = "127.0.0.1:80";
    let sockets = [
        ("TCP", TcpStream::connect(address).is_ok() || TcpListener::bind(address).is_ok()),
        ("UDP", UdpSocket::bind("0.0.0.0:0").is_ok()),
        ("DNS", "localhost:80".to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some())),
    ];
    found.extend(sockets.iter().filter(|(_, opened)| *opened).map(|(name, _)| format!("a socket: {name}")));
    found
}

/// What should be otherwise.
fn clocks() -> Vec<&'static str> {
    let started = Instant::now();
    thread::sleep(Duration::from_millis(30));
    let slept = started.elapsed();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let a_map = |i| std::collections::HashMap::from([(i, i)]);
    let odd = [
        ("no sleep", slept < Duration::from_millis(25)),
        ("a long sleep", slept > Duration::from_secs(2)),
        ("a fine clock", !slept.as_nanos().is_multiple_of(1_000_000) || !since.as_nanos().is_multiple_of(1_000_000)),
        ("no date", since < Duration::from_secs(1 << 30)),
        ("no map", a_map(1)[&1] != 1),
    ];
    odd.iter().filter(|(_, odd)| *odd).map(|(what, _)| *what).collect()
}

#[cfg(target_os = "wasi")]
fn random(len: u64) {
    #[repr(C)]
    struct List(*mut u8, usize);
    // wasi-libc's name for wasi:random/random.get-random-bytes.
    unsafe extern "C" {
        fn random_get_random_bytes(len: u64, list: *mut List);
    }
    let mut list = List(std::ptr::null_mut(), 0);
    // SAFETY: the list is valid for a write, and is not read.
    unsafe { random_get_random_bytes(len, &raw mut list) }
}

#[cfg(not(target_os = "wasi"))]
fn random(_: u64) {}
