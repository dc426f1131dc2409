//! Which keys of a configuration were looked for while it was read.

use crate::json::Json;

/// Which keys were looked for in the objects of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<(*const Json, String)>);

impl Keys {
    pub(crate) fn look_for<'d>(&mut self, key: &str, members: impl Iterator<Item = &'d (String, Json)>) {
        self.0.extend(members.map(|(_, value)| (std::ptr::from_ref(value), key.to_owned())));
    }

    /// Those that were looked for where `value` is a member.
    pub(crate) fn beside(&self, value: &Json) -> Vec<&str> {
        let value = std::ptr::from_ref(value);
        self.0.iter().filter(|(place, _)| *place == value).map(|(_, key)| key.as_str()).collect()
    }
}
