//! Each target for two seconds: with the files of `fuzz/corpus`, and with those after small changes. What is tried is the same
//! in each run, only how much of it depends on the machine.

use std::{
    fs,
    panic::{RefUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fastrand::Rng;

const TIME: Duration = Duration::from_secs(2);

/// Parts of texts that mean something to one of the targets.
const WORDS: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    "0",
    "-1",
    "1e3",
    "4294967296",
    "\"\"",
    "\"name\":",
    "\"type\":",
    "\"plugins\":[",
    "\"ips\":",
    "\"0.2.0\"",
    "\"1.1.0\"",
    "\"10.0.0.5/24\"",
    "\"::1/129\"",
    "\n",
    "/",
    "..",
    "*",
    "net/",
    "\\u0000",
    "{\"not\":0}",
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a target, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(fuzz().join("corpus").join(target)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// One small change.
fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.usize(0..=bytes.len());
    let end = (at + rng.usize(0..=16)).min(bytes.len());
    match rng.u8(0..8) {
        0 => drop(bytes.splice(at..end, rng.choice(WORDS).unwrap().bytes())),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.extend_from_within(at..end),
        3 => {
            let from = rng.usize(0..=other.len());
            let to = (from + rng.usize(0..=64)).min(other.len());
            drop(bytes.splice(at..end, other[from..to].iter().copied()));
        }
        4 => bytes.truncate(at),
        // A length or a number of netlink.
        5 if at + 2 <= bytes.len() => bytes[at..at + 2].copy_from_slice(&rng.u16(0..40).to_ne_bytes()),
        6 if at < bytes.len() => bytes[at] = *rng.choice(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'/'][..]).unwrap(),
        _ if at < bytes.len() => bytes[at] ^= 1 << rng.u8(0..8),
        _ => bytes.push(rng.u8(..)),
    }
}

fn run(name: &str, target: impl Fn(&[u8]) + RefUnwindSafe) {
    let seeds = corpus(name);
    for (file, seed) in &seeds {
        assert!(catch_unwind(|| target(seed)).is_ok(), "fuzz/corpus/{name}/{file}");
    }
    let rng = &mut Rng::with_seed(1);
    let (begin, mut tried) = (Instant::now(), 0);
    while begin.elapsed() < TIME {
        let mut bytes = rng.choice(&seeds).unwrap().1.clone();
        let other = &rng.choice(&seeds).unwrap().1;
        (0..rng.u8(1..6)).for_each(|_| change(&mut bytes, other, rng));
        let bytes = &bytes;
        if catch_unwind(|| target(bytes)).is_err() {
            panic!("{name}, try {tried}: {bytes:?}, or {:?}", String::from_utf8_lossy(bytes));
        }
        tried += 1;
    }
    assert!(tried > 100, "{tried} in {TIME:?}");
}

#[test]
fn configuration() {
    run("configuration", wasm_cni_fuzz_targets::configuration);
}

#[test]
fn result() {
    run("result", wasm_cni_fuzz_targets::result);
}

#[test]
fn netlink() {
    run("netlink", |bytes| drop(wasm_cni_fuzz_targets::netlink(bytes)));
}

#[cfg(feature = "capabilities")]
#[test]
fn journal() {
    run("journal", |bytes| {
        wasm_cni_fuzz_targets::journal(bytes);
    });
}

#[cfg(feature = "capabilities")]
#[test]
fn sysctl() {
    run("sysctl", wasm_cni_fuzz_targets::sysctl);
}

/// Otherwise changes of them would test little.
#[test]
fn every_answer_of_a_kernel_is_read() {
    for (file, seed) in corpus("netlink") {
        assert!(!wasm_cni_fuzz_targets::netlink(&seed).is_empty(), "{file}");
    }
}

#[cfg(feature = "capabilities")]
#[test]
fn every_effect_of_a_record_is_read() {
    let noted = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("{\"undo\":").count();
    for (file, seed) in corpus("journal").into_iter().filter(|(file, _)| file == "bridge" || file == "host-device") {
        // One of the second file did not come about.
        let struck = usize::from(file == "host-device");
        assert_eq!(wasm_cni_fuzz_targets::journal(&seed), noted(&seed) - struck, "{file}");
    }
}

#[test]
fn every_target_has_a_program_and_files() {
    let names = |directory: &str| {
        let entries = fs::read_dir(fuzz().join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("fuzz_targets"), ["configuration", "journal", "netlink", "result", "sysctl"]);
    assert_eq!(names("fuzz_targets"), names("corpus"));
}
