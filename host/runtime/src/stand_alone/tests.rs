//! Checks of `skel`, by their numbers in the contract's core checks.

use super::*;

const FULL: [(&str, &str); 5] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/nonexistent"),
    ("CNI_IFNAME", "lo"),
    ("CNI_PATH", "/p"),
];

/// Calls `bridge` with FULL, changed by `env`, and expects no need for a runtime.
fn call(env: &[(&str, &str)], stdin: &str) -> (Reply, String) {
    let env = |name: &str| {
        let all = env.iter().chain(&FULL);
        all.clone().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()).unwrap_or_default()
    };
    let mut stdout = Vec::new();
    let mut write = |text: &[u8]| {
        stdout.extend_from_slice(text);
        Ok(())
    };
    let runtime = || panic!("no runtime is needed for this");
    let reply = answer("bridge", &env, &mut stdin.as_bytes(), &mut write, &runtime);
    (reply, String::from_utf8(stdout).unwrap())
}

fn error(env: &[(&str, &str)], stdin: &str) -> (u32, String, String) {
    let (reply, stdout) = call(env, stdin);
    assert_eq!(reply.status, 1, "{reply:?}");
    let error: CniError = serde_json::from_str(&stdout).unwrap();
    (error.code, error.msg, error.details)
}

fn plain(env: &[(&str, &str)], stdin: &str) -> (u32, String) {
    let (code, msg, details) = error(env, stdin);
    assert_eq!(details, "");
    (code, msg)
}

#[test]
fn core_1_version_is_one_line() {
    let reply = call(&[("CNI_COMMAND", "VERSION"), ("CNI_PATH", "")], "nonsense");
    let line =
        r#"{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#;
    assert_eq!(reply, (Reply::default(), format!("{line}\n")));
}

#[test]
fn core_2_without_a_command_it_introduces_itself() {
    let (reply, stdout) = call(&[("CNI_COMMAND", "")], "");
    assert_eq!((reply.status, stdout.as_str()), (0, ""));
    assert!(reply.stderr.starts_with("CNI bridge plugin v"), "{}", reply.stderr);
    let last = "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n";
    assert!(reply.stderr.ends_with(last), "{}", reply.stderr);
}

#[test]
fn core_3_add_with_nothing_lists_what_is_missing() {
    let nothing = [("CNI_CONTAINERID", ""), ("CNI_NETNS", ""), ("CNI_IFNAME", ""), ("CNI_PATH", "")];
    let text = "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing";
    assert_eq!(plain(&nothing, ""), (4, text.to_owned()));
}

#[test]
fn core_4_del_and_gc_need_less() {
    let del = [("CNI_COMMAND", "DEL"), ("CNI_NETNS", ""), ("CNI_IFNAME", ""), ("CNI_PATH", "")];
    assert_eq!(plain(&del, ""), (4, "required env variables [CNI_IFNAME,CNI_PATH] missing".to_owned()));
    let gc = [("CNI_COMMAND", "GC"), ("CNI_PATH", "")];
    assert_eq!(plain(&gc, ""), (4, "required env variables [CNI_PATH] missing".to_owned()));
}

#[test]
fn core_5_an_invalid_id_goes_before_what_is_missing() {
    let env = [("CNI_CONTAINERID", "-c"), ("CNI_IFNAME", ""), ("CNI_PATH", "")];
    assert_eq!(error(&env, ""), (4, "invalid characters in containerID".to_owned(), "-c".to_owned()));
    assert_eq!(error(&[("CNI_CONTAINERID", "c1\n")], "").0, 4);
}

#[test]
fn core_6_an_interface_name_has_at_most_fifteen_bytes() {
    let (code, msg, details) = error(&[("CNI_IFNAME", "sixteen-bytes-xx")], "");
    assert_eq!((code, msg.as_str()), (4, "interface name is too long"));
    assert_eq!(details, "interface name should be less than 16 characters");
    // Fifteen bytes are fine, so the next check speaks.
    assert_eq!(error(&[("CNI_IFNAME", "fifteen-bytes-x")], "").0, 6);
}

#[test]
fn core_7_an_interface_name_is_no_path() {
    for name in ["a/b", "a:b", "a b", "a\u{a0}b"] {
        let text = "interface name contains / or : or whitespace characters";
        assert_eq!(plain(&[("CNI_IFNAME", name)], ""), (4, text.to_owned()));
    }
    assert_eq!(plain(&[("CNI_IFNAME", ".")], ""), (4, "interface name is . or ..".to_owned()));
}

#[test]
fn core_8_an_unknown_command_is_found_after_the_configuration() {
    let env = [("CNI_COMMAND", "add")];
    let conf = r#"{"name":"n","type":"bridge","cniVersion":"1.0.0"}"#;
    assert_eq!(plain(&env, conf), (4, "unknown CNI_COMMAND: add".to_owned()));
    assert_eq!(error(&env, "").0, 6);
}

#[test]
fn core_9_an_empty_configuration_cannot_be_decoded() {
    let (code, msg) = plain(&[], "");
    assert_eq!((code, msg.as_str()), (6, "error unmarshall network config: unexpected end of JSON input"));
    assert_eq!(error(&[], r#"{"name":"n"} {}"#).0, 6);
}

#[test]
fn core_10_a_network_has_a_name() {
    for empty in ["{}", "null"] {
        assert_eq!(plain(&[], empty), (7, "missing network name".to_owned()));
    }
}

#[test]
fn core_11_a_networks_name_is_one_word() {
    let text = "invalid characters found in network name".to_owned();
    assert_eq!(error(&[], r#"{"name":"a b"}"#), (7, text.clone(), "a b".to_owned()));
    assert_eq!(error(&[], r#"{"name":"../x"}"#), (7, text, "../x".to_owned()));
}

#[test]
fn core_12_a_version_is_text() {
    let (code, msg) = plain(&[], r#"{"name":"n","cniVersion":1}"#);
    assert_eq!(code, 6);
    assert!(msg.starts_with("decoding version from network config: "), "{msg}");
}

#[test]
fn core_13_an_unknown_version_is_refused() {
    let (code, msg, details) = error(&[], r#"{"NAME":"n","CNIVERSION":"9.9.9"}"#);
    assert_eq!((code, msg.as_str()), (1, "incompatible CNI versions"));
    let supported = r#"["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#;
    assert_eq!(details, format!("config is \"9.9.9\", plugin supports {supported}"));
}

#[test]
fn core_15_check_and_the_version() {
    let check = [("CNI_COMMAND", "CHECK")];
    for conf in [r#"{"name":"n","cniVersion":"0.3.1"}"#, r#"{"name":"n"}"#] {
        assert_eq!(plain(&check, conf), (1, "config version does not allow CHECK".to_owned()));
    }
    assert_eq!(error(&check, r#"{"name":"n","cniVersion":"abc"}"#).0, 6);
    let newer = r#"{"name":"n","cniVersion":"1.2.0"}"#;
    assert_eq!(plain(&check, newer), (1, "plugin version does not allow CHECK".to_owned()));
}

#[test]
fn core_16_status_and_gc_and_the_version() {
    for command in ["STATUS", "GC"] {
        let env = [("CNI_COMMAND", command)];
        let old = r#"{"name":"n","cniVersion":"1.0.0"}"#;
        assert_eq!(plain(&env, old), (1, format!("config version does not allow {command}")));
    }
}
