//! The program as `cnitool`: how it calls plugins, and what becomes of their results.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{Tool, printed};
use crate::machine::text;

#[test]
fn core_26_what_cnitool_calls_plugins_with() {
    let tool = Tool::new();
    tool.script("rec", "echo {}");
    tool.network("1.0.0", &["rec"]);
    for path in ["/tmp/ns", "/tmp/../tmp/./ns"] {
        let output = tool.run(&["add", "net", path], &[("CNI_CONTAINERID", "z")]);
        assert!(output.status.success(), "{}", text(&output));
    }
    let expected = format!(
        "CNI_ARGS=\nCNI_COMMAND=ADD\nCNI_CONTAINERID=cnitool-352833ea4e7f1a968163\nCNI_IFNAME=eth0\n\
         CNI_NETNS=/tmp/ns\nCNI_PATH={}\n",
        tool.plugins().display()
    );
    assert_eq!(tool.log("rec").matches(&expected).count(), 2, "{}", tool.log("rec"));
}

#[test]
fn native_plugins_inherit_the_environment_and_their_standard_error_is_passed_on() {
    let tool = Tool::new();
    tool.script("rec", r#"echo "says $COLOUR $CNI_NETNS_OVERRIDE $CNI_PATH" >&2; echo {}"#);
    tool.network("1.0.0", &["rec"]);
    let path = format!("{}::/nonexistent", tool.plugins().display());
    let env = [("COLOUR", "green"), ("CNI_NETNS_OVERRIDE", "1"), ("CNI_PATH", path.as_str())];
    let output = tool.run(&["add", "net", "/tmp/ns"], &env);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("says green 1 {path}\n"));
}

#[test]
fn core_27_what_a_plugin_gets_on_standard_input() {
    let tool = Tool::new();
    tool.script("rec", "echo {}");
    let plugin = json!({ "type": "rec", "name": "own", "cniVersion": "0.2.0",
        "capabilities": { "mac": true, "bandwidth": false }, "e": 1e3, "f": 2.0 });
    let list = json!({ "name": "neta", "cniVersion": "1.1.0", "plugins": [plugin] });
    fs::write(tool.machine.conf_dir().join("net.conflist"), list.to_string()).unwrap();
    let arguments = r#"{"mac":"m","bandwidth":{},"other":1}"#;
    assert!(tool.run(&["add", "neta", "/tmp/ns"], &[("CAP_ARGS", arguments)]).status.success());
    assert_eq!(
        tool.stdins("rec")[0],
        json!({ "type": "rec", "name": "neta", "cniVersion": "1.1.0", "e": 1000, "f": 2,
            "capabilities": { "mac": true, "bandwidth": false }, "runtimeConfig": { "mac": "m" } })
    );
    // Capabilities are of each call.
    assert!(tool.run(&["check", "neta", "/tmp/ns"], &[]).status.success());
    assert_eq!(tool.stdins("rec")[1].get("runtimeConfig"), None);
}

/// A chain of two that has been added.
fn chain() -> Tool {
    let tool = Tool::new();
    tool.script("rec", r#"echo '{"cniVersion":"1.0.0","extra":1,"interfaces":[{"name":"e"}]}'"#);
    tool.script("rec2", "echo {}");
    tool.network("1.1.0", &["rec", "rec2"]);
    let added = tool.run(&["add", "net", "/tmp/ns"], &[("CNI_ARGS", "A=b")]);
    assert_eq!(String::from_utf8_lossy(&added.stdout), "{\n    \"cniVersion\": \"1.1.0\"\n}", "{}", text(&added));
    tool
}

#[test]
fn core_28_a_result_keeps_its_version_and_loses_unknown_keys() {
    let previous = &chain().stdins("rec2")[0]["prevResult"];
    assert_eq!(*previous, json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "e" }] }));
}

