//! The library as an embedder uses it, with plugins that are functions of the
//! test: no process, no privilege, no namespace is needed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasm_cni::{
    AsyncRuntime, Attachment, AttachmentId, Cancel, ErrorKind, Network, Runtime,
    exec::{Exec, ExecCall, ExecOutput},
};

type Answer = dyn Fn(&Call) -> Result<String, String> + Send + Sync;

/// What a plugin was called with.
#[derive(Clone, Debug)]
struct Call {
    kind: String,
    command: String,
    env: Vec<(String, String)>,
    stdin: Value,
}

impl Call {
    fn env(&self, name: &str) -> &str {
        let found = self.env.iter().find(|(key, _)| key == name);
        found.map_or("(unset)", |(_, value)| value)
    }
}

/// Plugins that answer by a function, and the calls so far.
#[derive(Clone)]
struct Script {
    calls: Arc<Mutex<Vec<Call>>>,
    answer: Arc<Answer>,
}

impl Script {
    fn new(answer: impl Fn(&Call) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self { calls: Arc::default(), answer: Arc::new(answer) }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// `ADD a`, `DEL b` and so on.
    fn order(&self) -> Vec<String> {
        self.calls().iter().map(|call| format!("{} {}", call.command, call.kind)).collect()
    }
}

impl Exec for Script {
    fn find(&self, kind: &str, _: &[PathBuf]) -> Option<PathBuf> {
        (!kind.starts_with("no")).then(|| Path::new("/p").join(kind))
    }

    fn run(&self, call: &ExecCall) -> io::Result<ExecOutput> {
        let text = |s: &std::ffi::OsStr| s.to_str().unwrap().to_owned();
        let env: Vec<_> = call.env.iter().map(|(k, v)| (text(k), text(v))).collect();
        let command = env.iter().find(|(key, _)| key == "CNI_COMMAND").unwrap().1.clone();
        let stdin = serde_json::from_slice(&call.stdin).unwrap();
        let made = Call { kind: call.kind.clone(), command, env, stdin };
        self.calls.lock().unwrap().push(made.clone());
        if made.kind == "slow" && made.command == "ADD" {
            let deadline = Instant::now() + call.timeout;
            while Instant::now() < deadline && !call.cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(5));
            }
            return Err(io::Error::from_raw_os_error(110));
        }
        Ok(match (self.answer)(&made) {
            Ok(stdout) => ExecOutput { status: Ok(()), stdout: stdout.into(), stderr: Vec::new() },
            Err(stdout) => {
                ExecOutput { status: Err("exit status 1".to_owned()), stdout: stdout.into(), stderr: Vec::new() }
            }
        })
    }
}

struct World {
    script: Script,
    folder: TempDir,
    runtime: Runtime,
}

fn world(answer: impl Fn(&Call) -> Result<String, String> + Send + Sync + 'static) -> World {
    let script = Script::new(answer);
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::builder()
        .bundled(wasm_cni_bundled::PLUGINS)
        .root(folder.path())
        .plugin_dirs([PathBuf::from("/p")])
        .exec(script.clone())
        .build()
        .unwrap();
    World { script, folder, runtime }
}

fn network(name: &str, version: &str, kinds: &[&str]) -> Network {
    let plugins: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let list = json!({ "name": name, "cniVersion": version, "plugins": plugins });
    Network::parse_list(list.to_string().as_bytes()).unwrap()
}

fn at(id: &str) -> Attachment {
    Attachment::new(id, "eth0", format!("/ns/{id}")).args("A=b")
}

fn empty(_: &Call) -> Result<String, String> {
    Ok("{}".to_owned())
}

