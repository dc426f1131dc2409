//! Patterns of names and of sysctls.

const ANY: &str = "*";

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

/// Does a pattern name this key? A `*` stands for exactly one part of it.
#[must_use]
pub fn sysctl_matches(pattern: &str, key: &str) -> bool {
    let mut texts = pattern.split('*');
    let mut rest = texts.next().and_then(|start| key.strip_prefix(start));
    for text in texts {
        rest = rest.and_then(|rest| {
            let (part, _) = rest.split_once('/').unwrap_or((rest, ""));
            rest[part.len()..].strip_prefix(text).filter(|_| !matches!(part, "" | "." | ".."))
        });
    }
    rest == Some("")
}

/// The parts of a key that it names, for which a pattern has a star.
pub fn sysctl_stars<'a>(pattern: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    pattern.split('/').zip(key.split('/')).filter(|(star, _)| *star == ANY).map(|(_, part)| part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_exactly_one_part() {
        let pattern = "net/ipv4/conf/*/arp_notify";
        assert!(sysctl_matches(pattern, "net/ipv4/conf/eth0.100/arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf/arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf/a/b/arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf/../arp_notify"));
        assert!(!sysctl_matches(pattern, "net/ipv4/conf//arp_notify"));
        assert!(!sysctl_matches("net/ipv4/ip_forward", "kernel/core_pattern"));
        assert!(sysctl_stars(pattern, "net/ipv4/conf/eth0.100/arp_notify").eq(["eth0.100"]));
        assert_eq!(sysctl_stars("net/ipv4/ip_forward", "net/ipv4/ip_forward").count(), 0);
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