#[test]
fn core_29_check_and_del_get_the_last_result() {
    let tool = chain();
    for command in ["check", "del"] {
        let output = tool.run(&[command, "net", "/tmp/ns"], &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{}", text(&output));
    }
    for kind in ["rec", "rec2"] {
        let stdins = tool.stdins(kind);
        assert_eq!(stdins.len(), 3);
        for stdin in &stdins[1..] {
            assert_eq!(stdin["prevResult"], json!({ "cniVersion": "1.1.0" }));
        }
    }
}

#[test]
fn core_30_the_cache() {
    let tool = chain();
    let results = tool.machine.root().join("var/lib/cni/results");
    let file = results.join("net-cnitool-352833ea4e7f1a968163-eth0");
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&results), mode(&file)), (0o700, 0o600));
    let entry: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let encoded = Command::new("base64").arg("-w0").arg(tool.machine.conf_dir().join("net.conflist")).output().unwrap();
    assert_eq!(
        entry,
        json!({ "kind": "cniCacheV1", "containerId": "cnitool-352833ea4e7f1a968163", "ifName": "eth0",
            "config": String::from_utf8(encoded.stdout).unwrap(), "networkName": "net", "netns": "/tmp/ns",
            "cniArgs": [["A", "b"]], "result": { "cniVersion": "1.1.0" } })
    );
    assert!(tool.run(&["del", "net", "/tmp/ns"], &[]).status.success());
    assert!(!file.exists());
}

