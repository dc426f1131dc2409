//! `hostile`: a plugin that misbehaves, for the host's tests.
//!
//! The configuration's `mode` says how, its `on` (`add`, `del`, `check`, `status`, `gc`
//! or `validate`; `add` if absent) when; at any other time it behaves.
//!
//! | mode | |
//! |---|---|
//! | `ok` | a valid result of one interface |
//! | `panic` | a panic with a message |
//! | `loop`, `alloc`, `recurse` | time, memory, stack without end |
//! | `alloc-slow` | memory without end, a page at a time |
//! | `log-flood`, `call-flood`, `wait-long` | host calls without end |
//! | `read-flood`, `commit-flood`, `link-flood` | reads, operations, links without end |
//! | `delegate-flood` | instances of the IPAM plugin without end, whatever each of them uses up |
//! | `nonsense`, `huge-result` | results that no one should believe, or hold |
//! | `lie-NAME` | other results that no one should believe |
//! | `last-words`, `last-call` | a panic after a text, or an argument, that is long and holds control characters |
//! | `bad-handles`, `bad-names`, `bad-sysctl`, `delegate-path` | calls to be refused |
//! | `bad-moves`, `bad-filters`, `bad-devices` | more of them |
//! | `foreign-links`, `foreign-routes`, `foreign-sysctls` | what is the host's and not the plugin's |
//! | `huge-arguments`, `long-lists`, `bad-vlans` | arguments that are too long, too many, out of range |
//! | `wrong-verb` | the delegate's and the filters' GC in another command |
//! | `foreign-filters` | filters for addresses and ports of others |
//! | `foreign-forwarding` | forwarding off, and sysctls of others' links |
//! | `foreign-stars` | links called `all` and `default`, sysctls of them, and a link that comes to have IPv6 |
//! | `listen` | links of its own on the host that are to listen to routers |
//! | `foreign-ports` | other containers' ports, and the bridge that they are at |
//! | `foreign-vlan` | the host's interface in a VLAN of `outside`, and one that only looks like it |
//! | `foreign-reach` | links of its own, with addresses, routes and masters of the host |
//! | `change-twice`, `change-again` | one change in two operations, in two commits |
//! | `change-never`, `change-hoard`, `change-flood` | one change, 2000, changes without end that no commit sees |
//! | `change-half` | a dummy by a change, then a panic |
//! | `bad-changes`, `bad-tables` | links, namespaces, numbers that do not exist, in changes |
//! | `tables-keep`, `tables-half` | routes, rules and neighbours of the sandbox's `t0` changed; and then a panic |
//! | `foreign-parents` | dummies and macvlans on the host, and on its links |
//! | `foreign-tables` | routes, rules and neighbours of the host |
//! | `memo-large`, `memo-any`, `memo-flood` | memos that are too long, not granted, without end |
//! | `memo-keep`, `memo-show`, `memo-panic` | keeps the interface's name; fails with what is kept; keeps, and panics |
//! | `identity` | fails with the type that it is called as |
//! | `ungranted` | every function whose use the grants of `loopback` do not name |
//! | `reach` | for a `validate`: delegates, memo, devices, which are all out of its reach |
//! | `many-mistakes` | for a `validate`: 100,000 of them |
//! | `nobody` | of no use but in a GC: it tells the host and the delegate that nobody is valid |
//! | `delegate-self` | delegates to `hostile`, which delegates to `hostile`, ... |
//! | `ipam-only`, `ipam-check`, `ipam-del` | what the IPAM plugin says |
//! | `half`, `half-loop`, `half-fail` | half an attachment, then a panic, a loop, a failure |
//!
//! Calls to be refused end in a failure that lists the refusals, with code
//! [`REFUSED`], or [`NOT_REFUSED`] if the host let one of them pass. `bad-names`
//! also tries to delete the host's device `outside`. Half an attachment is the
//! bridge `bridge` (`half0` if absent), a veth pair, an address from the plugin
//! `ipam.type` and its gateway's on the bridge, masquerade and a spoof check if
//! `filters` says so; code 123 is its failure.

mod arguments;
mod changes;
mod effects;
mod foreign;
mod lies;
mod memos;
mod more_probes;
mod neighbours;
mod probes;
mod resources;
mod routers;
mod tables;
mod ungranted;

