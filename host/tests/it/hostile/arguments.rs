//! Arguments without sense, too long, too many: refused, each with a reason.

use serde_json::json;

use super::scene::refuses;

#[test]
fn handles_names_and_keys_that_there_are_not() {
    for mode in ["bad-handles", "bad-names", "bad-sysctl", "bad-moves", "bad-vlans"] {
        refuses(mode, json!({}));
    }
}

#[test]
fn plugins_filters_and_devices_that_there_are_not() {
    for mode in ["delegate-path", "bad-filters", "bad-devices"] {
        refuses(mode, json!({}));
    }
}

#[test]
fn texts_of_a_mebibyte() {
    refuses("huge-arguments", json!({}));
}

#[test]
fn one_more_than_there_may_be() {
    refuses("long-lists", json!({}));
}