#[test]
fn core_31_a_failure_ends_the_chain_and_is_not_cached() {
    let tool = Tool::new();
    tool.script("rec", "echo {}");
    tool.script("rec2", r#"echo '{"code":11,"msg":"later"}'; exit 1"#);
    tool.network("1.1.0", &["rec", "rec2"]);
    assert_eq!(tool.failure(&["add", "net", "/tmp/ns"]), "plugin type=\"rec2\" failed (add): later");
    assert!(!tool.log("rec").contains("CNI_COMMAND=DEL"));
    assert!(!tool.machine.root().join("var/lib/cni/results/net-cnitool-352833ea4e7f1a968163-eth0").exists());
}

#[test]
fn core_32_failures_have_cnitools_messages() {
    let tool = Tool::new();
    tool.network("1.0.0", &["rec"]);
    let add = |then: &str| {
        tool.script("rec", then);
        tool.failure(&["add", "net", "/tmp/ns"])
    };
    let failed = "plugin type=\"rec\" failed (add): ";
    assert_eq!(add(r#"echo '{"code":7,"msg":"bad","details":"det"}'; exit 1"#), format!("{failed}bad; det"));
    assert_eq!(add("printf boom >&2; exit 2"), format!("{failed}netplugin failed: \"boom\": exit status 2"));
    assert_eq!(add("exit 9"), format!("{failed}netplugin failed with no error message: exit status 9"));
    let prefix = format!("{failed}netplugin failed but error parsing its diagnostic message \"not json\": ");
    assert!(add("printf 'not json'; exit 1").starts_with(&prefix));
}

#[test]
fn core_33_results_that_cannot_be_read() {
    let tool = Tool::new();
    tool.network("1.0.0", &["rec"]);
    let failed = "plugin type=\"rec\" failed (add): ";
    for (then, expected) in [
        ("exit 0", "failed to unmarshal raw result: unexpected end of JSON input"),
        ("echo '{} {}'", "failed to unmarshal raw result: "),
        (r#"echo '{"cniVersion":"9.9.9"}'"#, "unsupported CNI result version \"9.9.9\""),
    ] {
        tool.script("rec", then);
        let failure = tool.failure(&["add", "net", "/tmp/ns"]);
        assert!(failure.starts_with(&format!("{failed}{expected}")), "{failure}");
    }
    tool.script("rec", "echo null");
    assert_eq!(printed(&tool.run(&["add", "net", "/tmp/ns"], &[])), json!({ "cniVersion": "1.0.0" }));
}

#[test]
fn core_34_a_corrupt_cache_file() {
    let tool = chain();
    let file = tool.machine.root().join("var/lib/cni/results/net-cnitool-352833ea4e7f1a968163-eth0");
    fs::write(&file, "xx").unwrap();
    let failure = tool.failure(&["check", "net", "/tmp/ns"]);
    assert!(failure.starts_with("failed to get network \"net\" cached result: "), "{failure}");
    assert_eq!(tool.stdins("rec").len(), 1, "no plugin is asked");
    let deleted = tool.run(&["del", "net", "/tmp/ns"], &[]);
    assert!(
        deleted.status.success() && text(&deleted).contains("ignoring the corrupt cached result"),
        "{}",
        text(&deleted)
    );
    assert_eq!(tool.stdins("rec")[1].get("prevResult"), None);
    assert!(!file.exists());
}

#[test]
fn core_35_a_bare_result_of_an_older_runtime() {
    let tool = Tool::new();
    tool.script("rec", "echo {}");
    tool.network("1.0.0", &["rec"]);
    let results = tool.machine.root().join("var/lib/cni/results");
    fs::create_dir_all(&results).unwrap();
    let old = r#"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.1/8"}]}"#;
    fs::write(results.join("net-cnitool-352833ea4e7f1a968163-eth0"), old).unwrap();
    assert!(tool.run(&["check", "net", "/tmp/ns"], &[]).status.success());
    let previous = &tool.stdins("rec")[0]["prevResult"];
    assert_eq!(*previous, json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.0.0.1/8" }] }));
}

#[test]
fn core_36_check_and_the_networks_version() {
    let tool = Tool::new();
    tool.script("rec", "echo {}");
    for version in ["0.3.1", ""] {
        tool.network(version, &["rec"]);
        let text = format!("configuration version {version:?} does not support the CHECK command");
        assert_eq!(tool.failure(&["check", "net", "/tmp/ns"]), text);
    }
    let list = json!({ "name": "net", "cniVersion": "1.0.0", "disableCheck": "TRUE", "plugins": [{ "type": "rec" }] });
    fs::write(tool.machine.conf_dir().join("net.conflist"), list.to_string()).unwrap();
    assert!(tool.run(&["check", "net", "/tmp/ns"], &[]).status.success());
    assert_eq!(tool.log("rec"), "");
}

#[test]
fn core_37_which_file_a_name_resolves_to() {
    let tool = Tool::new();
    for kind in ["list", "single"] {
        tool.script(kind, "echo {}");
    }
    let write = |file: &str, text: &str| fs::write(tool.machine.conf_dir().join(file), text).unwrap();
    write("00-a.conf", r#"{"name":"X","cniVersion":"1.0.0","type":"single"}"#);
    write("60-b.conflist", r#"{"name":"X","cniVersion":"1.0.0","plugins":[{"type":"list"}]}"#);
    write("10-z.conflist", "{");
    // The reference gives up at the broken file; here it is reported.
    let output = tool.run(&["add", "X", "/tmp/ns"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("10-z.conflist"), "{}", text(&output));
    assert_eq!((tool.stdins("list").len(), tool.stdins("single").len()), (1, 0));
    fs::remove_file(tool.machine.conf_dir().join("10-z.conflist")).unwrap();
    assert!(tool.run(&["add", "X", "/tmp/ns", "-i", "eth1"], &[]).status.success());
    assert_eq!((tool.stdins("list").len(), tool.stdins("single").len()), (2, 0));
}

#[test]
fn core_40_gc_detaches_and_status_reports() {
    let tool = Tool::new();
    tool.script("rec", r#"[ "$CNI_COMMAND" = STATUS ] && { echo '{"code":50,"msg":"down"}'; exit 1; }; echo {}"#);
    tool.network("1.1.0", &["rec"]);
    for netns in ["/tmp/a", "/tmp/b"] {
        assert!(tool.run(&["add", "net", netns], &[]).status.success());
    }
    assert!(tool.run(&["gc", "net", "ignored"], &[]).status.success());
    let log = tool.log("rec");
    assert_eq!((log.matches("CNI_COMMAND=DEL").count(), log.matches("CNI_COMMAND=GC").count()), (2, 1));
    assert_eq!(tool.stdins("rec").last().unwrap().get("cni.dev/valid-attachments"), None);
    assert_eq!(tool.failure(&["status", "net", "ignored"]), "down");
    tool.network("1.0.0", &["missing"]);
    assert!(tool.run(&["status", "net", "ignored"], &[]).status.success());
}

#[test]
fn cnitools_arguments() {
    let tool = Tool::new();
    for arguments in [&[][..], &["help"], &["--help"]] {
        let output = tool.run(arguments, &[]);
        assert!(output.status.success() && output.stdout.starts_with(b"Usage:"), "{}", text(&output));
    }
    assert_eq!(tool.failure(&["x"]), "unknown command \"x\" for \"cnitool\"");
    assert_eq!(tool.failure(&["add", "net"]), "requires at least 2 arg(s), only received 1");
    tool.network("1.0.0", &["rec"]);
    tool.script("rec", "echo {}");
    let output = tool.run(&["add", "net", "/tmp/ns", "--ifname=eth7", "more", "and more"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(tool.log("rec").contains("CNI_IFNAME=eth7"));
    assert_eq!(tool.failure(&["add", "nope", "/tmp/ns"]), {
        let folder = tool.machine.conf_dir();
        format!("no net configuration with name \"nope\" in {}", folder.display())
    });
}
