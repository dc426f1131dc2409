//! Abuse of the store, and of the resolver's file.

use cni_plugin::store::{Change, Entry, begin, resolv_conf};
use cni_plugin::{Error, Failure, Output};

/// As `hostile` has them.
const REFUSED: u32 = 120;
const NOT_REFUSED: u32 = 998;

/// Largest value that the store takes, bytes.
const MOST: usize = 64 << 10;

fn entry(key: &str, value: Vec<u8>) -> Entry {
    Entry { key: key.to_owned(), value }
}

/// A failure that lists what was refused, or what was not.
fn finish(outcomes: Vec<(String, Result<(), Error>)>) -> Result<Output, Failure> {
    let (passed, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(_, outcome)| outcome.is_ok());
    if !passed.is_empty() {
        let passed: Vec<_> = passed.into_iter().map(|(what, _)| what).collect();
        return Err(Failure::new(NOT_REFUSED, passed.join("\n"), ""));
    }
    let line = |(what, outcome): (String, Result<(), Error>)| {
        outcome.err().map(|error| format!("{what}: {:?}: refused", error.code))
    };
    let lines: Vec<_> = refused.into_iter().filter_map(line).collect();
    Err(Failure::new(REFUSED, lines.join("\n"), ""))
}

/// Keys that would be other files, or no files.
pub(crate) fn bad_keys() -> Result<Output, Failure> {
    let transaction = begin()?;
    let mut outcomes = Vec::new();
    let long = "k".repeat(256);
    for key in
        ["../x", "../n2/10.0.0.2", "a/b", "/etc/x", "lock", ".", "..", "", "a\0b", "a\nb", "\u{1b}[2J", long.as_str()]
    {
        let what: String = key.chars().take(9).collect();
        let mut note = |verb: &str, outcome: Result<(), Error>| outcomes.push((format!("{verb} {what:?}"), outcome));
        note("get", transaction.get(&[key.to_owned()]).map(drop));
        for change in [
            Change::Create(entry(key, b"x".into())),
            Change::Put(entry(key, b"x".into())),
            Change::Delete(key.to_owned()),
        ] {
            note("apply", transaction.apply(&[change]).map_err(|e| e.cause));
        }
    }
    finish(outcomes)
}

/// Values and lists that are too long.
pub(crate) fn bad_values() -> Result<Output, Failure> {
    let transaction = begin()?;
    // What is just right is not refused.
    transaction.apply(&[Change::Create(entry(&"k".repeat(255), vec![0; MOST]))])?;
    let mut outcomes = Vec::new();
    for size in [MOST + 1, 1 << 20] {
        for change in [Change::Create(entry("a", vec![0; size])), Change::Put(entry("a", vec![0; size]))] {
            outcomes.push((format!("{size} bytes"), transaction.apply(&[change]).map_err(|e| e.cause)));
        }
    }
    let many: Vec<_> = (0..1025).map(|_| Change::Delete("a".into())).collect();
    outcomes.push(("1025 changes".into(), transaction.apply(&many).map_err(|e| e.cause)));
    let many: Vec<_> = (0..1025).map(|_| "a".to_owned()).collect();
    outcomes.push(("1025 keys".into(), transaction.get(&many).map(drop)));
    finish(outcomes)
}

/// The same large value, as often as keys fit into a call.
pub(crate) fn get_many() -> Result<Output, Failure> {
    let transaction = begin()?;
    transaction.apply(&[Change::Create(entry("k", vec![1; MOST]))])?;
    let keys = vec!["k".to_owned(); 250_000];
    let got = transaction.get(&keys)?;
    Err(format!("got {} values", got.len()).into())
}

/// Many large entries, each of which the host has to be able to take back.
pub(crate) fn create_much() -> Result<Output, Failure> {
    let transaction = begin()?;
    for turn in 0..16 {
        let large: Vec<_> =
            (0..100).map(|i| Change::Create(entry(&format!("k{turn}-{i}"), vec![1; MOST - 1]))).collect();
        transaction.apply(&large)?;
    }
    Err("created 1600 entries".into())
}

/// Creates entries for ever, the largest that there may be.
pub(crate) fn flood() -> ! {
    let mut number = 0u64;
    loop {
        let Ok(transaction) = begin() else { continue };
        let mut changes = Vec::new();
        for _ in 0..100 {
            number += 1;
            changes.push(Change::Create(entry(&format!("flood-{number}"), vec![1; MOST])));
        }
        let _ = transaction.apply(&changes);
    }
}

/// Keeps all others from the network's entries.
pub(crate) fn hold() -> Result<Output, Failure> {
    let _transaction = begin()?;
    loop {
        std::hint::black_box(());
    }
}

/// Waits for itself.
pub(crate) fn twice() -> Result<Output, Failure> {
    let _first = begin()?;
    let _second = begin()?;
    Ok(Output::default())
}

pub(crate) fn create_and_panic() -> Result<Output, Failure> {
    let transaction = begin()?;
    transaction.apply(&[Change::Create(entry("10.99.0.2", b"c1\r\neth0".into()))])?;
    panic!("hostile says: created");
}

pub(crate) fn resolver() -> Result<Output, Failure> {
    let text = resolv_conf()?.unwrap_or_default();
    Err(format!("read {} bytes", text.len()).into())
}

pub(crate) fn put_and_panic() -> Result<Output, Failure> {
    let transaction = begin()?;
    let hints = ["note.0", "note.1"];
    let put = |value: &str| hints.map(|key| Change::Put(entry(key, value.into()))).to_vec();
    transaction.apply(&[put("10.99.0.77"), put("10.99.0.78")].concat())?;
    panic!("hostile says: put");
}

/// Writes the same large entry again and again.
pub(crate) fn put_much() -> Result<Output, Failure> {
    let transaction = begin()?;
    for _ in 0..16 {
        transaction.apply(&vec![Change::Put(entry("k", vec![1; MOST])); 100])?;
    }
    Err("put 1600 entries".into())
}

/// Takes all there is: each entry is written over, and removed.
pub(crate) fn others() -> Result<Output, Failure> {
    let transaction = begin()?;
    let mut outcomes = Vec::new();
    for found in transaction.entries(None, 100)? {
        let key = &found.key;
        for change in [Change::Put(entry(key, b"mine".into())), Change::Delete(key.clone())] {
            let outcome = transaction.apply(&[change]).map_err(|e| e.cause);
            outcomes.push((format!("{key:?}"), outcome));
        }
    }
    finish(outcomes)
}
