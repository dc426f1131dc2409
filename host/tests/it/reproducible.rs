//! The bundled plugins, built a second time from other folders: the same bytes.

#[path = "../../bundled/guests.rs"]
mod guests;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use memchr::memmem;
use sha2::{Digest as _, Sha256};

use crate::{
    hello_plugin::{copy, repository},
    machine::PROGRAM,
};

/// Sources, build, and cargo's home, under names that no other build has.
fn elsewhere() -> [PathBuf; 3] {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("reproducible");
    let folders = ["sources-of-somebody-else", "built", "home/cargo"].map(|name| folder.join(name));
    let [sources, _, home] = &folders;
    for folder in [sources, home] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).unwrap();
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(repository().join(file), sources.join(file)).unwrap();
    }
    for entry in ["examples", "guest-plugins", "host", "packaging", "wit"] {
        copy(&repository().join(entry), &sources.join(entry));
    }
    // What has been fetched, under another name.
    for entry in fs::read_dir(guests::cargo_home().unwrap()).unwrap().map(Result::unwrap) {
        if entry.file_name() == "registry" || entry.file_name() == "config.toml" {
            symlink(entry.path(), home.join(entry.file_name())).unwrap();
        }
    }
    folders
}

/// The component of a module, and its native code: as the build of the program has them made.
fn compile(module: &Path) -> (Vec<u8>, Vec<u8>) {
    let (component, native) = (module.with_extension("component"), module.with_extension("cwasm"));
    let compiler = PathBuf::from(PROGRAM).with_file_name("wasm-cni-compile");
    let status = Command::new(compiler).arg(module).arg(&native).arg("--component").arg(&component).status().unwrap();
    assert!(status.success());
    (fs::read(component).unwrap(), fs::read(native).unwrap())
}

#[test]
fn bundled_plugins_are_the_same_bytes_wherever_they_are_built() {
    let [sources, built, home] = elsewhere();
    let modules = guests::build(&sources, &built, &home).unwrap();
    let sysroot = Command::new("rustc").arg("--print=sysroot").output().unwrap().stdout;
    let sysroot = String::from_utf8(sysroot).unwrap();

    for component in guests::COMPONENTS {
        let (bytes, native) = compile(&modules.join(guests::module(component)));
        for folder in [sources.parent().unwrap(), Path::new(sysroot.trim())] {
            let found = memmem::find(&bytes, folder.as_os_str().as_encoded_bytes());
            assert_eq!(found, None, "{component}: {} is in it", folder.display());
        }
        let digest = format!("{:x}", Sha256::digest(&bytes));
        for kind in guests::plugins(&sources, component).unwrap() {
            let bundled = wasm_cni_bundled::PLUGINS.iter().find(|plugin| plugin.name == kind).unwrap();
            assert_eq!(bundled.digest, digest, "{kind}");
            assert!(native == bundled.native, "{kind}: the native code differs");
        }
    }
}
