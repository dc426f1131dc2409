//! `gc` and `status`: a network as a whole.

use anyhow::Result;

use super::find_network;
use crate::{args::Gc, env::Env};

pub(crate) fn gc(gc: &Gc, env: &Env) -> Result<u8> {
    let network = find_network(&gc.network.network, env)?;
    let runtime = env.runtime()?;
    let mut live = gc.keep.clone();
    if gc.keep_alive {
        let attachments = runtime.cached(None).into_iter().filter(|cached| cached.network == network.name);
        // Of whom nothing is known may be alive.
        let alive = attachments.filter(|cached| cached.is_alive() != Some(false)).map(|cached| cached.attachment);
        live.extend(alive.map(|at| (at.container_id, at.ifname)));
    }
    let said = gc.keep_alive || !gc.keep.is_empty();
    runtime.gc(&network, said.then_some(&live))?;
    Ok(0)
}

pub(crate) fn status(network: &str, env: &Env) -> Result<u8> {
    let network = find_network(network, env)?;
    env.runtime()?.status(&network)?;
    Ok(0)
}
