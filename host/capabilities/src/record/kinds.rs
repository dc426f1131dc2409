//! Every type of effect, to read records: the only place that knows them all. Above everything that has effects.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    component::Component,
    delegated::Delegated,
    directories::{CachedResult, Directories},
    effect::{Effect, Entry},
};
use crate::{filter, neighbour, net, route, store, system};

/// How an effect is read, by its tag.
type Kind = (&'static str, fn(Value) -> Option<Entry>);

const KINDS: &[Kind] = &[
    kind::<net::create::Added>(),
    kind::<net::link::Changed>(),
    kind::<net::moves::Moved>(),
    kind::<net::address::Added>(),
    kind::<net::address::Removed>(),
    kind::<net::route::Added>(),
    kind::<net::route::Removed>(),
    kind::<route::RouteAdded>(),
    kind::<route::RouteReplaced>(),
    kind::<route::RouteRemoved>(),
    kind::<route::RuleAdded>(),
    kind::<route::RuleRemoved>(),
    kind::<neighbour::Set>(),
    kind::<neighbour::Removed>(),
    kind::<net::vlans::Added>(),
    kind::<net::vlans::Removed>(),
    kind::<net::sysctl::Changed>(),
    kind::<store::effects::Created>(),
    kind::<store::effects::Removed>(),
    kind::<store::effects::Replaced>(),
    kind::<store::effects::Opened>(),
    kind::<Directories>(),
    kind::<CachedResult>(),
    kind::<system::memo::Kept>(),
    kind::<filter::masquerade::Masqueraded>(),
    kind::<filter::spoof_check::Checked>(),
    kind::<filter::table::Made>(),
    kind::<Component>(),
    kind::<Delegated>(),
];

const fn kind<E: Effect>() -> Kind {
    (E::TAG, |value| Some(Arc::new(serde_json::from_value::<E>(value).ok()?)))
}

/// The effect of a line of a record; none if this build does not know it, or it is damaged.
pub(super) fn read(line: Map<String, Value>) -> Option<Entry> {
    let (tag, value) = line.into_iter().next()?;
    let (_, read) = KINDS.iter().find(|(known, _)| *known == tag)?;
    read(value)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The effects that the files below a directory define.
    fn defined(directory: &Path) -> usize {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| if path.is_dir() { defined(&path) } else { of_file(&path) }).sum()
    }

    fn of_file(path: &Path) -> usize {
        let text = fs::read_to_string(path).unwrap();
        text.lines().filter(|line| line.trim_start().starts_with("const TAG: &'static str = ")).count()
    }

    /// One that is not in the list would be noted, and not taken back by another process.
    #[test]
    fn every_effect_is_in_the_list() {
        assert_eq!(KINDS.len(), defined(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
    }

    #[test]
    fn no_two_effects_have_one_tag() {
        assert_eq!(KINDS.iter().map(|(tag, _)| tag).collect::<BTreeSet<_>>().len(), KINDS.len());
    }
}
