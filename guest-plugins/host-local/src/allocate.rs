//! Which addresses an attachment gets. Decides only: the changes that it lists
//! are applied all at once, so a refusal leaves nothing behind.

use std::net::IpAddr;

use cni_plugin::store::{Change, Entry};
use cni_plugin::{Attachment, Context, Failure, IpConfig, IpNet, ip};

use crate::config::Config;
use crate::lease::{self, Lookup};
use crate::range::{Range, RangeSet};

/// How many candidates are looked up at once: the first is free most of the
/// time, and a full range should not cost a call for each address.
const LOOK_AHEAD: [usize; 5] = [1, 16, 64, 256, 1024];

/// What an allocation came to.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) ips: Vec<IpConfig>,
    pub(crate) changes: Vec<Change>,
}

/// Picks one address of each range set.
pub(crate) fn allocate(config: &Config, at: &Attachment, leases: &mut impl Lookup) -> Result<Addresses, Failure> {
    let mut chosen = Addresses { ips: Vec::new(), changes: Vec::new() };
    let mut requested = config.requested.clone();
    let last_keys: Vec<String> = (0..config.sets.len()).map(last_reserved_key).collect();
    let last = leases.get(&last_keys)?;
    let mut owned = None;
    for (i, set) in config.sets.iter().enumerate() {
        let request = requested.iter().position(|ip| set.range_of(*ip).is_some());
        let pick = match request {
            Some(request) => pick_requested(set, requested.remove(request), leases),
            None => {
                let owned = match &mut owned {
                    Some(owned) => owned,
                    none => none.insert(leases.owned()?),
                };
                let last = last.get(i).cloned().flatten();
                refuse_duplicate(set, owned, at).and_then(|()| pick_next(set, last_reserved(last), leases))
            }
        };
        let pick = pick.context(|| format!("failed to allocate for range {i}"))?;
        chosen.take(&pick, &last_keys[i], at);
    }
    if !requested.is_empty() {
        let ips: Vec<String> = requested.iter().map(|ip| format!(" {ip}")).collect();
        return Err(Failure::plain(format!("failed to allocate all requested IPs:{}", ips.concat())));
    }
    Ok(chosen)
}

#[derive(Debug)]
struct Pick<'s> {
    ip: IpAddr,
    range: &'s Range,
    /// There is an entry under the key that is not a lease.
    replaces_garbage: bool,
}

impl Addresses {
    fn take(&mut self, pick: &Pick<'_>, last_key: &str, at: &Attachment) {
        let Pick { ip, range, .. } = pick;
        if pick.replaces_garbage {
            self.changes.push(Change::Delete(ip.to_string()));
        }
        self.changes.push(Change::Create(Entry { key: ip.to_string(), value: lease::value(at) }));
        self.changes.push(Change::Put(Entry { key: last_key.to_owned(), value: ip.to_string().into_bytes() }));
        self.ips.push(IpConfig {
            address: IpNet::new_assert(*ip, range.subnet.prefix_len()).into(),
            gateway: Some(range.gateway.into()),
            iface: None,
        });
    }
}

fn pick_requested<'s>(set: &'s RangeSet, ip: IpAddr, leases: &mut impl Lookup) -> Result<Pick<'s>, Failure> {
    let range = set.range_of(ip).ok_or_else(|| Failure::plain(format!("{ip} not in range set {set}")))?;
    if ip == range.gateway {
        let text = format!("requested ip {ip} is subnet's gateway");
        return Err(Failure::plain(text));
    }
    let value = leases.get(&[ip.to_string()])?.into_iter().next().flatten();
    if value.as_deref().is_some_and(lease::is_taken) {
        return Err(Failure::plain(format!("requested IP address {ip} is not available in range set {set}")));
    }
    Ok(Pick { ip, range, replaces_garbage: value.is_some() })
}

fn refuse_duplicate(set: &RangeSet, owned: &[String], at: &Attachment) -> Result<(), Failure> {
    let mut addresses = owned.iter().filter_map(|key| ip::parse(key));
    match addresses.find(|ip| set.range_of(*ip).is_some()) {
        Some(ip) => Err(Failure::plain(format!(
            "{ip} has been allocated to {}, duplicate allocation is not allowed",
            at.container_id
        ))),
        None => Ok(()),
    }
}

