//! Records of effects, which outlive their process, and are read by builds of other versions.

use wasm_cni_capabilities::{
    needs::Needs,
    record::{
        attached::{Attached, parse},
        format::{self, Line},
    },
};

/// A record is refused, or its effects can be described, and written so that they are read again. Returns how many there
/// are.
pub fn journal(bytes: &[u8]) -> usize {
    let Some(attached) = parse(bytes) else { return 0 };
    for entry in &attached.entries {
        let _ = (entry.to_string(), entry.is_inside(), entry.is_link(), entry.cleanup());
        entry.needs(&mut Needs::default());
    }
    let again = parse(&written(&attached)).expect("what is written can be read");
    assert_eq!(format!("{again:?}"), format!("{attached:?}"));
    attached.entries.len()
}

/// The record's file, as it is written.
fn written(attached: &Attached) -> Vec<u8> {
    let heading = format::line(&Line::Heading(attached.heading.clone()));
    let sandbox = attached.sandbox.map(|id| format::line(&Line::Sandbox(id)));
    let effects = attached.entries.iter().enumerate().map(|(number, entry)| format::undo(number, &**entry));
    let lines = [heading].into_iter().chain(sandbox).chain(effects);
    lines.flat_map(|line| line.expect("what was read can be written")).collect()
}