#[test]
fn core_28_to_30_a_chain_its_results_and_the_cache() {
    let world = world(|call| {
        Ok(match (call.kind.as_str(), call.command.as_str()) {
            ("rec", "ADD") => r#"{"cniVersion":"1.0.0","extra":1,"interfaces":[{"name":"e"}]}"#,
            _ => "{}",
        }
        .to_owned())
    });
    let network = network("net", "1.1.0", &["rec", "rec2"]);
    let added = world.runtime.add(&network, &at("c1")).unwrap();
    assert_eq!(added.json, "{\n    \"cniVersion\": \"1.1.0\"\n}");
    let calls = world.script.calls();
    assert_eq!(calls[0].stdin.get("prevResult"), None);
    assert_eq!(calls[1].stdin["prevResult"], json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "e" }] }));
    for (name, value) in [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/ns/c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "A=b"),
        ("CNI_PATH", "/p"),
    ] {
        assert_eq!(calls[0].env(name), value);
    }

    let file = world.folder.path().join("var/lib/cni/results/net-c1-eth0");
    let entry: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(entry["cniArgs"], json!([["A", "b"]]));
    assert_eq!(entry["result"], json!({ "cniVersion": "1.1.0" }));

    world.runtime.check(&network, &at("c1")).unwrap();
    world.runtime.del(&network, &at("c1")).unwrap();
    assert_eq!(world.script.order()[2..], ["CHECK rec", "CHECK rec2", "DEL rec2", "DEL rec"]);
    for call in &world.script.calls()[2..] {
        assert_eq!(call.stdin["prevResult"], json!({ "cniVersion": "1.1.0" }));
    }
    assert!(!file.exists());
}

