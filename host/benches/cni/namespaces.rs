//! Private user, network and mount namespaces for the benchmark, and the network
//! namespaces that stand for containers. All of it goes with the process,
//! however that ends. Must not know: plugins.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};
use wasm_cni_kernel::{Address, LinkAttrs, LinkKind, LinkRef, Netlink, Netns, NewLink, VethPeer};

/// What the benchmark writes lies here, on a file system that goes with it.
pub(crate) const DIRECTORY: &str = "/run/bench";

const NAMES: &str = "/run/netns";
const NOTHING: Option<&str> = None;

/// Moves this process, which must have one thread yet, into namespaces of its own.
pub(crate) fn enter() -> Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .context("this needs private namespaces (see user.max_user_namespaces in sysctl)")?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    tmpfs("/run")?;
    fs::create_dir_all(NAMES)?;
    fs::create_dir_all(DIRECTORY)?;
    // Neither the machine's policy nor its leases and results; all else of these
    // directories stays in reach: alternatives(8) are links by way of /etc.
    without("/etc", &["cni", "wasm-cni"])?;
    without("/var/lib", &["cni"])?;
    up(&mut Netns::current()?.connect()?, "lo")
}

/// Puts an empty directory over this one, with links to what was there except for
/// these names.
fn without(directory: &str, names: &[&str]) -> Result<()> {
    let entries: Vec<_> = fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    let behind = Path::new("/run/behind").join(directory.trim_start_matches('/'));
    fs::create_dir_all(&behind)?;
    mount(Some(directory), &behind, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)?;
    tmpfs(directory)?;
    for entry in entries.iter().filter(|entry| !names.iter().any(|name| *entry == name)) {
        symlink(behind.join(entry), Path::new(directory).join(entry))?;
    }
    Ok(())
}

fn tmpfs(directory: &str) -> Result<()> {
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .with_context(|| format!("cannot mount a private {directory}"))
}

/// A new network namespace under a name, as by ip-netns(8). Gives its path.
pub(crate) fn container(name: &str) -> Result<PathBuf> {
    let netns = Netns::create()?;
    let path = Path::new(NAMES).join(name);
    File::create(&path)?;
    mount(Some(&netns.path()), &path, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    Ok(path)
}

/// A device, moved into and out of containers, with a cable to nowhere.
pub(crate) fn device(name: &str) -> Result<()> {
    let mut host = Netns::current()?.connect()?;
    let peer = format!("{name}-peer");
    let kind = LinkKind::Veth(VethPeer { name: peer.clone(), ..VethPeer::default() });
    host.link_add(&NewLink { name: name.to_owned(), kind, attrs: LinkAttrs::default() })?;
    up(&mut host, &peer)
}

/// A bridge with an address. Gives its index.
pub(crate) fn bridge(name: &str, address: &str) -> Result<u32> {
    let mut host = Netns::current()?.connect()?;
    let attrs = LinkAttrs { up: Some(true), ..LinkAttrs::default() };
    let kind = LinkKind::Bridge { vlan_filtering: false };
    let link = host.link_add(&NewLink { name: name.to_owned(), kind, attrs })?;
    host.address_add(&Address { link, ip: address.parse()?, flags: 0 })?;
    Ok(link)
}

fn up(netlink: &mut Netlink, name: &str) -> Result<()> {
    let index = netlink.link_get(LinkRef::Name(name))?.index;
    Ok(netlink.link_set(index, &LinkAttrs { up: Some(true), ..LinkAttrs::default() })?)
}