fn pick_next<'s>(set: &'s RangeSet, last: Option<IpAddr>, leases: &mut impl Lookup) -> Result<Pick<'s>, Failure> {
    let mut candidates = set.candidates(last);
    for round in 0.. {
        let ahead = LOOK_AHEAD[LOOK_AHEAD.len().min(round + 1) - 1];
        let batch: Vec<_> = candidates.by_ref().take(ahead).collect();
        if batch.is_empty() {
            break;
        }
        let keys: Vec<String> = batch.iter().map(|(ip, _)| ip.to_string()).collect();
        let values = leases.get(&keys)?;
        for ((ip, range), value) in batch.into_iter().zip(values) {
            if !value.as_deref().is_some_and(lease::is_taken) {
                return Ok(Pick { ip, range, replaces_garbage: value.is_some() });
            }
        }
    }
    let text = format!("no IP addresses available in range set: {set}");
    Err(Failure::plain(text))
}

fn last_reserved_key(set: usize) -> String {
    format!("last_reserved_ip.{set}")
}

/// Anything but an address, to the byte, counts as nothing.
fn last_reserved(value: Option<Vec<u8>>) -> Option<IpAddr> {
    ip::parse(str::from_utf8(&value?).ok()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A directory of leases, in memory.
    #[derive(Default)]
    struct Directory {
        entries: BTreeMap<String, Vec<u8>>,
        lookups: usize,
    }

    impl Lookup for Directory {
        fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
            self.lookups += 1;
            Ok(keys.iter().map(|key| self.entries.get(key).cloned()).collect())
        }

        fn owned(&mut self) -> Result<Vec<String>, Failure> {
            let mine = |value: &[u8]| matches!(value.trim_ascii(), b"c1\r\neth0" | b"c1");
            let owned = self.entries.iter().filter(|(_, value)| mine(value));
            Ok(owned.map(|(key, _)| key.clone()).collect())
        }
    }

    impl Directory {
        fn with(entries: &[(&str, &str)]) -> Self {
            let mut directory = Self::default();
            for (key, value) in entries {
                directory.entries.insert((*key).into(), (*value).into());
            }
            directory
        }

        fn add(&mut self, id: &str, config: &str) -> Result<Vec<String>, String> {
            let at = Attachment { container_id: id.into(), ifname: "eth0".into() };
            let config = Config::parse(config, "").map_err(|failure| failure.msg)?;
            let chosen = allocate(&config, &at, self).map_err(|failure| failure.msg)?;
            for change in chosen.changes {
                match change {
                    Change::Put(entry) => {
                        self.entries.insert(entry.key, entry.value);
                    }
                    Change::Create(entry) => {
                        let before = self.entries.insert(entry.key, entry.value);
                        assert_eq!(before, None, "created over an entry");
                    }
                    Change::Delete(key) => {
                        self.entries.remove(&key);
                    }
                }
            }
            let ips = chosen.ips.iter().map(|ip| IpNet::try_from(ip.address).unwrap());
            Ok(ips.map(|ip| ip.to_string()).collect())
        }
    }

    const SMALL: &str = r#"{"cniVersion":"1.0.0","ipam":{"ranges":[[{"subnet":"10.0.0.0/29"}]]}}"#;

    fn asking(ips: &str) -> String {
        SMALL.replace(r#""ipam""#, &format!(r#""runtimeConfig":{{"ips":{ips}}},"ipam""#))
    }

    #[test]
    fn freed_addresses_wait_for_the_wrap_around() {
        let mut directory = Directory::default();
        for n in 2..=6 {
            let expected = Ok(vec![format!("10.0.0.{n}/29")]);
            assert_eq!(directory.add(&format!("x{n}"), SMALL), expected);
        }
        assert_eq!(
            directory.add("x", SMALL).unwrap_err(),
            "failed to allocate for range 0: \
             no IP addresses available in range set: 10.0.0.1-10.0.0.6"
        );
        directory.entries.remove("10.0.0.3");
        directory.entries.remove("10.0.0.2");
        assert_eq!(directory.add("x", SMALL), Ok(vec!["10.0.0.2/29".into()]));
    }

    #[test]
    fn an_address_is_handed_out_with_both_of_its_entries() {
        let mut directory = Directory::default();
        directory.add("c1", SMALL).unwrap();
        assert_eq!(directory.entries["10.0.0.2"], b"c1\r\neth0");
        assert_eq!(directory.entries["last_reserved_ip.0"], b"10.0.0.2");
    }

    #[test]
    fn garbage_is_free_and_is_replaced() {
        let mut directory = Directory::with(&[("10.0.0.2", "\n"), ("10.0.0.3", "")]);
        assert_eq!(directory.add("c1", SMALL), Ok(vec!["10.0.0.2/29".into()]));
        let asked = directory.add("c2", &asking(r#"["10.0.0.3"]"#));
        assert_eq!(asked, Ok(vec!["10.0.0.3/29".into()]));
    }

    #[test]
    fn a_second_address_of_a_set_is_refused_legacy_leases_included() {
        for value in ["c1\r\neth0", "c1"] {
            let mut directory = Directory::with(&[("10.0.0.5", value)]);
            assert_eq!(
                directory.add("c1", SMALL).unwrap_err(),
                "failed to allocate for range 0: 10.0.0.5 has been allocated to c1, \
                 duplicate allocation is not allowed"
            );
        }
    }

    #[test]
    fn a_requested_address_must_be_free_inside_and_no_gateway() {
        let mut directory = Directory::with(&[("10.0.0.4", "other\r\neth0")]);
        for (ips, text) in [
            (r#"["10.0.0.1"]"#, "failed to allocate for range 0: requested ip 10.0.0.1 is subnet's gateway"),
            (
                r#"["10.0.0.4"]"#,
                "failed to allocate for range 0: requested IP address 10.0.0.4 is not available \
                 in range set 10.0.0.1-10.0.0.6",
            ),
            (r#"["10.0.0.5","10.0.0.6","fd00::1"]"#, "failed to allocate all requested IPs: 10.0.0.6 fd00::1"),
        ] {
            assert_eq!(directory.add("c1", &asking(ips)).unwrap_err(), text);
        }
        assert_eq!(directory.entries.len(), 1, "a refusal leaves nothing");
        let asked = directory.add("c1", &asking(r#"["10.0.0.5/8"]"#));
        assert_eq!(asked, Ok(vec!["10.0.0.5/29".into()]));
    }

    #[test]
    fn a_damaged_last_reserved_counts_as_none() {
        for value in ["10.0.0.4\n", "garbage", "fd00::1", ""] {
            let mut directory = Directory::with(&[("last_reserved_ip.0", value)]);
            assert_eq!(directory.add("c1", SMALL), Ok(vec!["10.0.0.2/29".into()]));
        }
    }

    #[test]
    fn each_set_gives_an_address_and_has_its_own_last_reserved() {
        let config = r#"{"cniVersion":"1.0.0","ipam":{"ranges":
            [[{"subnet":"10.0.0.0/24"}],[{"subnet":"fd00::/64"}]]}}"#;
        let mut directory = Directory::default();
        assert_eq!(directory.add("c1", config), Ok(vec!["10.0.0.2/24".into(), "fd00::2/64".into()]));
        assert_eq!(directory.entries["last_reserved_ip.1"], b"fd00::2");
    }

    #[test]
    fn a_free_address_costs_two_lookups_and_a_full_range_few() {
        let mut directory = Directory::default();
        directory.add("c1", SMALL).unwrap();
        assert_eq!(directory.lookups, 2);

        let config = SMALL.replace("/29", "/22");
        let mut directory = Directory::default();
        for n in 2..1023u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string();
            directory.entries.insert(ip, b"x\r\neth0".to_vec());
        }
        directory.add("c1", &config).unwrap_err();
        assert!(directory.lookups < 10, "{}", directory.lookups);
    }
}
