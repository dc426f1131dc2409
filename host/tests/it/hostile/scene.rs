//! What every case has: a machine with an uplink, a bridge and another
//! container, and a call whose time, memory and traces are looked at.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    machine::{Machine, PROGRAM, script},
    outside::plugins,
};

/// Time that a call gets in these tests, seconds.
const TIMEOUT: &str = "3";

/// The same for floods, which other limits end first, also on a busy machine.
const PATIENCE: &str = "20";

/// All that they can be given.
pub(crate) const ALLOWED: [&str; 4] = ["--allow-host", "hostile", "--allow-host", "hostile_ipam"];
const POLICY: &str = "[plugins.hostile_ipam]\nresolv-conf = [\"*\"]\n";

/// More than that, also on a busy machine, and less than a hang.
const BOUND: Duration = Duration::from_secs(30);

/// Most memory that a call takes, KiB: that of three plugins, their code, and
/// what the host itself needs.
const MEMORY: u64 = 300 << 10;

/// `uplink` has the default route; `other0` is another container's, at the
/// bridge `outside`.
const FURNITURE: &str = "\
    sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
    ip link add outside type bridge; ip link set outside up
    ip link add uplink type veth peer name world; ip addr add 192.0.2.1/24 dev uplink
    ip link set uplink up; ip link set world up; ip route add default via 192.0.2.254
    ip netns add c2; ip link add other0 type veth peer name eth0 netns c2
    ip link set other0 up master outside; ip -n c2 link set eth0 up; ip link set lo up
    until ip -br link show outside | grep -q ' UP '; do sleep 0.05; done";

