//! The host's functions as guests call them: each call is passed on as it is and,
//! if there is a trace, goes on it with its arguments and its outcome. The only
//! place that does so; the functions themselves know nothing of it.

use serde_json::{Value, json};
use wasmtime::component::{HasData, Resource};

use super::{
    State,
    describe::{Describe, Hidden, Mac, Operations, Scribe, cut},
    net::Namespace,
    store::Transaction,
};
use crate::{
    bindings::{delegate, devices, log, masquerade, net, random, resolver, spoof_check, store, types},
    trace::Begun,
    wire,
};

type Reply<T, E = types::Error> = wasmtime::Result<Result<T, E>>;

/// What guests are linked with.
pub(crate) struct Traced<'a>(pub(crate) &'a mut State);

/// Says so to the generated bindings.
pub(crate) struct Link;

impl HasData for Link {
    type Data<'a> = Traced<'a>;
}

/// A call that is to go on the trace.
struct Call {
    function: &'static str,
    begun: Begun,
    arguments: Value,
}

impl Traced<'_> {
    /// None without a trace: nothing is described then.
    fn enter(&self, function: &'static str, arguments: &[(&str, &dyn Describe)]) -> Option<Call> {
        let state = &*self.0;
        if !state.attempt.runtime.trace.is_on() {
            return None;
        }
        let arguments = Scribe::new(&state.table).arguments(arguments);
        Some(Call { function, begun: Begun::now(), arguments })
    }

    /// Gives the reply back.
    fn leave<T: Describe>(&self, call: Option<Call>, reply: wasmtime::Result<T>) -> wasmtime::Result<T> {
        let Some(Call { function, begun, arguments }) = call else { return reply };
        let state = &*self.0;
        let outcome = match &reply {
            Ok(reply) => {
                let described = reply.describe(&mut Scribe::new(&state.table));
                if reply.is_error() { Err(described) } else { Ok(described) }
            }
            Err(trap) => Err(json!({ "trap": cut(&trap.to_string()) })),
        };
        state.attempt.runtime.trace.called(state.who(), begun, function, arguments, outcome);
        reply
    }
}

impl net::Host for Traced<'_> {
    fn commit(
        &mut self,
        namespaces: Vec<Resource<Namespace>>,
        ops: Vec<net::Op>,
    ) -> Reply<Vec<Option<net::Made>>, net::CommitError> {
        let call = self.enter("net.commit", &[("ops", &Operations(&namespaces, &ops))]);
        let reply = net::Host::commit(self.0, namespaces, ops);
        self.leave(call, reply)
    }

    fn read(&mut self, ns: Resource<Namespace>, what: net::Query) -> Reply<net::Snapshot> {
        let call = self.enter("net.read", &[("ns", &ns), ("what", &what)]);
        let reply = net::Host::read(self.0, ns, what);
        self.leave(call, reply)
    }

    fn sysctl_get(&mut self, ns: Resource<Namespace>, keys: Vec<String>) -> Reply<Vec<Option<String>>> {
        let call = self.enter("net.sysctl-get", &[("ns", &ns), ("keys", &keys)]);
        let reply = net::Host::sysctl_get(self.0, ns, keys);
        self.leave(call, reply)
    }

    fn wait(
        &mut self,
        ns: Resource<Namespace>,
        link: net::LinkRef,
        until: net::Condition,
        timeout_ms: u32,
    ) -> Reply<bool> {
        let arguments: [(_, &dyn Describe); 4] =
            [("ns", &ns), ("link", &link), ("until", &until), ("timeout-ms", &timeout_ms)];
        let call = self.enter("net.wait", &arguments);
        let reply = net::Host::wait(self.0, ns, link, until, timeout_ms);
        self.leave(call, reply)
    }
}

