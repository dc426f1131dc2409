//! Arguments without sense, too long, too many: refused, each with a reason.

use serde_json::json;

use super::scene::refuses;

#[test]
pub(super) fn unknown_handles_names_and_keys_are_refused() {
    for mode in ["bad-handles", "bad-names", "bad-sysctl", "bad-moves", "bad-vlans"] {
        refuses(mode, json!({}));
    }
}

#[test]
pub(super) fn unknown_plugins_filters_and_devices_are_refused() {
    for mode in ["delegate-path", "bad-filters", "bad-devices"] {
        refuses(mode, json!({}));
    }
}

#[test]
fn texts_of_a_mebibyte() {
    refuses("huge-arguments", json!({}));
}

#[test]
fn lists_longer_than_the_limit_are_refused() {
    refuses("long-lists", json!({}));
}
