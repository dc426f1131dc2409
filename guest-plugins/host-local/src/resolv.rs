//! resolv.conf(5), as far as a result's `dns` has a place for it.

use cni_plugin::Dns;

/// Reads the text of a resolver file. Lines that say nothing are skipped.
pub(crate) fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace().map(str::to_owned);
        let (Some(keyword), Some(value)) = (fields.next(), fields.next()) else {
            continue;
        };
        match keyword.as_str() {
            "nameserver" => dns.nameservers.push(value),
            "domain" => dns.domain = value,
            "search" => dns.search.extend([value].into_iter().chain(fields)),
            "options" => dns.options.extend([value].into_iter().chain(fields)),
            // Comments too: no keyword begins with `#` or `;`.
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_accumulate_and_the_last_domain_wins() {
        let dns = parse(
            "# nameserver 9.9.9.9\n;search x\n  nameserver 1.1.1.1 ignored\nnameserver 8.8.8.8\n\
             domain a\ndomain b\nsearch c d\nsearch e\noptions ndots:5 edns0\nnameserver\n",
        );
        assert_eq!(dns.nameservers, ["1.1.1.1", "8.8.8.8"]);
        assert_eq!(dns.domain, "b");
        assert_eq!(dns.search, ["c", "d", "e"]);
        assert_eq!(dns.options, ["ndots:5", "edns0"]);
    }
}