impl net::HostNetns for Traced<'_> {
    fn label(&mut self, this: Resource<Namespace>) -> wasmtime::Result<String> {
        let call = self.enter("net.label", &[("ns", &this)]);
        let reply = net::HostNetns::label(self.0, this);
        self.leave(call, reply)
    }

    fn drop(&mut self, this: Resource<Namespace>) -> wasmtime::Result<()> {
        net::HostNetns::drop(self.0, this)
    }
}

impl masquerade::Host for Traced<'_> {
    fn add(
        &mut self,
        ns: Resource<Namespace>,
        addresses: Vec<types::IpNet>,
        backend: Option<masquerade::Backend>,
    ) -> Reply<()> {
        let call = self.enter("masquerade.add", &[("ns", &ns), ("addresses", &addresses), ("backend", &backend)]);
        let reply = masquerade::Host::add(self.0, ns, addresses, backend);
        self.leave(call, reply)
    }

    fn remove(&mut self, ns: Resource<Namespace>, addresses: Vec<types::IpNet>) -> Reply<()> {
        let call = self.enter("masquerade.remove", &[("ns", &ns), ("addresses", &addresses)]);
        let reply = masquerade::Host::remove(self.0, ns, addresses);
        self.leave(call, reply)
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<wire::Attachment>) -> Reply<()> {
        let call = self.enter("masquerade.gc", &[("ns", &ns), ("live", &live)]);
        let reply = masquerade::Host::gc(self.0, ns, live);
        self.leave(call, reply)
    }

    fn status(&mut self, ns: Resource<Namespace>, backend: Option<masquerade::Backend>) -> Reply<()> {
        let call = self.enter("masquerade.status", &[("ns", &ns), ("backend", &backend)]);
        let reply = masquerade::Host::status(self.0, ns, backend);
        self.leave(call, reply)
    }
}

impl spoof_check::Host for Traced<'_> {
    fn add(&mut self, ns: Resource<Namespace>, port: String, mac: Vec<u8>) -> Reply<()> {
        let call = self.enter("spoof-check.add", &[("ns", &ns), ("port", &port), ("mac", &Mac(&mac))]);
        let reply = spoof_check::Host::add(self.0, ns, port, mac);
        self.leave(call, reply)
    }

    fn remove(&mut self, ns: Resource<Namespace>) -> Reply<()> {
        let call = self.enter("spoof-check.remove", &[("ns", &ns)]);
        let reply = spoof_check::Host::remove(self.0, ns);
        self.leave(call, reply)
    }

    fn gc(&mut self, ns: Resource<Namespace>, live: Vec<wire::Attachment>) -> Reply<()> {
        let call = self.enter("spoof-check.gc", &[("ns", &ns), ("live", &live)]);
        let reply = spoof_check::Host::gc(self.0, ns, live);
        self.leave(call, reply)
    }
}

impl delegate::Host for Traced<'_> {
    fn add(&mut self, plugin: String) -> Reply<wire::Output, wire::Failure> {
        let call = self.enter("delegate.add", &[("plugin", &plugin)]);
        let reply = delegate::Host::add(self.0, plugin);
        self.leave(call, reply)
    }

    fn del(&mut self, plugin: String) -> Reply<(), wire::Failure> {
        let call = self.enter("delegate.del", &[("plugin", &plugin)]);
        let reply = delegate::Host::del(self.0, plugin);
        self.leave(call, reply)
    }

    fn check(&mut self, plugin: String) -> Reply<(), wire::Failure> {
        let call = self.enter("delegate.check", &[("plugin", &plugin)]);
        let reply = delegate::Host::check(self.0, plugin);
        self.leave(call, reply)
    }

    fn status(&mut self, plugin: String) -> Reply<(), wire::Failure> {
        let call = self.enter("delegate.status", &[("plugin", &plugin)]);
        let reply = delegate::Host::status(self.0, plugin);
        self.leave(call, reply)
    }

    fn gc(&mut self, plugin: String, live: Vec<wire::Attachment>) -> Reply<(), wire::Failure> {
        let call = self.enter("delegate.gc", &[("plugin", &plugin), ("live", &live)]);
        let reply = delegate::Host::gc(self.0, plugin, live);
        self.leave(call, reply)
    }
}

