//! CHECK: whether what ADD returned is still there. The reference's texts begin with lower
//! case here.

use cni_plugin::macvlan::{self, Mode, mode_of};
use cni_plugin::{Call, Failure, Iface, Link, LinkRef, Netns, Output, check};

/// Compares `prev` with the kernel; `wanted` is the mode of the configuration.
pub(crate) fn check(
    call: &Call,
    prev: &Output,
    sandbox: &Netns,
    wanted: impl FnOnce() -> Result<Mode, String>,
) -> Result<(), Failure> {
    let interface = check::entry(call, prev).map_err(uncapitalized)?;
    let now = check::now(sandbox, prev)?;
    let link = of_kind(interface, now.links.iter().find(|link| link.name == interface.name))?;
    let has = mode_of(sandbox, &LinkRef::Index(link.index))?;
    compare_modes(has, wanted()?)?;
    check::same_mac(interface, link).map_err(uncapitalized)?;
    check::addresses(&now, &interface.name, &prev.ips)?;
    check::routes(&now, &prev.routes)
}

fn of_kind<'l>(interface: &Iface, link: Option<&'l Link>) -> Result<&'l Link, String> {
    let name = &interface.name;
    let link = link.ok_or_else(|| format!("container Interface name in prevResult: {name} not found"))?;
    if link.kind != macvlan::KIND {
        return Err(format!("error: Container interface {name} not of type macvlan"));
    }
    Ok(link)
}

fn compare_modes(has: Mode, wanted: Mode) -> Result<(), String> {
    if has == wanted {
        return Ok(());
    }
    let [has, wanted] = [has, wanted].map(name);
    Err(format!("container macvlan mode {has} does not match expected value: {wanted}"))
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Private => "private",
        Mode::Vepa => "vepa",
        Mode::Bridge => "bridge",
        Mode::Passthru => "passthru",
    }
}

fn uncapitalized(mut text: String) -> String {
    // Not by Unicode's rules, whose tables would be in the program.
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use cni_plugin::result;

    use super::*;

    #[test]
    fn what_is_compared_is_named() {
        let macvlan = Link { kind: "macvlan".into(), index: 7, ..Link::default() };
        let interface = result::named("eth0", "/run/netns/c1");
        assert_eq!(of_kind(&interface, Some(&macvlan)).unwrap().index, 7);
        assert_eq!(of_kind(&interface, None).unwrap_err(), "container Interface name in prevResult: eth0 not found");
        let veth = Link { kind: "veth".into(), ..macvlan };
        let text = "error: Container interface eth0 not of type macvlan";
        assert_eq!(of_kind(&interface, Some(&veth)).unwrap_err(), text);
        let text = "container macvlan mode bridge does not match expected value: vepa";
        assert_eq!(compare_modes(Mode::Bridge, Mode::Vepa).unwrap_err(), text);
        assert_eq!(compare_modes(Mode::Private, Mode::Private), Ok(()));
    }

    #[test]
    fn shared_texts_begin_with_lower_case() {
        let call = Call { netns: "/run/netns/c1".into(), ..Call::default() };
        let text = check::entry(&call, &Output::default()).map_err(uncapitalized).unwrap_err();
        assert_eq!(text, "sandbox in prevResult  doesn't match configured netns: /run/netns/c1");
    }
}
