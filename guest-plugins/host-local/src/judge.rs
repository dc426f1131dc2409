//! Every mistake of a configuration, where ADD stops at the first: the checks are those of
//! ADD, asked of each range and set.

use cni_plugin::decode::Object;
use cni_plugin::{Mistake, validate};

use crate::config::{NO_IPAM, NO_RANGES, Read, conflicts, ipam, members_of, of_set, range, runtime, sets};
use crate::range::{Range, RangeSet};

/// Every mistake of a configuration.
pub(crate) fn mistakes(config: &str) -> Vec<Mistake> {
    validate::every(config, "", |document| {
        // The other members are the interface plugin's.
        let net = document.root("Net").shared();
        let version = Read::of(&net).version;
        match ipam(&net) {
            Some(ipam) => Sets::default().judge(&net, &ipam, &version),
            None if net.is_absent("ipam") => net.reject("ipam", NO_IPAM),
            None => {} // Of a wrong type: reported as that.
        }
        Vec::new()
    })
}

/// The range sets of a configuration, in ADD's order.
#[derive(Default)]
struct Sets {
    /// Those that are right.
    right: Vec<RangeSet>,
    count: usize,
}

impl Sets {
    fn judge(mut self, net: &Object<'_>, ipam: &Object<'_>, version: &str) {
        runtime(net).iter().for_each(|runtime| self.list(runtime, "ipRanges"));
        if !ipam.is_absent("subnet") {
            let set = ipam.embedded("Range");
            self.set(&[set], true, |why| ipam.reject("subnet", why));
        }
        self.list(ipam, "ranges");
        if self.count == 0 {
            ipam.reject("ranges", NO_RANGES);
        }
        if self.count == self.right.len() {
            conflicts(&self.right, version).for_each(|why| ipam.reject("ranges", why));
        }
    }

    fn list(&mut self, conf: &Object<'_>, key: &str) {
        let Some(sets) = sets(conf, key) else {
            self.count += usize::from(!conf.is_absent(key));
            return;
        };
        for set in &sets {
            let (ranges, members) = (set.list("allocator.RangeSet"), members_of(set));
            // A range of a wrong type is reported already.
            let decoded = ranges.is_some_and(|ranges| ranges.len() == members.len());
            self.set(&members, decoded, |why| set.reject(why));
        }
    }

    fn set(&mut self, ranges: &[Object<'_>], decoded: bool, reject: impl Fn(String)) {
        let i = self.count;
        self.count += 1;
        let mut is_right = decoded;
        for members in ranges {
            let given = range(members);
            match Range::subnet(&given) {
                Ok(subnet) => {
                    for (key, why) in Range::mistakes(&given, subnet) {
                        members.reject(key, of_set(i, &why));
                        is_right = false;
                    }
                }
                Err(why) => {
                    // One that is there and was not understood is reported already.
                    if given.subnet.is_some() || members.is_absent("subnet") {
                        members.reject("subnet", of_set(i, &why));
                    }
                    is_right = false;
                }
            }
        }
        if is_right {
            let given: Vec<_> = ranges.iter().map(range).collect();
            match RangeSet::new(&given) {
                Ok(set) => self.right.push(set),
                Err(why) => reject(of_set(i, &why)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(members: &str) -> Vec<String> {
        let config = format!(r#"{{"cniVersion":"1.0.0","name":"n1","type":"bridge","isGateway":true,{members}}}"#);
        let line =
            |Mistake { key, msg, harmless }| format!("{key}: {msg}{}", if harmless { " (harmless)" } else { "" });
        mistakes(&config).into_iter().map(line).collect()
    }

    #[test]
    fn every_mistake_is_found_at_once() {
        let ranges = r#""ipam":{"type":"host-local","subnet":"10.0.0.0/33","rangeStart":"10.71.0.300","rangeEnds":1,
            "ranges":[[{"subnet":"10.1.0.0/31"},{"subnet":"10.2.0.1/24"}],[],
                [{"subnet":"10.3.0.0/24","rangeStart":"10.4.0.1","rangeEnd":"10.4.0.9"},{"gateway":"10.0.0.1"}],[3],3],
            "routes":[{"dst":"10.0.0.0/8","mtu":-1},{"dts":"10.0.0.0/8"}],"dataDir":3}"#;
        let json = "json: cannot unmarshal number into Go struct field";
        assert_eq!(
            found(ranges),
            [
                "ipam.subnet: invalid CIDR address: 10.0.0.0/33".to_owned(),
                "ipam.rangeStart: invalid IP address: 10.71.0.300".to_owned(),
                "ipam.routes[0].mtu: invalid route mtu -1 (must be between 0 and 4294967295)".to_owned(),
                "ipam.routes[1].dst: invalid CIDR address: <nil>".to_owned(),
                format!("ipam.ranges[3][0]: {json} IPAMConfig.ipam.ranges of type allocator.Range"),
                format!("ipam.ranges[4]: {json} IPAMConfig.ipam.ranges of type allocator.RangeSet"),
                format!("ipam.dataDir: {json} IPAMConfig.ipam.dataDir of type string"),
                "ipam.ranges[0][0].subnet: invalid range set 1: Network 10.1.0.0/31 too small to allocate from"
                    .to_owned(),
                "ipam.ranges[0][1].subnet: invalid range set 1: Network has host bits set. For a subnet mask of \
                 length 24 the network address is 10.2.0.0"
                    .to_owned(),
                "ipam.ranges[1]: invalid range set 2: empty range set".to_owned(),
                "ipam.ranges[2][0].rangeStart: invalid range set 3: RangeStart 10.4.0.1 not in network 10.3.0.0/24"
                    .to_owned(),
                "ipam.ranges[2][0].rangeEnd: invalid range set 3: RangeEnd 10.4.0.9 not in network 10.3.0.0/24"
                    .to_owned(),
                "ipam.ranges[2][1].subnet: invalid range set 3: IP <nil> not v4 nor v6".to_owned(),
                "ipam.rangeEnds: unknown key: did you mean rangeEnd? (harmless)".to_owned(),
                "ipam.routes[1].dts: unknown key: did you mean dst? (harmless)".to_owned(),
            ]
        );
    }

    #[test]
    fn sets_are_judged_together_when_each_is_right() {
        for (members, expected) in [
            (r#""x":1"#, "ipam: IPAM config missing 'ipam' key"),
            (r#""ipam":{}"#, "ipam.ranges: no IP ranges specified"),
            (
                r#""ipam":{"ranges":[[{"subnet":"10.0.0.0/24"},{"subnet":"fd00::/64"}]]}"#,
                "ipam.ranges[0]: invalid range set 0: mixed address families",
            ),
            (
                r#""ipam":{"subnet":"10.0.0.0/24","ranges":[[{"subnet":"10.0.0.0/25"}]]}"#,
                "ipam.ranges: range set 0 overlaps with 1",
            ),
            (
                r#""ipam":{"subnet":"10.0.0.0/24"},"runtimeConfig":{"ips":["zz"],"mac":"x"}"#,
                "runtimeConfig.ips[0]: invalid IP address zz",
            ),
        ] {
            assert_eq!(found(members), [expected], "{members}");
        }
        assert!(found(r#""ipam":{"type":"host-local","name":"x","subnet":"10.0.0.0/24"},"any":1"#).is_empty());
    }
}
