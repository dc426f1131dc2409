//! Private user, network and mount namespaces for the benchmark, and network namespaces
//! that stand for containers. Everything disappears with the process. Must not know:
//! plugins.

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

/// The directory of the benchmark's files, on a file system that disappears with it.
pub(crate) const DIRECTORY: &str = "/run/bench";

const NAMES: &str = "/run/netns";
const NOTHING: Option<&str> = None;

/// Moves this process, which must have only one thread, into its own namespaces.
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
    // Hides the machine's policy, leases and results. The rest of these directories stays
    // visible: alternatives(8) uses links through /etc.
    without("/etc", &["cni", "wasm-cni"])?;
    without("/var/lib", &["cni"])?;
    up(&mut Netns::current()?.connect()?, "lo")
}

/// Covers this directory with one that has links to its entries, except for these names.
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

/// Creates a named network namespace, like ip-netns(8). Returns its path.
pub(crate) fn container(name: &str) -> Result<PathBuf> {
    let netns = Netns::create()?;
    let path = Path::new(NAMES).join(name);
    File::create(&path)?;
    mount(Some(&netns.path()), &path, NOTHING, MsFlags::MS_BIND, NOTHING)?;
    Ok(path)
}

/// Creates a veth to move into and out of containers.
pub(crate) fn device(name: &str) -> Result<()> {
    let mut host = Netns::current()?.connect()?;
    let peer = format!("{name}-peer");
    let kind = LinkKind::Veth(VethPeer { name: peer.clone(), ..VethPeer::default() });
    host.link_add(&NewLink { name: name.to_owned(), kind, attrs: LinkAttrs::default() })?;
    up(&mut host, &peer)
}

/// Creates a bridge with an address. Returns its index.
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