/// The examples of `docs/plugin-authors.md` compile. They are tested here and not in the SDK,
/// which has to be a package without the documents.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugin-authors.md")]
struct PluginAuthors;

use cni_plugin::bindings::interface::wasm_cni::cni::{delegate, identity};
use cni_plugin::decode::{Document, Object};
use cni_plugin::{Attachment, Call, Failure, InterfacePlugin, Mistake, Netns, Output, dummy, validate};

pub use probes::{NOT_REFUSED, REFUSED};

/// The plugin.
#[derive(Debug)]
pub struct Hostile;

cni_plugin::export_interface_plugin!(Hostile);

impl InterfacePlugin for Hostile {
    fn add(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<Output, Failure> {
        run("add", call, Some(sandbox), host)
    }

    fn del(call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<(), Failure> {
        run("del", call, sandbox, host).map(drop)
    }

    fn check(call: &Call, sandbox: &Netns, host: Option<&Netns>) -> Result<(), Failure> {
        run("check", call, Some(sandbox), host).map(drop)
    }

    fn status(config: &str, host: Option<&Netns>) -> Result<(), Failure> {
        run("status", &of_no_attachment(config), None, host).map(drop)
    }

    fn gc(config: &str, _: &[Attachment], host: Option<&Netns>) -> Result<(), Failure> {
        run("gc", &of_no_attachment(config), None, host).map(drop)
    }

    fn validate(config: &str) -> Vec<Mistake> {
        let mistakes = validate::every(config, "", |document| {
            Conf::read(document);
            Vec::new()
        });
        let document = Document::parse(config).ok();
        if document.map(|document| Conf::read(&document)).is_some_and(|conf| conf.mode == "many-mistakes") {
            return memos::many_mistakes();
        }
        let effects = run("validate", &of_no_attachment(config), None, None).err();
        mistakes.into_iter().chain(effects.map(Mistake::from)).collect()
    }
}

fn of_no_attachment(config: &str) -> Call {
    Call { config: config.to_owned(), ..Call::default() }
}

/// Its keys.
struct Conf {
    mode: String,
    on: String,
    bridge: String,
    outside: Option<String>,
    filters: bool,
    ipam: Option<String>,
}

impl Conf {
    fn read(document: &Document) -> Self {
        let conf = document.root("Hostile");
        let text = |key| conf.text(key).filter(|text| !text.is_empty());
        let ipam = conf.object("ipam", "IPAM", "IPAM").map(Object::shared);
        Self {
            mode: text("mode").unwrap_or_default(),
            on: text("on").unwrap_or_else(|| "add".into()),
            bridge: text("bridge").unwrap_or_else(|| "half0".into()),
            outside: text("outside"),
            filters: conf.flag("filters"),
            ipam: ipam.and_then(|ipam| ipam.text("type")),
        }
    }
}

/// What a mode works with.
#[derive(Debug)]
struct Scene<'a> {
    call: &'a Call,
    sandbox: Option<&'a Netns>,
    host: Option<&'a Netns>,
    /// The bridge to make half an attachment with.
    bridge: String,
    /// A device of the host that is none of the plugin's business.
    outside: Option<String>,
    /// Half an attachment has packet filters too.
    filters: bool,
    ipam: Option<String>,
}

fn run(verb: &str, call: &Call, sandbox: Option<&Netns>, host: Option<&Netns>) -> Result<Output, Failure> {
    let document = Document::parse(&call.config)?;
    let Conf { mode, on, bridge, outside, filters, ipam } = Conf::read(&document);
    document.finish()?;
    let scene = Scene { call, sandbox, host, bridge, outside, filters, ipam };
    let mode = if on == verb { mode } else { "ok".into() };
    match mode.as_str() {
        "ok" => Ok(call.prev.clone().ok().flatten().unwrap_or_else(|| effects::one_interface(&scene))),
        "panic" => panic!("hostile says: boom"),
        "loop" => resources::spin(),
        "alloc" => resources::allocate(),
        "alloc-slow" => resources::allocate_slowly(),
        "recurse" => Err(format!("came back with {}", resources::recurse(0)).into()),
        "nonsense" => Ok(effects::nonsense()),
        "huge-result" => Ok(resources::huge_result()),
        "log-flood" => resources::flood_log(),
        "call-flood" => resources::flood_calls(scene.sandbox()?),
        "wait-long" => resources::wait_for_ever(scene.sandbox()?),
        "read-flood" => resources::flood_reads(scene.host()?),
        "commit-flood" => resources::flood_operations(scene.sandbox()?),
        "link-flood" => resources::flood_links(scene.sandbox()?),
        "delegate-flood" => resources::flood_delegates(scene.ipam()?),
        "last-words" => lies::last_words(),
        "last-call" => lies::last_call(),
        "foreign-links" => foreign::links(&scene),
        "foreign-routes" => foreign::routes(&scene),
        "foreign-sysctls" => foreign::sysctls(&scene),
        "foreign-stars" => routers::stars(&scene),
        "listen" => routers::listen(&scene),
        "foreign-ports" => neighbours::ports(&scene),
        "foreign-vlan" => neighbours::vlan(&scene),
        "foreign-reach" => neighbours::reach(&scene),
        "foreign-forwarding" => foreign::forwarding(&scene),
        "change-twice" => changes::twice(&scene).map(|()| Output::default()),
        "change-again" => changes::again(&scene).map(|()| Output::default()),
        "change-never" => {
            drop(dummy::add("hostile0", []));
            Ok(effects::one_interface(&scene))
        }
        "change-hoard" => {
            changes::hoard();
            Ok(effects::one_interface(&scene))
        }
        "change-flood" => changes::flood(),
        "change-half" => {
            changes::half(scene.sandbox()?)?;
            panic!("hostile says: half done");
        }
        "bad-changes" => changes::bad(&scene),
        "bad-tables" => tables::bad(&scene),
        "tables-keep" => {
            tables::change(scene.sandbox()?)?;
            Ok(effects::one_interface(&scene))
        }
        "tables-half" => {
            tables::change(scene.sandbox()?)?;
            panic!("hostile says: half done");
        }
        "foreign-parents" => changes::foreign(&scene),
        "foreign-tables" => tables::foreign(&scene),
        "memo-large" => memos::large(),
        "memo-any" => memos::any(),
        "memo-flood" => memos::flood(),
        "memo-keep" => Ok(memos::keep(&scene)?),
        "memo-show" => memos::show(),
        "memo-panic" => memos::put_and_panic(),
        "identity" => Err(format!("called as {}", identity::type_name()).into()),
        "ungranted" => ungranted::all(&scene),
        "reach" => memos::reach(&scene),
        "nobody" => foreign::nobody(&scene),
        "foreign-filters" => foreign::filters(&scene),
        "given-back" => foreign::given_back(&scene),
        "wrong-verb" => foreign::wrong_verb(&scene),
        "huge-arguments" => arguments::huge(&scene),
        "long-lists" => arguments::lists(&scene),
        "bad-vlans" => arguments::vlans(&scene),
        "bad-handles" => probes::handles(&scene),
        "bad-names" => probes::names(&scene),
        "bad-sysctl" => probes::sysctls(&scene),
        "delegate-path" => probes::delegates(),
        "bad-moves" => more_probes::moves(&scene),
        "bad-filters" => more_probes::filters(&scene),
        "bad-devices" => more_probes::devices(),
        "delegate-self" => delegate::add("hostile").map(|_| Output::default()),
        "ipam-only" => Ok(delegate::add(scene.ipam()?)?),
        "ipam-check" => delegate::check(scene.ipam()?).map(|()| Output::default()),
        "ipam-del" => delegate::del(scene.ipam()?).map(|()| Output::default()),
        "half" => {
            effects::half(&scene)?;
            panic!("hostile says: half done");
        }
        "half-loop" => {
            effects::half(&scene)?;
            resources::spin()
        }
        "half-fail" => {
            effects::half(&scene)?;
            Err(Failure::new(123, "hostile gives up half done", "on purpose"))
        }
        mode => match mode.strip_prefix("lie-") {
            Some(lie) => lies::result(&scene, lie),
            None => Err(format!("unknown mode {mode:?}").into()),
        },
    }
}

impl<'a> Scene<'a> {
    fn sandbox(&self) -> Result<&'a Netns, Failure> {
        self.sandbox.ok_or_else(|| "no sandbox was lent".into())
    }

    fn host(&self) -> Result<&'a Netns, Failure> {
        cni_plugin::require_host(self.host)
    }

    fn ipam(&self) -> Result<&str, Failure> {
        self.ipam.as_deref().ok_or_else(|| "no IPAM plugin was named".into())
    }
}
