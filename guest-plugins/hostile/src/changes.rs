//! Changes that functions of other packages describe: what they name is only looked at in a
//! commit, and each is good for one.

use cni_plugin::bindings::interface::wasm_cni::net::net;
use cni_plugin::macvlan::{Macvlan, Mode};
use cni_plugin::{Batch, Failure, LinkAttr, LinkRef, Netns, OtherChange, Output, Tolerance, dummy, macvlan};

use crate::Scene;
use crate::probes::{Record, shown};

/// How many changes `change-hoard` keeps.
const MANY: usize = 2000;

fn named(name: &str) -> LinkRef {
    LinkRef::Name(name.to_owned())
}

fn on(parent: LinkRef, parent_ns: u32, mode: Mode) -> OtherChange {
    macvlan::add(&Macvlan { name: "hostile0", parent, parent_ns, mode, bc_queue_len: None }, [])
}

/// One change in two operations of a commit: a handle that is gone by the second.
pub(crate) fn twice(scene: &Scene<'_>) -> Result<(), Failure> {
    let change = dummy::add("hostile0", []);
    let again = same(&change);
    let mut batch = Batch::on(scene.sandbox()?);
    batch.other(change);
    batch.other(again).tolerate(Tolerance::BestEffort);
    batch.commit()?;
    Ok(())
}

/// The same in two commits.
pub(crate) fn again(scene: &Scene<'_>) -> Result<(), Failure> {
    let change = dummy::add("hostile0", []);
    let again = same(&change);
    for change in [change, again] {
        let mut batch = Batch::on(scene.sandbox()?);
        batch.other(change).tolerate(Tolerance::BestEffort);
        batch.commit()?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a guest that is not written in Rust does this without asking")]
fn same(change: &OtherChange) -> OtherChange {
    // SAFETY: it is what the host must notice; in this instance nothing rests on it.
    unsafe { OtherChange::from_handle(change.handle()) }
}

/// Changes that no commit ever sees.
pub(crate) fn hoard() {
    for number in 0..MANY {
        std::mem::forget(dummy::add(&format!("hoard{number}"), [LinkAttr::Up(true)]));
    }
}

/// The same without end, each as large as there may be.
pub(crate) fn flood() -> ! {
    let name = "x".repeat(1 << 20);
    loop {
        std::mem::forget(dummy::add(&name, []));
    }
}

/// Links, namespaces and names that do not exist.
pub(crate) fn bad(scene: &Scene<'_>) -> Result<Output, Failure> {
    let sandbox = scene.sandbox()?;
    let mut record = Record::default();
    let mut other = |what: &str, change| record.other(sandbox, what, change);
    for name in ["a/b", "exactly-16-bytes", "nul\0", "", ".", "..", "a b", "a:b", "x%d", &"x".repeat(1 << 20)] {
        let shown: String = name.chars().take(20).collect();
        other(&format!("dummy {shown:?}"), dummy::add(name, []));
        let parent = named("lo");
        let named = Macvlan { name, parent, parent_ns: 0, mode: Mode::Bridge, bc_queue_len: None };
        other(&format!("macvlan {shown:?}"), macvlan::add(&named, []));
    }
    for (what, attr) in [
        ("name", LinkAttr::Name("hostile1".into())),
        ("namespace 0", LinkAttr::Netns(0)),
        ("namespace 7", LinkAttr::Netns(7)),
        ("master made 99", LinkAttr::Master(LinkRef::Made(99))),
        ("master made by itself", LinkAttr::Master(LinkRef::Made(0))),
        ("master 0xffffffff", LinkAttr::Master(LinkRef::Index(u32::MAX))),
        ("mac of 33 bytes", LinkAttr::Mac(vec![2; 33])),
        ("alias of 256 bytes", LinkAttr::Alias("a".repeat(256))),
    ] {
        other(&format!("dummy with {what}"), dummy::add("hostile0", [attr]));
    }
    for (what, parent) in [
        ("made 99", LinkRef::Made(99)),
        ("made by itself", LinkRef::Made(0)),
        ("index 0", LinkRef::Index(0)),
        ("index 0xffffffff", LinkRef::Index(u32::MAX)),
        ("an absent name", named("absent0")),
        ("a long name", named(&"x".repeat(1 << 20))),
    ] {
        other(&format!("macvlan on {what}"), on(parent, 0, Mode::Bridge));
    }
    for parent_ns in [1, 7, u32::MAX] {
        other(&format!("macvlan on a parent in namespace {parent_ns}"), on(named("lo"), parent_ns, Mode::Bridge));
    }
    let act = net::Action::Other(dummy::add("hostile0", []));
    let elsewhere = net::Op { ns: 7, act, tolerate: Tolerance::BestEffort };
    let committed = net::commit(&[sandbox], vec![elsewhere]).map_err(|error| shown(&error.cause));
    record.note("dummy in namespace 7", committed);
    record.finish()
}

/// Links on the host, of kinds that may be made in the sandbox; and links of the host as
/// parents, without a grant.
pub(crate) fn foreign(scene: &Scene<'_>) -> Result<Output, Failure> {
    let (host, sandbox) = (scene.host()?, scene.sandbox()?);
    let mut record = Record::default();
    let modes = [Mode::Private, Mode::Vepa, Mode::Bridge, Mode::Passthru];
    for name in ["uplink", "lo", "other0", "outside"] {
        for mode in modes {
            record.commit(sandbox, &format!("sandbox: {mode:?} on the host's {name}"), |batch| {
                let parent_ns = batch.add_namespace(host);
                batch.other(on(named(name), parent_ns, mode)).tolerate(Tolerance::BestEffort);
            });
            record.commit(host, &format!("host: {mode:?} on {name}"), |batch| {
                batch.other(on(named(name), 0, mode)).tolerate(Tolerance::BestEffort);
            });
        }
    }
    record.commit(host, "host: on the sandbox's lo", |batch| {
        let parent_ns = batch.add_namespace(sandbox);
        batch.other(on(named("lo"), parent_ns, Mode::Bridge));
    });
    let dummies: [(&str, &[LinkAttr]); 3] = [
        ("", &[]),
        (" up", &[LinkAttr::Up(true)]),
        (" as a port of outside", &[LinkAttr::Master(LinkRef::Name("outside".into()))]),
    ];
    for (what, attrs) in dummies {
        for tolerance in [Tolerance::Strict, Tolerance::OkIfExists, Tolerance::BestEffort] {
            record.commit(host, &format!("host: a dummy{what}"), |batch| {
                batch.other(dummy::add("hostile0", attrs.to_vec())).tolerate(tolerance);
            });
        }
    }
    // With ok-if-exists the host's own link is found, not made: it must not become the plugin's.
    record.commit(host, "host: uplink as a dummy of its own", |batch| {
        let found = batch.other(dummy::add("uplink", [])).tolerate(Tolerance::OkIfExists).made();
        batch.set_link(found, [LinkAttr::Up(false)]);
    });
    record.finish()
}

/// A dummy that is made, and then a panic: the host must take it back.
pub(crate) fn half(sandbox: &Netns) -> Result<(), Failure> {
    let mut batch = Batch::on(sandbox);
    let made = batch.other(dummy::add("hostile0", [])).made();
    batch.set_link(made, [LinkAttr::Up(true)]);
    batch.commit()?;
    Ok(())
}
