//! Moving a device into the container and back. Its alias holds the name that
//! it has on the host.

use cni_plugin::{Batch, Code, CommitFailed, Context, Failure, Link, LinkAttr, LinkRef, Netns, Tables, go, link, log};

use crate::device::Device;
use crate::selector::Selector;

/// Moves a link of the host into the container, as `ifname`.
pub(crate) fn take(host: &Netns, sandbox: &Netns, link: &Link, ifname: &str) -> Result<(), String> {
    let attrs = [LinkAttr::Name(ifname.to_owned()), LinkAttr::Alias(link.name.clone()), LinkAttr::Up(true)];
    rename_into(host, sandbox, link, attrs).map_err(|failed| {
        let [old, new] = [&link.name, ifname].map(go::quoted);
        let what = match failed.cause.code {
            Code::Exists if ifname == "lo" => format!("failed to rename host device {old} to {new}"),
            Code::Exists => format!("failed to move {new} (host: {old}) to container NS"),
            _ => format!("failed to move {old} to tempNS"),
        };
        format!("{what}: {}", failed.cause.message())
    })
}

/// Moves `ifname` back to the host, down, under the name that it had. One that
/// is not there has gone back before. `device` is what the configuration selects.
pub(crate) fn give_back(sandbox: &Netns, host: &Netns, device: Option<&Device>, ifname: &str) -> Result<(), Failure> {
    let found = link::by_name(sandbox, ifname).context(|| format!("failed to find {}", go::quoted(ifname)))?;
    let Some(link) = found else { return Ok(()) };
    let [now, old] = [ifname, &link.alias].map(go::quoted);
    // The name is the host's to know, by its record: the container can change the alias. Without a record the alias counts
    // if the configuration agrees.
    let is_selected = |alias: &&String| match device.map(|device| &device.selector) {
        Some(Selector::Name(name)) => *alias == name,
        _ => link::check_name(alias).is_ok(),
    };
    let name = Some(&link.alias).filter(is_selected).cloned().map(LinkAttr::Name);
    let attrs = [LinkAttr::Alias(String::new())].into_iter().chain(name);
    rename_into(sandbox, host, &link, attrs).or_else(|failed| {
        let what = match failed.cause.code {
            // The host brings the device home by its record, wherever it is.
            Code::NotFound => {
                log::warn(&format!("{now} stays in the container: {}", failed.cause.message()));
                return Ok(());
            }
            Code::Exists if link.alias == "lo" => format!("failed to rename device {now} to {old}"),
            Code::Exists => format!("failed to move {old} to hostNS"),
            _ => format!("failed to move {now} to tempNS"),
        };
        Err(format!("{what}: {}", failed.cause.message()).into())
    })
}

/// Gives a device its name back that the kernel has moved to the host, as it
/// does when the container's namespace ends.
pub(crate) fn restore(host: &Netns, device: &Device, ifname: &str) -> Result<(), Failure> {
    let links = link::all(host, Tables::LINKS)?.links;
    let selected = match &device.selector {
        Selector::Name(name) => links.iter().find(|link| link.alias == *name && is_stray(link, ifname)),
        _ => match device.find(host) {
            Ok(found) => links.iter().find(|link| link.index == found.index && is_stray(link, ifname)),
            Err(failure) => {
                log::debug(&format!("the device is not on the host: {}", failure.msg));
                None
            }
        },
    };
    let Some(link) = selected.filter(|stray| links.iter().all(|link| link.name != stray.alias)) else {
        return Ok(());
    };
    let mut batch = Batch::on(host);
    let attrs = [LinkAttr::Name(link.alias.clone()), LinkAttr::Alias(String::new())];
    let [now, old] = [&link.name, &link.alias].map(|name| go::quoted(name));
    batch
        .set_link(LinkRef::Index(link.index), attrs)
        .context(move || format!("failed to rename device {now} to {old}"));
    batch.commit()?;
    Ok(())
}

/// Whether a link may be one that the kernel has put here: down, under the name
/// that it had or, if that was taken, `dev` and its index. An alias may be there
/// for other reasons.
fn is_stray(link: &Link, ifname: &str) -> bool {
    let by_index = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let put_here = link.name == ifname || link.name.strip_prefix("dev").is_some_and(by_index);
    let is_name = (1..=15).contains(&link.alias.len()) && !link.alias.contains(|c: char| c == '/' || c.is_whitespace());
    put_here && link.flags & link::IFF_UP == 0 && is_name && link.alias != link.name
}

fn rename_into(
    from: &Netns,
    to: &Netns,
    link: &Link,
    attrs: impl IntoIterator<Item = LinkAttr>,
) -> Result<(), CommitFailed> {
    let mut batch = Batch::on(from);
    let target = LinkAttr::Netns(batch.add_namespace(to));
    batch.set_link(LinkRef::Index(link.index), attrs.into_iter().chain([target]));
    batch.commit().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, alias: &str, flags: u32) -> Link {
        Link {
            index: 2,
            name: name.into(),
            mac: vec![2, 0, 0, 0, 0, 1],
            flags,
            operstate: 2,
            alias: alias.into(),
            ..Link::default()
        }
    }

    #[test]
    fn only_what_the_kernel_may_have_put_here_is_renamed() {
        for (name, alias, flags, expected) in [
            ("eth0", "d0", 0, true),
            ("dev7", "d0", 0x1002, true),
            ("eth0", "d0", link::IFF_UP, false),
            ("ens3", "d0", 0, false),
            ("device", "d0", 0, false),
            ("dev", "d0", 0, false),
            ("eth0", "", 0, false),
            ("eth0", "eth0", 0, false),
            ("eth0", "to switch 7", 0, false),
            ("eth0", "sixteen-bytes-xx", 0, false),
        ] {
            assert_eq!(is_stray(&link(name, alias, flags), "eth0"), expected, "{name} {alias:?}");
        }
    }
}
