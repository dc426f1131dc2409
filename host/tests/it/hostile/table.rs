//! Every interface that plugins may import has hostile cases, and every hostile mode a test. A capability that is new to
//! the host's table fails here until somebody has tried to abuse it.

use std::{fs, path::PathBuf};

use wasm_cni_capabilities::table::ALL;

use super::{arguments, changes, foreign, identity, memos, resources, store};

/// An interface, the modes of the hostile plugins that abuse it, and tests that run them.
struct Case {
    interface: &'static str,
    modes: &'static [&'static str],
    /// Functions, so that one that is gone is a compile error.
    tests: &'static [fn()],
}

const CASES: &[Case] = &[
    Case {
        interface: "wasm-cni:net/net@0.1.0",
        modes: &["bad-handles", "bad-names", "bad-sysctl", "bad-moves", "bad-vlans", "commit-flood", "foreign-links"],
        tests: &[
            arguments::unknown_handles_names_and_keys_are_refused,
            resources::operations_without_end_end_and_are_taken_back,
            foreign::links_that_are_neither_bridges_nor_ports_stay_unchanged,
        ],
    },
    Case {
        interface: "wasm-cni:link/dummy@0.1.0",
        modes: &[
            "change-twice",
            "change-again",
            "change-half",
            "change-hoard",
            "change-flood",
            "bad-changes",
            "foreign-parents",
        ],
        tests: &[
            changes::a_change_is_done_once,
            changes::a_link_of_a_change_is_taken_back_after_a_panic,
            changes::changes_without_end_end_with_the_memory,
            changes::changes_that_are_kept_end_with_the_handles,
            changes::links_namespaces_and_names_that_do_not_exist,
            changes::links_of_the_host_are_parents_only_by_a_grant,
        ],
    },
    Case {
        interface: "wasm-cni:link/macvlan@0.1.0",
        modes: &["bad-changes", "foreign-parents"],
        tests: &[
            changes::links_namespaces_and_names_that_do_not_exist,
            changes::links_of_the_host_are_parents_only_by_a_grant,
        ],
    },
    Case { interface: "wasm-cni:route/routes@0.1.0", modes: TABLES, tests: TABLE_TESTS },
    Case { interface: "wasm-cni:route/rules@0.1.0", modes: TABLES, tests: TABLE_TESTS },
    Case { interface: "wasm-cni:neighbour/neighbours@0.1.0", modes: TABLES, tests: TABLE_TESTS },
    Case {
        interface: "wasm-cni:filter/masquerade@0.1.0",
        modes: &["bad-filters", "foreign-filters", "wrong-verb"],
        tests: FILTER_TESTS,
    },
    Case {
        interface: "wasm-cni:filter/spoof-check@0.1.0",
        modes: &["bad-filters", "foreign-filters", "wrong-verb"],
        tests: FILTER_TESTS,
    },
    Case {
        interface: "wasm-cni:cni/identity@0.1.0",
        modes: &["identity", "ungranted"],
        tests: &[
            identity::the_host_says_what_type_it_is,
            identity::each_name_has_the_grants_of_its_own_table,
            identity::with_the_grants_of_loopback_no_other_import_is_of_use,
        ],
    },
    Case {
        interface: "wasm-cni:cni/delegate@0.1.0",
        modes: &["delegate-path", "delegate-self", "delegate-flood", "wrong-verb"],
        tests: &[
            arguments::unknown_plugins_filters_and_devices_are_refused,
            resources::delegation_without_end_ends,
            foreign::only_a_gc_removes_state_of_other_attachments,
        ],
    },
    Case {
        interface: "wasm-cni:store/store@0.1.0",
        modes: &["bad-keys", "bad-values", "entries-flood", "hold"],
        tests: &[
            store::keys_that_would_be_other_files,
            store::values_and_lists_that_are_too_long,
            store::entries_without_end_end_and_are_removed,
            store::a_transaction_ends_with_its_instance,
        ],
    },
    Case {
        interface: "wasm-cni:system/log@0.1.0",
        modes: &["log-flood", "last-words"],
        tests: &[resources::the_log_is_cut, resources::panic_messages_and_last_calls_are_cut_and_safe_for_a_terminal],
    },
    // Its one argument is a length, which is cut: nothing to abuse but the number of calls.
    Case {
        interface: "wasm-cni:system/random@0.1.0",
        modes: &["call-flood"],
        tests: &[resources::host_calls_without_end_end_with_a_limit],
    },
    Case {
        interface: "wasm-cni:system/resolver@0.1.0",
        modes: &["resolver"],
        tests: &[store::a_resolver_file_that_is_not_one_is_refused],
    },
    Case {
        interface: "wasm-cni:system/devices@0.1.0",
        modes: &["bad-devices"],
        tests: &[arguments::unknown_plugins_filters_and_devices_are_refused],
    },
    Case {
        interface: "wasm-cni:system/memo@0.1.0",
        modes: &["memo-large", "memo-any", "memo-flood", "memo-panic"],
        tests: &[
            memos::a_value_that_is_too_long_is_refused,
            memos::without_a_grant_there_is_no_memo,
            memos::values_without_end_end_and_are_removed,
            memos::a_value_is_put_back_after_a_panic,
        ],
    },
];

const TABLES: &[&str] = &["bad-tables", "foreign-tables", "tables-half"];
const TABLE_TESTS: &[fn()] = &[
    changes::routes_rules_and_neighbours_without_sense,
    changes::tables_of_the_host_are_out_of_reach_with_every_operation_granted,
];
const FILTER_TESTS: &[fn()] = &[
    arguments::unknown_plugins_filters_and_devices_are_refused,
    foreign::filters_for_other_containers_are_refused,
    foreign::only_a_gc_removes_state_of_other_attachments,
];

/// The hostile plugins, whose `match` of modes is in the files with these paths.
const PLUGINS: [&str; 2] = ["../guest-plugins/hostile/src/lib.rs", "../guest-plugins/hostile-ipam/src/lib.rs"];

fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The tests in a directory, but for this file.
fn tests(directory: &str) -> String {
    let files = fs::read_dir(here(directory)).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.is_file() && !file.ends_with("hostile/table.rs"));
    files.map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// The modes of a hostile plugin: the patterns of its `match`.
fn modes(plugin: &str) -> Vec<String> {
    let source = fs::read_to_string(here(plugin)).unwrap();
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>"));
    arms.map(|(mode, _)| mode.to_owned()).collect()
}

#[test]
fn every_interface_has_hostile_cases() {
    let known = PLUGINS.map(modes).concat();
    for capability in ALL {
        let case = CASES.iter().find(|case| case.interface == capability.interface);
        let case = case.unwrap_or_else(|| {
            let interface = capability.interface;
            panic!("nobody has tried to abuse {interface}: add a mode to guest-plugins/hostile, and a case here")
        });
        assert!(!case.modes.is_empty() && !case.tests.is_empty(), "{}", case.interface);
        for mode in case.modes {
            assert!(
                known.iter().any(|known| known == mode),
                "{}: no hostile plugin has the mode {mode:?}",
                case.interface
            );
        }
    }
    for Case { interface, .. } in CASES {
        assert!(ALL.iter().any(|capability| capability.interface == *interface), "there is no {interface} any more");
    }
}

#[test]
fn every_hostile_mode_is_run_by_a_test() {
    let tests = tests("tests/it") + &tests("tests/it/hostile");
    let modes = PLUGINS.map(modes).concat();
    assert!(modes.len() > 60, "{modes:?}");
    for mode in &modes {
        assert!(tests.contains(&format!("\"{mode}\"")), "no test runs the mode {mode:?}");
    }
}
