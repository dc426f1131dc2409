//! Components that are made to hurt before a function of theirs is called, or
//! that are damaged.

use std::{fs, path::PathBuf};

use serde_json::json;

use super::scene::Scene;
use crate::outside::plugins;

/// The sections of a core module: id and content.
struct Module(Vec<(u8, Vec<u8>)>);

impl Module {
    fn hostile() -> Self {
        let wasm = fs::read(plugins().join("hostile.wasm")).unwrap();
        let mut sections = Vec::new();
        let mut rest = &wasm[8..];
        while let [id, tail @ ..] = rest {
            let (length, tail) = read_number(tail);
            sections.push((*id, tail[..length].to_vec()));
            rest = &tail[length..];
        }
        Self(sections)
    }

    fn section(&mut self, id: u8) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|section| section.0 == id).unwrap().1
    }

    fn count(&mut self, id: u8) -> usize {
        read_number(self.section(id)).0
    }

    /// One more entry in a section; gives its index.
    fn push(&mut self, id: u8, entry: &[u8]) -> usize {
        let section = self.section(id);
        let (count, entries) = read_number(section);
        *section = [&number(count + 1), entries, entry].concat();
        count
    }

    /// Has it run these instructions when it is instantiated.
    fn start(&mut self, instructions: &[u8]) {
        // No parameters, no results.
        let kind = self.push(1, &[0x60, 0, 0]);
        // All imports are functions.
        let function = self.count(2) + self.push(3, &number(kind));
        let body = [&[0], instructions, &[0x0b]].concat();
        self.push(10, &[number(body.len()), body].concat());
        let exports = self.0.iter().position(|section| section.0 == 7).unwrap();
        self.0.insert(exports + 1, (8, number(function)));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in &self.0 {
            wasm.extend(section(*id, content));
        }
        wasm
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], number(content.len()).as_slice(), content].concat()
}

/// LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn read_number(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, &bytes[end + 1..])
}

/// A component that exports the plugin's interface with these functions in it, all
/// without parameters or results.
fn exporting(functions: &[&str]) -> Vec<u8> {
    let name = |text: &str| [&[0, text.len() as u8], text.as_bytes()].concat();
    let function = |function: &&str| [name(function), vec![1, 0]].concat();
    let instance = [vec![1, 1, functions.len() as u8], functions.iter().flat_map(function).collect()].concat();
    let export = [vec![1], name("wasm-cni:plugin/plugin@0.1.0"), vec![5, 0, 0]].concat();
    let core = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x04\x01\x02\0\x0b";
    [
        b"\0asm\x0d\0\x01\0".to_vec(),
        section(1, core),
        // An instance of it, its function `f`, a type for that, and `f` lifted.
        section(2, &[1, 0, 0, 0]),
        section(6, &[1, 0, 0, 1, 0, 1, b'f']),
        section(7, &[1, 0x40, 0, 1, 0]),
        section(8, &[1, 0, 0, 0, 0, 0]),
        section(5, &instance),
        section(11, &export),
    ]
    .concat()
}

/// ADD of it fails with this; nothing is left.
fn fails(what: &str, wasm: &[u8], expected: &[&str]) {
    let scene = Scene::new();
    scene.network(json!([{ "type": "hostile", "mode": "ok" }]));
    let folder = folder(&scene, wasm);
    let ended = scene.call_with(what, &["add", "n1", &scene.netns], &folder);
    ended.says(what, expected);
    scene.assert_untouched(what);
}

fn folder(scene: &Scene, wasm: &[u8]) -> PathBuf {
    let folder = scene.machine.folder().join("plugins");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hostile.wasm"), wasm).unwrap();
    // Compiled before the call, which on a busy machine has no time for that. Damaged ones cannot be.
    let _ = scene.machine.wasm_cni(&["inspect", "hostile"]).env("CNI_PATH", &folder).output().unwrap();
    folder
}

