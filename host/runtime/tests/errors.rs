//! What programs can match on when an operation has failed, and what it has left.

use std::{error::Error as _, io, path::PathBuf, process::Command, time::Duration};

use wasm_cni::{
    Attachment, Cancel, CniError, Effect, ErrorKind, Netns,
    exec::{Exec, ExecCall, ExecOutput},
};
use wasm_cni::{Network, Runtime};

/// Executables `native`, which succeeds, `refuses`, and `slow`, which never ends by itself.
struct Natives;

impl Exec for Natives {
    fn find(&self, kind: &str, _: &[PathBuf]) -> Option<PathBuf> {
        ["native", "refuses", "slow"].contains(&kind).then(|| PathBuf::from("/p").join(kind))
    }

    fn run(&self, call: &ExecCall) -> io::Result<ExecOutput> {
        let (status, stdout) = match &*call.kind {
            "native" => (Ok(()), "{}"),
            "refuses" => (Err("exit status 1".to_owned()), r#"{"code":11,"msg":"later"}"#),
            _ => return Err(io::Error::from_raw_os_error(110)),
        };
        Ok(ExecOutput { status, stdout: stdout.into(), stderr: Vec::new() })
    }
}

fn runtime(root: &tempfile::TempDir) -> Runtime {
    let builder = Runtime::builder().bundled(wasm_cni_bundled::PLUGINS).root(root.path());
    builder.plugin_dirs([PathBuf::from("/p")]).exec(Natives).build().unwrap()
}

fn network(plugins: &str) -> Network {
    Network::parse_list(format!(r#"{{"name":"n","cniVersion":"1.1.0","plugins":[{plugins}]}}"#).as_bytes()).unwrap()
}

fn at(netns: &str) -> Attachment {
    Attachment::new("c1", "eth0", netns)
}

fn add(plugins: &str) -> CniError {
    let root = tempfile::tempdir().unwrap();
    runtime(&root).add(&network(plugins), &at("/nonexistent/ns")).unwrap_err()
}

fn facts(error: &CniError) -> (ErrorKind, Option<&str>, Effect) {
    (error.kind(), error.plugin(), error.effect())
}

#[test]
fn a_namespace_that_is_missing() {
    let error = add(r#"{"type":"ptp","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}"#);
    assert_eq!(facts(&error), (ErrorKind::Netns, Some("ptp"), Effect::Nothing), "{error}");
    assert!(error.source().is_some_and(|source| source.to_string().contains("/nonexistent/ns")), "{error:?}");
}

#[test]
fn a_plugin_that_is_missing_or_refuses() {
    let error = add(r#"{"type":"nope"}"#);
    assert_eq!(facts(&error), (ErrorKind::NoPlugin, Some("nope"), Effect::Nothing), "{error}");
    let error = add(r#"{"type":"refuses"}"#);
    assert_eq!((error.code, error.kind(), error.plugin()), (11, ErrorKind::Refused, Some("refuses")), "{error}");
}

#[test]
fn what_a_native_plugin_has_done_is_not_known() {
    let error = add(r#"{"type":"native"},{"type":"nope"}"#);
    assert_eq!(facts(&error), (ErrorKind::NoPlugin, Some("nope"), Effect::Unknown), "{error}");
}

#[test]
fn time_and_cancellation() {
    let error = add(r#"{"type":"slow"}"#);
    assert_eq!(facts(&error), (ErrorKind::TimedOut, Some("slow"), Effect::Unknown), "{error}");
    let (root, cancel) = (tempfile::tempdir().unwrap(), Cancel::default());
    cancel.cancel();
    let (runtime, slow) = (runtime(&root), network(r#"{"type":"slow"}"#));
    let error = runtime.call().timeout(Duration::from_secs(9)).cancel(&cancel).add(&slow, &at("")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
}

#[test]
fn parameters_and_configurations() {
    let root = tempfile::tempdir().unwrap();
    let at = Attachment::new("c1", "a/b", "");
    let error = runtime(&root).add(&network(r#"{"type":"native"}"#), &at).unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::Argument, None, Effect::Nothing), "{error}");
    assert_eq!(Network::parse_list(b"{").unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn a_footprint_is_tidied_by_a_later_process() {
    in_private_namespaces("inside_a_footprint_is_tidied_by_a_later_process");
}

#[test]
#[ignore = "run by a_footprint_is_tidied_by_a_later_process"]
fn inside_a_footprint_is_tidied_by_a_later_process() {
    let root = tempfile::tempdir().unwrap();
    let (first, later, netns) = (runtime(&root), runtime(&root), Netns::create().unwrap());
    let network = network(r#"{"type":"bridge","bridge":"b0","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}"#);
    let at = at(netns.path().to_str().unwrap());
    let json = first.add(&network, &at).unwrap().footprint.to_json();
    drop(first);
    let footprint = later.footprint_from_json(&json).unwrap();
    later.del(&network, &at).unwrap();
    let has_bridge = || Command::new("ip").args(["link", "show", "b0"]).output().unwrap().status.success();
    assert!(has_bridge(), "DEL leaves it");
    assert_eq!(later.tidy(&footprint), [""; 0]);
    assert!(!has_bridge());
    // There is nothing in it but a name: what no ADD has recorded is not undone.
    let gone = later.footprint_from_json(&json).unwrap_err();
    assert!(gone.msg.contains("it was detached"), "{gone}");
    for (from, to) in [
        ("\"c1\"", "\"../c1\""),
        ("\"version\":2", "\"version\":3"),
        ("cookie\":", "cookie\":1"),
        ("{", "{\"effects\":[],"),
    ] {
        let changed = json.replacen(from, to, 1);
        assert!(changed != json && later.footprint_from_json(&changed).is_err(), "{changed}");
    }
}

/// The same test program in private namespaces, with the privileges of their root.
fn in_private_namespaces(test: &str) {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net"]).arg(this).args(["--exact", "--ignored", test]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn the_kernels_refusals() {
    in_private_namespaces("inside_the_kernels_refusals");
}

#[test]
#[ignore = "run by the_kernels_refusals"]
fn inside_the_kernels_refusals() {
    let root = tempfile::tempdir().unwrap();
    let (runtime, netns) = (runtime(&root), Netns::create().unwrap());
    let bridge = |more: &str| {
        let ipam = r#""ipam":{"type":"host-local","subnet":"10.1.0.0/24"}"#;
        network(&format!(r#"{{"type":"bridge","bridge":"b0",{ipam}{more}}}"#))
    };
    let at = at(netns.path().to_str().unwrap());
    runtime.add(&bridge(""), &at).unwrap();
    let error = runtime.add(&bridge(""), &at).unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::Exists, Some("bridge"), Effect::Nothing), "{error}");
    // The error of the plugin that was delegated to, also if the plugin that delegated returns it.
    let nope = network(r#"{"type":"bridge","bridge":"b0","ipam":{"type":"nope"}}"#);
    let at = Attachment::new("c1", "eth1", at.netns);
    let error = runtime.add(&nope, &at).unwrap_err();
    assert_eq!(facts(&error), (ErrorKind::NoPlugin, Some("nope"), Effect::Nothing), "{error}");
    let error = runtime.add(&bridge(r#","mtu":1"#), &at).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Kernel(_)), "{error:?}");
}