/// What an attempt could leave: links, addresses, routes, sysctls, filters,
/// records, leases.
const SHOW: &str = "\
    ip -br link; ip -d link | grep -o 'hairpin [a-z]*\\|isolated [a-z]*\\|promiscuity [0-9]*\\|alias.*'
    ip -br addr; ip route show table all; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/*/accept_ra
    ip -n c1 -br link; ip -n c1 -br addr; ip -n c1 route show table all; ip -n c2 -br link
    ip netns exec c1 cat /proc/sys/net/ipv4/conf/lo/arp_notify
    ! command -v nft >/dev/null || nft list ruleset
    find \"$1/run\" \"$1/var/lib\" -type f 2>/dev/null || true";

/// The folder with the hostile plugins in native code: compiled once for all.
pub(crate) fn compiled() -> PathBuf {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED
        .get_or_init(|| {
            use std::os::unix::fs::PermissionsExt as _;
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile");
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            for name in ["hostile", "hostile_ipam", "hostile_script"] {
                let native = folder.join(format!("{name}.cwasm"));
                compile(&plugins().join(format!("{name}.wasm")), &native);
                fs::set_permissions(&native, fs::Permissions::from_mode(0o644)).unwrap();
            }
            folder
        })
        .clone()
}

fn compile(wasm: &PathBuf, native: &PathBuf) {
    let compiler = PathBuf::from(PROGRAM).with_file_name("wasm-cni-compile");
    let compiled = Command::new(compiler).arg(wasm).arg(native).output().unwrap();
    assert!(compiled.status.success(), "{}", crate::machine::text(&compiled));
}

/// A machine with furniture, and how its state is told.
pub(crate) struct Scene {
    pub(crate) machine: Machine,
    pub(crate) netns: String,
    before: String,
}

/// How a call ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_policy("")
    }

    /// With more in the operator's policy.
    pub(crate) fn with_policy(policy: &str) -> Self {
        let machine = Machine::new();
        let netns = machine.netns("c1");
        script(&machine, FURNITURE);
        let folder = machine.root().join("etc/wasm-cni");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("policy.toml"), format!("{POLICY}{policy}")).unwrap();
        let before = state(&machine);
        Self { machine, netns, before }
    }

    /// The network `n1` of these plugins.
    pub(crate) fn network(&self, plugins: Value) {
        let list = json!({ "cniVersion": "1.1.0", "name": "n1", "plugins": plugins });
        fs::write(self.machine.conf_dir().join("n1.conflist"), list.to_string()).unwrap();
    }

    /// A command of the program, of which time and memory are bounded.
    pub(crate) fn call(&self, what: &str, arguments: &[&str]) -> Ended {
        self.call_with(what, arguments, &compiled())
    }

    pub(crate) fn call_with(&self, what: &str, arguments: &[&str], plugins: &PathBuf) -> Ended {
        let (out, err) = (self.machine.folder().join("out"), self.machine.folder().join("err"));
        let mut command = self.machine.wasm_cni(arguments);
        let time = if what.ends_with("-flood") { PATIENCE } else { TIMEOUT };
        command.args(ALLOWED).args(["--timeout", time]).env("CNI_PATH", plugins);
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut peak = 0;
        let status = loop {
            peak = peak_of(child.id()).unwrap_or(0).max(peak);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            thread::sleep(Duration::from_millis(2));
        };
        assert!(started.elapsed() < BOUND, "{what} took {:?}", started.elapsed());
        assert!(peak < MEMORY, "{what} took {peak} KiB");
        let text = |path| String::from_utf8(fs::read(path).unwrap()).unwrap();
        Ended { code: status.code(), stdout: text(&out), stderr: text(&err) }
    }

    /// All is as it was; the kernel takes its time with links that go.
    pub(crate) fn assert_untouched(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(8);
        loop {
            let now = state(&self.machine);
            if now == self.before {
                return;
            }
            assert!(Instant::now() < deadline, "{what}:\nbefore:\n{}\nafter:\n{now}", self.before);
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Ended {
    /// It failed, and says what it should.
    pub(crate) fn says(&self, what: &str, expected: &[&str]) {
        assert_eq!(self.code, Some(1), "{what}: {}{}", self.stdout, self.stderr);
        assert!(self.stdout.is_empty(), "{what}: {}", self.stdout);
        for expected in expected {
            assert!(self.stderr.contains(expected), "{what}: {expected:?} is not in {}", self.stderr);
        }
        // A terminal would obey.
        let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!self.stderr.contains(obeyed), "{what}: control characters in {:?}", self.stderr);
        assert!(self.stderr.len() < 128 << 10, "{what}: {} bytes of error", self.stderr.len());
    }
}

fn state(machine: &Machine) -> String {
    let root = machine.root();
    let output = machine.command("sh").args(["-c", SHOW, "sh"]).arg(root).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Most memory that a process has had, KiB.
fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// ADD of `hostile` in this mode fails, says this, and leaves no trace.
pub(crate) fn says(mode: &str, more: Value, expected: &[&str]) {
    add(mode, more).says(mode, expected);
}

/// The same with more in the operator's policy.
pub(crate) fn says_under(policy: &str, mode: &str, expected: &[&str]) {
    add_to(&Scene::with_policy(policy), mode, json!({})).says(mode, expected);
}

/// ADD of `hostile` in this mode leaves no trace; how it ended.
pub(crate) fn add(mode: &str, more: Value) -> Ended {
    add_to(&Scene::new(), mode, more)
}

/// The same of this machine.
pub(crate) fn add_to(scene: &Scene, mode: &str, more: Value) -> Ended {
    let mut plugin = json!({
        "type": "hostile", "mode": mode, "outside": "outside",
        "ipam": { "type": "host-local", "subnet": "10.99.0.0/24" },
    });
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    scene.network(json!([plugin]));
    let ended = scene.call(mode, &["add", "n1", &scene.netns]);
    scene.assert_untouched(mode);
    let networks = scene.machine.root().join("var/lib/cni/networks/n1");
    assert!(!networks.exists(), "{mode} left its folder of leases behind");
    ended
}

/// Every call that it lists was refused, and with a reason.
pub(crate) fn refuses(mode: &str, more: Value) {
    each_refused(mode, &add(mode, more));
}

/// The same with more in the operator's policy.
pub(crate) fn refuses_under(policy: &str, mode: &str) {
    each_refused(mode, &add_to(&Scene::with_policy(policy), mode, json!({})));
}

/// Every call that a mode lists was refused, and with a reason.
pub(crate) fn each_refused(mode: &str, ended: &Ended) {
    ended.says(mode, &[]);
    let (_, list) = ended.stderr.split_once("failed (add): ").unwrap_or_else(|| panic!("{mode}: {}", ended.stderr));
    let reasons = [
        "Denied: ",
        "Invalid: ",
        "Limit: ",
        "NotFound: ",
        "no plugin name",
        "invalid plugin name",
        "has no grant",
        "too long",
    ];
    // A text of a guest is cut, and so may be its last line.
    let whole = list.trim().lines().count() - usize::from(list.len() > 4000);
    for line in list.trim().lines().take(whole) {
        let refused = reasons.iter().any(|reason| line.contains(reason));
        assert!(refused, "{mode}: {line:?} was not refused in {}", ended.stderr);
    }
    assert!(list.trim().lines().count() > 1, "{mode}: {}", ended.stderr);
}
