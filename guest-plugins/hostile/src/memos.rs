//! The memo, and what a `validate` may reach: nothing.

use cni_plugin::bindings::interface::wasm_cni::cni::delegate;
use cni_plugin::devices::{self, Bus};
use cni_plugin::{Error, Failure, Mistake, Output, memo};

use crate::Scene;
use crate::probes::{Record, shown};

/// Largest value that the host keeps, bytes.
const MOST: usize = 64 << 10;

/// Values that are too long.
pub(crate) fn large() -> Result<Output, Failure> {
    let mut record = Record::default();
    for size in [MOST + 1, 1 << 20, 4 << 20] {
        record.note(&format!("{size} bytes"), memo::put(&vec![1; size]).map_err(|e| shown(&e)));
    }
    record.finish()
}

/// Anything at all, without a grant.
pub(crate) fn any() -> Result<Output, Failure> {
    let mut record = Record::default();
    record.note("put", memo::put(b"x").map_err(|e| shown(&e)));
    record.note("get", memo::get().map_err(|e| shown(&e)));
    record.note("forget", memo::forget().map_err(|e| shown(&e)));
    record.finish()
}

/// The largest value there may be, without end.
pub(crate) fn flood() -> ! {
    let value = vec![1; MOST];
    loop {
        let _ = std::hint::black_box(memo::put(&value));
    }
}

/// A new value in place of what was there, and then a panic.
pub(crate) fn put_and_panic() -> Result<Output, Failure> {
    memo::put(b"of an ADD that fails")?;
    panic!("hostile says: put");
}

/// Keeps the name of the attachment.
pub(crate) fn keep(scene: &Scene<'_>) -> Result<Output, Error> {
    memo::put(scene.call.at.ifname.as_bytes())?;
    Ok(crate::effects::one_interface(scene))
}

/// A failure that has what is kept.
pub(crate) fn show() -> Result<Output, Failure> {
    let text = memo::get()?.map(|value| String::from_utf8_lossy(&value).into_owned());
    Err(format!("memo: {text:?}").into())
}

/// Whatever does not need a namespace.
pub(crate) fn reach(scene: &Scene<'_>) -> Result<Output, Failure> {
    let ipam = scene.ipam()?;
    let mut record = Record::default();
    record.note("delegate add", delegate::add(ipam).map_err(|failure| failure.msg));
    record.note("delegate del", delegate::del(ipam).map_err(|failure| failure.msg));
    record.note("delegate status", delegate::status(ipam).map_err(|failure| failure.msg));
    record.note("delegate gc", delegate::gc(ipam, &[]).map_err(|failure| failure.msg));
    record.note("put a memo", memo::put(b"x").map_err(|e| shown(&e)));
    record.note("get a memo", memo::get().map_err(|e| shown(&e)));
    record.note("look for a device", devices::exists(Bus::Pci, "0000:00:00.0").map_err(|e| shown(&e)));
    record.finish()
}

/// More mistakes than a configuration can have, with control characters.
pub(crate) fn many_mistakes() -> Vec<Mistake> {
    let long = "x".repeat(1000);
    (0..100_000).map(|i| Mistake { harmless: i % 2 == 0, ..Mistake::new("a\nb\u{1b}[2J", long.as_str()) }).collect()
}