#[test]
fn code_before_the_first_call_has_the_limits_of_a_call() {
    let with = |change: &dyn Fn(&mut Module)| {
        let mut module = Module::hostile();
        change(&mut module);
        module.bytes()
    };
    // loop br 0 end
    let endless = with(&|module| module.start(&[0x03, 0x40, 0x0c, 0, 0x0b]));
    fails("a start that loops", &endless, &["plugin \"hostile\" was stopped during ADD: it ran longer than 3 s"]);
    let trap = with(&|module| module.start(&[0x00]));
    fails("a start that traps", &trap, &["plugin \"hostile\" crashed during ADD"]);
    // A negative address, as the host reads it.
    let data = [&[0, 0x41, 0x7f, 0x0b], number(9).as_slice(), &[1; 9]].concat();
    let outside = with(&|module| {
        module.push(11, &data);
        if module.0.iter().any(|section| section.0 == 12) {
            let count = module.count(12);
            *module.section(12) = number(count + 1);
        }
    });
    fails("data outside of the memory", &outside, &["plugin \"hostile\" crashed during ADD"]);
    let large = with(&|module| *module.section(5) = [&[1, 0], number(1100).as_slice()].concat());
    let limit = "plugin \"hostile\" was stopped during ADD: it wanted more than 64 MiB of memory";
    fails("a large memory", &large, &[limit]);
    let second = with(&|module| {
        module.push(5, &[&[0], number(1020).as_slice()].concat());
    });
    fails("a second memory", &second, &[limit]);
    let table = with(&|module| {
        module.push(4, &[&[0x70, 0], number(1 << 20).as_slice()].concat());
    });
    fails("a large table", &table, &["plugin \"hostile\"", "table"]);
    let tables = with(&|module| {
        for _ in 0..64 {
            module.push(4, &[0x70, 0, 1]);
        }
    });
    fails("many tables", &tables, &["plugin \"hostile\"", "table"]);
}

#[test]
fn exports_of_the_right_name_and_the_wrong_type() {
    let unfit = "plugin \"hostile\"";
    fails("no function", &exporting(&[]), &[unfit, "add"]);
    fails("other functions", &exporting(&["add", "del", "check", "status", "gc"]), &[unfit, "add"]);
    fails("one function", &exporting(&["gc"]), &[unfit, "add"]);
}

#[test]
fn an_import_of_wasi_is_not_offered() {
    let (wanted, other) = (b"wasm-cni:net/net@0.1.0", b"wasi:cli/stderr@0.2.10");
    let mut wasm = fs::read(plugins().join("hostile.wasm")).unwrap();
    for at in 0..wasm.len() - wanted.len() {
        if wasm[at..].starts_with(wanted) {
            wasm[at..at + other.len()].copy_from_slice(other);
        }
    }
    fails("WASI", &wasm, &["plugin \"hostile\"", "wasi:cli/stderr@0.2.10"]);
}

#[test]
fn half_a_component() {
    let whole = fs::read(plugins().join("hostile.wasm")).unwrap();
    for length in [4, 8, 9, 1000, whole.len() / 2, whole.len() - 1] {
        fails(&format!("{length} bytes"), &whole[..length], &["plugin \"hostile\""]);
    }
}

#[test]
fn a_component_with_a_flipped_bit_works_or_fails_cleanly() {
    let whole = fs::read(plugins().join("hostile.wasm")).unwrap();
    let scene = Scene::new();
    scene.network(json!([{ "type": "hostile", "mode": "ok" }]));
    let mut at = 0x9e37_79b9_usize;
    for _ in 0..12 {
        at = at.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let (byte, bit) = ((at >> 20) % whole.len(), at % 8);
        let mut wasm = whole.clone();
        wasm[byte] ^= 1 << bit;
        let what = format!("bit {bit} of byte {byte}");
        let folder = folder(&scene, &wasm);
        let ended = scene.call_with(&what, &["add", "n1", &scene.netns], &folder);
        match ended.code {
            Some(0) => {
                assert_eq!(scene.call_with(&what, &["del", "n1", &scene.netns], &folder).code, Some(0), "{what}")
            }
            _ => ended.says(&what, &["plugin \"hostile\""]),
        }
    }
}