impl devices::Host for Traced<'_> {
    fn exists(&mut self, bus: devices::Bus, name: String) -> Reply<bool> {
        let call = self.enter("devices.exists", &[("bus", &bus), ("name", &name)]);
        let reply = devices::Host::exists(self.0, bus, name);
        self.leave(call, reply)
    }

    fn driver(&mut self, bus: devices::Bus, name: String) -> Reply<String> {
        let call = self.enter("devices.driver", &[("bus", &bus), ("name", &name)]);
        let reply = devices::Host::driver(self.0, bus, name);
        self.leave(call, reply)
    }

    fn interfaces(&mut self, bus: devices::Bus, name: String) -> Reply<Vec<String>> {
        let call = self.enter("devices.interfaces", &[("bus", &bus), ("name", &name)]);
        let reply = devices::Host::interfaces(self.0, bus, name);
        self.leave(call, reply)
    }

    fn interfaces_at(&mut self, path: String) -> Reply<Vec<String>> {
        let call = self.enter("devices.interfaces-at", &[("path", &path)]);
        let reply = devices::Host::interfaces_at(self.0, path);
        self.leave(call, reply)
    }
}

impl store::Host for Traced<'_> {
    fn begin(&mut self) -> Reply<Resource<Transaction>> {
        let call = self.enter("store.begin", &[]);
        let reply = store::Host::begin(self.0);
        self.leave(call, reply)
    }
}

impl store::HostTransaction for Traced<'_> {
    fn get(&mut self, this: Resource<Transaction>, keys: Vec<String>) -> Reply<Vec<Option<Vec<u8>>>> {
        let call = self.enter("store.get", &[("keys", &keys)]);
        let reply = store::HostTransaction::get(self.0, this, keys);
        self.leave(call, reply)
    }

    fn find(&mut self, this: Resource<Transaction>, value: Vec<u8>) -> Reply<Vec<String>> {
        let call = self.enter("store.find", &[("value", &value)]);
        let reply = store::HostTransaction::find(self.0, this, value);
        self.leave(call, reply)
    }

    fn entries(&mut self, this: Resource<Transaction>, after: Option<String>, limit: u32) -> Reply<Vec<store::Entry>> {
        let call = self.enter("store.entries", &[("after", &after), ("limit", &limit)]);
        let reply = store::HostTransaction::entries(self.0, this, after, limit);
        self.leave(call, reply)
    }

    fn apply(&mut self, this: Resource<Transaction>, changes: Vec<store::Change>) -> Reply<(), store::ChangeError> {
        let call = self.enter("store.apply", &[("changes", &changes)]);
        let reply = store::HostTransaction::apply(self.0, this, changes);
        self.leave(call, reply)
    }

    /// The end of the transaction.
    fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        let call = self.enter("store.drop", &[]);
        let reply = store::HostTransaction::drop(self.0, this);
        self.leave(call, reply)
    }
}

impl log::Host for Traced<'_> {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let call = self.enter("log.write", &[("level", &level), ("message", &message)]);
        let reply = log::Host::write(self.0, level, message);
        self.leave(call, reply)
    }
}

impl random::Host for Traced<'_> {
    fn bytes(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        let call = self.enter("random.bytes", &[("len", &len)]);
        let reply = random::Host::bytes(self.0, len);
        // A key may be made of them.
        self.leave(call, reply.map(Hidden)).map(|Hidden(bytes)| bytes)
    }
}

impl resolver::Host for Traced<'_> {
    fn resolv_conf(&mut self) -> Reply<Option<String>> {
        let call = self.enter("resolver.resolv-conf", &[]);
        let reply = resolver::Host::resolv_conf(self.0);
        self.leave(call, reply)
    }
}
