//! Patterns of names and of sysctls.

pub(super) const ANY: &str = "*";

/// Does one of the patterns name this?
#[must_use]
pub fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(name) = name.strip_prefix(start).and_then(|name| name.strip_suffix(end)) else { return false };
    let skip = |name: &mut &str, part: &str| {
        let found = name.find(part);
        *name = found.map_or("", |at| &name[at + part.len()..]);
        found.is_some()
    };
    let mut name = name;
    middle.split('*').all(|part| skip(&mut name, part))
}

/// The directories whose entries are links. Only there a star can stand: elsewhere what it names could be anything.
const OF_LINKS: [&str; 4] = ["net/ipv4/conf/", "net/ipv6/conf/", "net/ipv4/neigh/", "net/ipv6/neigh/"];

/// Entries beside the links that are none, and speak of all links, of now or to come.
const OF_ALL_LINKS: [&str; 2] = ["all", "default"];

/// Does a pattern name this key? A `*` stands for exactly one link.
#[must_use]
pub fn sysctl_matches(pattern: &str, key: &str) -> bool {
    sysctl_names(pattern, key) || sysctl_star(pattern, key).is_some()
}

/// Does a pattern without a star name this key?
#[must_use]
pub fn sysctl_names(pattern: &str, key: &str) -> bool {
    pattern == key && !pattern.contains(ANY)
}

/// The link that a key is about; none if it is about all of them, or about something else.
#[must_use]
pub fn sysctl_link(key: &str) -> Option<&str> {
    let directory = OF_LINKS.into_iter().find(|directory| key.starts_with(directory))?;
    let (link, _) = key[directory.len()..].split_once('/')?;
    (!matches!(link, "" | "." | "..") && !OF_ALL_LINKS.contains(&link)).then_some(link)
}

/// The link that the star of a pattern stands for in a key; none if the pattern has no star, or does not name the key.
#[must_use]
pub fn sysctl_star<'a>(pattern: &str, key: &'a str) -> Option<&'a str> {
    let (directory, end) = star_of(pattern)?;
    let (_, rest) = key.strip_prefix(directory)?.split_once('/')?;
    sysctl_link(key).filter(|_| rest == end)
}

/// What is before the star of a pattern and what is after it, if it stands where a link can.
pub(super) fn star_of(pattern: &str) -> Option<(&'static str, &str)> {
    let directory = OF_LINKS.into_iter().find(|directory| pattern.starts_with(directory))?;
    let end = pattern[directory.len()..].strip_prefix(ANY)?.strip_prefix('/')?;
    (!end.is_empty() && !end.contains(ANY)).then_some((directory, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_exactly_one_link() {
        let pattern = "net/ipv4/conf/*/arp_notify";
        assert!(sysctl_matches(pattern, "net/ipv4/conf/eth0.100/arp_notify"));
        for key in [
            "net/ipv4/conf/arp_notify",
            "net/ipv4/conf/a/b/arp_notify",
            "net/ipv4/conf/../arp_notify",
            "net/ipv4/conf//arp_notify",
            "net/ipv6/conf/eth0/arp_notify",
            "net/ipv4/conf/eth0/arp_notify/x",
        ] {
            assert!(!sysctl_matches(pattern, key), "{key}");
        }
        assert!(!sysctl_matches("net/ipv4/ip_forward", "kernel/core_pattern"));
        assert_eq!(sysctl_star(pattern, "net/ipv4/conf/eth0.100/arp_notify"), Some("eth0.100"));
        assert_eq!(sysctl_star("net/ipv4/ip_forward", "net/ipv4/ip_forward"), None);
        assert_eq!(sysctl_star("net/ipv6/neigh/*/gc_stale_time", "net/ipv6/neigh/eth0/gc_stale_time"), Some("eth0"));
    }

    #[test]
    fn a_star_reaches_neither_all_nor_default() {
        for directory in OF_LINKS {
            for link in OF_ALL_LINKS {
                let (pattern, key) = (format!("{directory}*/x"), format!("{directory}{link}/x"));
                assert!(!sysctl_matches(&pattern, &key), "{key}");
                assert!(sysctl_matches(&key, &key), "{key}: by its name");
            }
        }
    }

    #[test]
    fn a_star_stands_nowhere_else() {
        for pattern in
            ["net/ipv4/*", "net/*/*", "net/*/conf/eth0/x", "net/ipv4/conf/*", "net/ipv4/conf/*/*", "*", "net/core/*"]
        {
            let key = pattern.replace('*', "ipv4");
            assert!(!sysctl_matches(pattern, &key), "{pattern}");
        }
    }

    #[test]
    fn patterns_of_names() {
        let one = |pattern: &str, name: &str| matches_any(&[pattern.to_owned()], name);
        assert!(one("*", "cni0") && one("cni*", "cni0") && one("c*0", "cni0") && one("cni0", "cni0"));
        assert!(one("a*b*c*d", "a1b2c3d") && one("**", "") && one("a**b", "ab") && !one("a*b*c", "acb"));
        assert!(!one("ab*ba", "aba") && !one(&"*a".repeat(40), &"a".repeat(39)));
        assert!(!one("cni", "cni0") && !one("cni0*1", "cni0") && !one("", "cni0") && !matches_any(&[], "cni0"));
    }
}
