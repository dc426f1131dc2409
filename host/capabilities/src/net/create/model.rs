//! Everything that can be between the note of a link and its recovery by another process: which lines reached the disk, what
//! the kernel had done by then, what others have done with the names since. All of it is gone through.

use wasm_cni_kernel::{Error, Link, LinkRef, NetnsId};

use super::Added;
use crate::{
    link_id::{Found, LinkId},
    record::{
        attached::parse,
        format::{self, Heading, Line, VERSION},
    },
    space::Place,
};

/// How much of a line reached the disk before it was full, or the process was killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Written {
    Nothing,
    Half,
    Whole,
}

const AMOUNTS: [Written; 3] = [Written::Nothing, Written::Half, Written::Whole];

/// What became of the link that was noted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Came {
    /// The process ended before, or its name was taken.
    Never,
    /// It was made.
    About,
    /// It was made, and somebody has renamed it.
    Renamed,
    /// It was made, and somebody has deleted it.
    Deleted,
}

/// What others have under the name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Other {
    Nobody,
    /// A link of the same kind.
    Same,
    /// A link of another kind.
    Different,
    /// The other end of a pair that has the index of ours' other end.
    Lookalike,
}

const NAME: &str = "veth1";
const OURS: u32 = 7;
const PEER: u32 = 4;
const MAC: [u8; 6] = [2, 1, 1, 1, 1, 1];

fn ours() -> Link {
    Link {
        index: OURS,
        name: NAME.to_owned(),
        kind: "veth".to_owned(),
        mac: MAC.to_vec(),
        parent: PEER,
        ..Link::default()
    }
}

fn others(other: Other, index: u32) -> Option<Link> {
    let link = Link { index, name: NAME.to_owned(), mac: vec![2, 9, 9, 9, 9, 9], ..Link::default() };
    match other {
        Other::Nobody => None,
        Other::Same => Some(Link { kind: "veth".to_owned(), parent: 90, ..link }),
        Other::Different => Some(Link { kind: "bridge".to_owned(), ..link }),
        Other::Lookalike => Some(Link { kind: "veth".to_owned(), parent: PEER, ..link }),
    }
}

fn part(line: &[u8], written: Written) -> &[u8] {
    match written {
        Written::Nothing => &[],
        Written::Half => &line[..line.len() / 2],
        Written::Whole => line,
    }
}

fn heading() -> Vec<u8> {
    let name = |text: &str| text.to_owned();
    let heading = Heading {
        version: VERSION,
        network: name("n1"),
        container_id: name("c1"),
        ifname: name("eth0"),
        netns: name("/run/netns/c1"),
        host: NetnsId::Cookie(1),
    };
    format::line(&Line::Heading(heading)).unwrap()
}

/// What recovery does to these links, by this record.
fn recover(record: &[u8], links: &mut Vec<Link>) {
    let Some(attached) = parse(record) else { return };
    for entry in attached.entries.iter().rev() {
        let added = entry.as_any().downcast_ref::<Added>().expect("only links are noted here");
        let get = |links: &mut Vec<Link>, by: LinkRef<'_>| {
            let is_it = |link: &&Link| match by {
                LinkRef::Index(index) => link.index == index,
                LinkRef::Name(name) => link.name == name,
            };
            links.iter().find(is_it).cloned().ok_or_else(|| Error::of_errno("link-get", nix::libc::ENODEV))
        };
        let found = added.link.find_by(links, get, |links| Ok(links.clone())).unwrap();
        if let Found::Here(found) = found {
            links.retain(|link| link.index != found.index);
        }
    }
}

#[test]
fn recovery_takes_back_exactly_what_was_made() {
    let noted =
        Added { at: Place::Host, link: LinkId::chosen(NAME, "veth", &MAC), peer: None, bridge: false, vlan: false };
    let note = format::undo(0, &noted).unwrap();
    let done = format::done(0, &noted.clone().made(&ours())).unwrap();
    let strike = format::line(&Line::Not(0)).unwrap();
    let mut states = 0;
    for came in [Came::Never, Came::About, Came::Renamed, Came::Deleted] {
        for noted in AMOUNTS {
            // What was not noted whole was not done.
            if noted != Written::Whole && came != Came::Never {
                continue;
            }
            for second in AMOUNTS {
                for other in [Other::Nobody, Other::Same, Other::Different, Other::Lookalike] {
                    // The kernel has no two links of one name.
                    if came == Came::About && other != Other::Nobody {
                        continue;
                    }
                    let second_line = if came == Came::Never { &strike } else { &done };
                    let mut record = heading();
                    record.extend(part(&note, noted));
                    if noted == Written::Whole {
                        record.extend(part(second_line, second));
                    }
                    let mut links: Vec<_> = others(other, 30).into_iter().collect();
                    let bystanders = links.clone();
                    match came {
                        Came::Never | Came::Deleted => {}
                        Came::About => links.push(ours()),
                        Came::Renamed => links.push(Link { name: "renamed".to_owned(), ..ours() }),
                    }
                    recover(&record, &mut links);
                    assert_eq!(links, bystanders, "{came:?}, note {noted:?}, second line {second:?}, {other:?}");
                    states += 1;
                }
            }
        }
    }
    assert_eq!(states, 3 * 3 * 4 + 3 + 2 * 3 * 4);
}

/// A line that was half written is taken away before the next: otherwise the next would be lost with it.
#[test]
fn a_damaged_line_does_not_shift_the_others() {
    let of = |index: u8| {
        let link = LinkId::chosen(NAME, "veth", &[2, 0, 0, 0, 0, index]);
        Added { at: Place::Host, link, peer: None, bridge: false, vlan: false }
    };
    let mut record = heading();
    record.extend(format::undo(0, &of(0)).unwrap());
    record.extend(b"{\"undo\":[1,{\"li\n");
    record.extend(format::undo(2, &of(2)).unwrap());
    record.extend(format::line(&Line::Not(0)).unwrap());
    let entries = parse(&record).unwrap().entries;
    let links: Vec<_> = entries.iter().map(|entry| &entry.as_any().downcast_ref::<Added>().unwrap().link).collect();
    assert_eq!(links, [&of(2).link]);
}
