//! Every type of effect, to read records: the only place that knows them all. Above everything that has effects.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    component::Component,
    delegated::Delegated,
    directories::{Directories, File},
    effect::{Effect, Entry},
};
use crate::{filter, net, store};

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
    kind::<net::vlans::Added>(),
    kind::<net::vlans::Removed>(),
    kind::<net::sysctl::Changed>(),
    kind::<store::effects::Created>(),
    kind::<store::effects::Removed>(),
    kind::<store::effects::Replaced>(),
    kind::<store::effects::Opened>(),
    kind::<Directories>(),
    kind::<File>(),
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_effects_have_one_tag() {
        assert_eq!(KINDS.iter().map(|(tag, _)| tag).collect::<BTreeSet<_>>().len(), KINDS.len());
    }
}
