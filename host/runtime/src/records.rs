//! What is attached by way of this program under a plugin's name: nobody gives
//! such a plugin a cache, but GC is to remove the links of what is not valid any
//! more, and only who made them knows which those are.
//!
//! A folder for each namespace that is a host's and for each plugin, below
//! `/run`: with a reboot all of it is gone, links and records. That a record
//! cannot be kept is no reason to refuse an ADD.

use std::{path::Path, sync::Arc};

use serde_json::{Map, Value};
use wasm_cni_kernel::Netns;

use crate::{
    attempt::{Attempt, Subject},
    cache::{Cache, Cached},
    config::field,
    directory::create_folders,
    dispatch::{CallConfig, Labelled, Verb},
    error::CniError,
    instance,
    limits::Deadline,
    plugin::{Command, Inner, LogLine},
    result,
    runtime::{Attachment, Runtime},
    undo::Undo,
    version::Family,
    wire,
};

/// The records of a plugin.
pub(crate) struct Records<'a> {
    runtime: &'a Runtime,
    plugin: &'a str,
    cache: Cache,
}

impl<'a> Records<'a> {
    /// Of the plugin's attachments to this host's namespace.
    pub(crate) fn new(runtime: &'a Runtime, plugin: &'a str, host: &Netns) -> Self {
        let folder = format!("/run/wasm-cni/attachments/{}/{plugin}", host.id().1);
        Self { runtime, plugin, cache: Cache::new(runtime.inner.under_root(folder)) }
    }

    /// Remembers what an ADD made.
    pub(crate) fn keep(&self, attempt: &Attempt, config: &str, result: &Value) {
        let netns_id = attempt.sandbox().ok().flatten().map(|sandbox| sandbox.netns.id());
        let kept = create_folders(self.cache.folder(), 0o700).map_err(|e| e.to_string()).and_then(|_| {
            let at = attachment(attempt);
            let _ = attempt.note(Undo::File { path: self.cache.path(&attempt.network, &at) });
            let put = self.cache.put_with(&attempt.network, &at, config.as_bytes(), result, netns_id);
            put.map_err(|e| e.to_string())
        });
        if let Err(text) = kept {
            log(&self.runtime.inner, attempt, self.plugin, &format!("GC will not know of this attachment: {text}"));
        }
    }

    /// Forgets what a DEL removed.
    pub(crate) fn forget(&self, attempt: &Attempt) {
        self.cache.remove(&attempt.network, &attachment(attempt));
    }

    /// Detaches what is not among `live`. Gives the failures.
    pub(crate) fn collect(&self, network: &str, live: &[wire::Attachment]) -> Vec<String> {
        let stale = match self.cache.of_network(network) {
            Ok(all) => all.into_iter().filter(|cached| !is_live(live, cached)),
            Err(e) => return vec![e.to_string()],
        };
        let detached = stale.filter_map(|cached| {
            let Attachment { container_id, ifname, .. } = &cached.attachment;
            let what = format!("failed to delete stale attachment {container_id} {ifname}");
            self.detach(cached).err().map(|e| format!("{what}: {e}"))
        });
        detached.collect()
    }

    fn detach(&self, cached: Cached) -> Result<(), CniError> {
        let Attachment { container_id, ifname, netns, args, .. } = cached.attachment;
        let is_same = |netns: &Netns| cached.netns_id.is_none_or(|id| id == netns.id());
        // Another container's by now: ours is gone, and what is there is not ours.
        let netns =
            if Netns::open(Path::new(&netns)).is_ok_and(|netns| is_same(&netns)) { netns } else { String::new() };
        let config = String::from_utf8_lossy(&cached.config).into_owned();
        let object: Map<String, Value> = serde_json::from_str(&config).unwrap_or_default();
        let version = field(&object, "cniVersion").and_then(Value::as_str).unwrap_or("0.1.0").to_owned();
        let previous = cached.result.as_ref().map(|json| result::parse(json, &version, Family::of(&version)));
        let previous = previous.and_then(Result::ok).map(|(success, version)| Labelled { success, version });
        let config = CallConfig { text: config.into(), version, previous: Ok(previous), whole: false };

        let host = self.runtime.host()?;
        let subject = Subject { network: cached.network, container_id, ifname, netns, args, own_netns: false, host };
        let deadline = Deadline::after(self.runtime.inner.limits.time);
        let attempt = Attempt::new(Arc::clone(&self.runtime.inner), Command::Del, subject, deadline);
        let plugin = self.runtime.inner.bundled(self.plugin)?;
        let verb = Verb::Call(Command::Del);
        instance::run(&attempt, instance::Request { plugin, config: Arc::new(config), verb, depth: 0 })?;
        self.forget(&attempt);
        Ok(())
    }
}

fn is_live(live: &[wire::Attachment], cached: &Cached) -> bool {
    let at = &cached.attachment;
    live.iter().any(|live| live.container_id == at.container_id && live.ifname == at.ifname)
}

fn attachment(attempt: &Attempt) -> Attachment {
    Attachment {
        container_id: attempt.container_id.clone(),
        ifname: attempt.ifname.clone(),
        netns: attempt.netns.clone(),
        args: attempt.args.clone(),
        capability_args: Map::new(),
    }
}

fn log(runtime: &Inner, attempt: &Attempt, plugin: &str, message: &str) {
    (runtime.log)(&LogLine {
        level: "warn",
        plugin,
        network: &attempt.network,
        container_id: &attempt.container_id,
        message,
    });
}
