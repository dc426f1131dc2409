//! The size on disk of programs that run as root. Must not know: what they do.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    namespaces::DIRECTORY,
    process::installed,
    report::Disk,
    subject::{PLUGINS, Subject, Who},
};

pub(crate) fn measure(program: &Path, subjects: &[Subject]) -> Result<Disk> {
    // Without the compiler of plugins, which has no privileges.
    let mut disk = Disk {
        wasm_cni: fs::metadata(program)?.len(),
        reference: None,
        reference_all: None,
        reference_count: 0,
        stripped: installed("strip").is_some(),
    };
    if let Some(reference) = subjects.iter().find(|subject| subject.who == Who::Reference) {
        let mut all = 0;
        for entry in fs::read_dir(&reference.plugins)? {
            let path = entry?.path();
            if path.is_file() {
                all += size(&path)?;
                disk.reference_count += 1;
            }
        }
        let same: io::Result<u64> = PLUGINS.iter().map(|name| size(&reference.plugins.join(name))).sum();
        disk.reference = Some(same?);
        disk.reference_all = Some(all);
    }
    Ok(disk)
}

/// Without symbols, if `strip` is installed.
fn size(program: &Path) -> io::Result<u64> {
    let stripped = PathBuf::from(DIRECTORY).join("stripped");
    let done = installed("strip").is_some_and(|strip| {
        let output = Command::new(strip).arg("-o").args([&stripped, program]).output();
        output.is_ok_and(|output| output.status.success())
    });
    Ok(fs::metadata(if done { &stripped } else { program })?.len())
}