#[test]
fn core_31_a_failure_ends_the_chain_and_is_not_cached() {
    let world = world(|call| match call.kind.as_str() {
        "rec2" => Err(r#"{"code":11,"msg":"later"}"#.to_owned()),
        _ => Ok("{}".to_owned()),
    });
    let error = world.runtime.add(&network("net", "1.1.0", &["rec", "rec2"]), &at("c1")).unwrap_err();
    assert_eq!((error.code, error.to_string().as_str()), (11, "plugin type=\"rec2\" failed (add): later"));
    assert_eq!(world.script.order(), ["ADD rec", "ADD rec2"]);
    assert!(world.runtime.cached(None).is_empty());
}

#[test]
fn core_34_and_35_cache_files_that_are_corrupt_or_old() {
    let world = world(empty);
    let network = network("net", "1.0.0", &["rec"]);
    let results = world.folder.path().join("var/lib/cni/results");
    std::fs::create_dir_all(&results).unwrap();
    let file = results.join("net-c1-eth0");
    std::fs::write(&file, "xx").unwrap();
    let error = world.runtime.check(&network, &at("c1")).unwrap_err();
    assert!(error.msg.starts_with("failed to get network \"net\" cached result: "), "{error}");
    assert!(world.script.calls().is_empty());
    world.runtime.del(&network, &at("c1")).unwrap();
    assert_eq!(world.script.calls()[0].stdin.get("prevResult"), None);
    assert!(!file.exists());

    let old = r#"{"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.1/8"}]}"#;
    std::fs::write(&file, old).unwrap();
    world.runtime.check(&network, &at("c1")).unwrap();
    let previous = &world.script.calls()[1].stdin["prevResult"];
    assert_eq!(*previous, json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.0.0.1/8" }] }));
}

#[test]
fn core_36_check_and_the_version() {
    let world = world(empty);
    for version in ["0.3.1", ""] {
        let error = world.runtime.check(&network("net", version, &["rec"]), &at("c1")).unwrap_err();
        assert_eq!(error.msg, format!("configuration version {version:?} does not support the CHECK command"));
    }
    let list = br#"{"name":"net","cniVersion":"1.0.0","disableCheck":"TRUE","plugins":[{"type":"rec"}]}"#;
    world.runtime.check(&Network::parse_list(list).unwrap(), &at("c1")).unwrap();
    assert!(world.script.calls().is_empty());
}

#[test]
fn core_40_gc_and_status() {
    let world = world(|call| match call.command.as_str() {
        "STATUS" => Err(r#"{"code":50,"msg":"down"}"#.to_owned()),
        _ => Ok("{}".to_owned()),
    });
    let list = network("net", "1.1.0", &["rec"]);
    for id in ["c1", "c2"] {
        world.runtime.add(&list, &at(id)).unwrap();
    }
    world.runtime.gc(&list, Some(&[AttachmentId::new("c1", "eth0")])).unwrap();
    let calls = world.script.calls();
    assert_eq!(world.script.order()[2..], ["DEL rec", "GC rec"]);
    assert_eq!((calls[2].env("CNI_CONTAINERID"), calls[2].env("CNI_ARGS")), ("c2", "A=b"));
    let live = json!([{ "containerID": "c1", "ifname": "eth0" }]);
    assert_eq!(calls[3].stdin["cni.dev/valid-attachments"], live);
    assert_eq!(calls[3].stdin["cni.dev/attachments"], live);
    assert_eq!(calls[3].env("CNI_CONTAINERID"), "");

    world.runtime.gc(&list, None).unwrap();
    let calls = world.script.calls();
    assert_eq!(world.script.order()[4..], ["DEL rec", "GC rec"]);
    assert_eq!(calls[5].stdin.get("cni.dev/valid-attachments"), None);
    assert!(world.runtime.cached(None).is_empty());

    let error = world.runtime.status(&list).unwrap_err();
    assert_eq!((error.code, error.msg.as_str()), (50, "down"));
    world.runtime.status(&network("net", "1.0.0", &["none"])).unwrap();
}

#[test]
fn a_network_is_valid_if_its_plugins_speak_its_version() {
    let world = world(|call| match (call.kind.as_str(), call.command.as_str()) {
        ("new", "VERSION") => Ok(r#"{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}"#.to_owned()),
        ("old", "VERSION") => Err(r#"{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}"#.to_owned()),
        _ => Ok("{}".to_owned()),
    });
    assert_eq!(world.runtime.versions("old").unwrap(), ["0.1.0"]);
    assert_eq!(world.runtime.versions("bridge").unwrap(), wasm_cni::result::SUPPORTED_VERSIONS);
    let list = br#"{"name":"net","cniVersion":"1.1.0","plugins":[{"type":"bridge","capabilities":{"mac":true,"a":false}},{"type":"new"}]}"#;
    assert_eq!(world.runtime.validate(&Network::parse_list(list).unwrap()).unwrap(), ["mac"]);
    let call = &world.script.calls()[0];
    assert_eq!((call.env("CNI_NETNS"), &call.stdin), ("dummy", &json!({ "cniVersion": "1.1.0" })));
    let error = world.runtime.validate(&network("net", "1.0.0", &["old", "none"])).unwrap_err();
    let text = "plugin old does not support config version \"1.0.0\"\nfailed to find plugin \"none\" in path [/p]";
    assert_eq!(error.msg, text);
}

#[test]
fn cached_attachments_are_listed() {
    let world = world(empty);
    let list = network("net", "1.1.0", &["rec"]);
    for id in ["c2", "c1"] {
        world.runtime.add(&list, &at(id)).unwrap();
    }
    let ids: Vec<_> = world.runtime.cached(None).into_iter().map(|cached| cached.attachment.container_id).collect();
    assert_eq!(ids, ["c1", "c2"]);
    let one = world.runtime.cached(Some("c2"));
    assert_eq!((one.len(), one[0].attachment.args.as_str(), one[0].network.as_str()), (1, "A=b", "net"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_networks_at_the_same_time_or_in_order_are_all_or_none() {
    let world = world(|call| match call.kind.as_str() {
        "bad" if call.command == "ADD" => Err(r#"{"code":7,"msg":"bad"}"#.to_owned()),
        _ => Ok("{}".to_owned()),
    });
    let script = world.script.clone();
    let runtime = AsyncRuntime::new(world.runtime);
    let pair = |kind: &str| (network(kind, "1.1.0", &[kind]), at("c1"));
    assert_eq!(runtime.add_all(&[pair("a"), pair("b")]).await.unwrap().len(), 2);

    let error = runtime.add_in_order(&[pair("c"), pair("bad"), pair("d")]).await.unwrap_err();
    assert_eq!(error.code, 7);
    assert_eq!(script.order()[2..], ["ADD c", "ADD bad", "DEL c"]);
    let error = runtime.add_all(&[pair("e"), pair("bad")]).await.unwrap_err();
    assert_eq!(error.code, 7);
    assert_eq!(script.order().last().unwrap(), "DEL e");
    assert_eq!(runtime.runtime().cached(None).len(), 2, "those of a and b");
    runtime.check_all(&[pair("a"), pair("b")]).await.unwrap();
    runtime.del_all(&[pair("a"), pair("b")]).await.unwrap();
    assert_eq!(script.order()[script.order().len() - 2..], ["DEL b", "DEL a"]);
}

#[test]
fn the_same_without_async() {
    let world = world(|call| match (call.kind.as_str(), call.command.as_str()) {
        ("bad", "ADD") | ("stuck", "DEL") => Err(r#"{"code":7,"msg":"bad"}"#.to_owned()),
        _ => Ok("{}".to_owned()),
    });
    let (script, runtime) = (world.script, world.runtime);
    let pair = |kind: &str| (network(kind, "1.1.0", &[kind]), at("c1"));
    assert_eq!(runtime.add_all(&[pair("a"), pair("b")]).unwrap().len(), 2);
    assert_eq!(runtime.add_all(&[pair("c"), pair("bad"), pair("d")]).unwrap_err().code, 7);
    assert_eq!(script.order()[script.order().len() - 2..], ["DEL d", "DEL c"]);
    runtime.add_in_order(&[pair("stuck"), pair("e")]).unwrap();
    let error = runtime.del_all(&[pair("a"), pair("stuck"), pair("e")]).unwrap_err();
    assert_eq!(error.plugin(), Some("stuck"));
    assert_eq!(script.order()[script.order().len() - 3..], ["DEL e", "DEL stuck", "DEL a"]);
    assert_eq!(runtime.cached(None).len(), 2, "b, and what could not be detached");
}

#[test]
fn every_operation_can_be_cancelled() {
    let world = world(empty);
    let cancel = Cancel::default();
    cancel.cancel();
    let (list, call) = (network("net", "1.1.0", &["bridge"]), world.runtime.call().cancel(&cancel));
    world.runtime.add(&network("net", "1.1.0", &["rec"]), &at("c1")).unwrap();
    assert_eq!(call.gc(&list, None).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(call.status(&list).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(world.runtime.cached(None).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_with_its_time_or_with_its_future() {
    let world = world(empty);
    let runtime = AsyncRuntime::new(world.runtime);
    let slow = network("net", "1.1.0", &["slow"]);
    let started = Instant::now();
    let error = runtime.call().timeout(Duration::from_millis(100)).add(&slow, &at("c1")).await.unwrap_err();
    assert!(error.msg.contains("ran longer than it may"), "{error}");
    let dropped = tokio::time::timeout(Duration::from_millis(100), runtime.add(&slow, &at("c1"))).await;
    assert!(dropped.is_err());
    assert!(started.elapsed() < Duration::from_secs(10));
    // The thread that it ran on is free again: its cache lock is gone.
    runtime.gc(&slow, Some(&[])).await.unwrap();
}

#[test]
fn runtimes_of_one_process_share_the_bundled_code() {
    let status = |i: usize| {
        let runtime = Runtime::builder().bundled(wasm_cni_bundled::PLUGINS).build().unwrap();
        let list = br#"{"name":"net","cniVersion":"1.1.0","plugins":[{"type":"loopback"},{"type":"bridge"}]}"#;
        runtime.status(&Network::parse_list(list).unwrap()).unwrap_or_else(|e| panic!("{i}: {e}"));
    };
    std::thread::scope(|scope| {
        for i in 0..16 {
            scope.spawn(move || status(i));
        }
    });
}
