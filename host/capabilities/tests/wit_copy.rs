//! This crate is a package of its own, so it has a copy of the interface: the same files.

use std::{collections::BTreeMap, fs, io, path::Path};

type Files = BTreeMap<String, String>;

fn read(directory: &Path, prefix: &str, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().display());
        if entry.file_type()?.is_dir() {
            read(&entry.path(), &format!("{name}/"), files)?;
        } else if name.ends_with(".wit") {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

#[test]
fn the_copy_of_the_interface_is_the_interface() {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    let original = this.join("../../wit");
    if !original.is_dir() {
        return; // In a package there is only the copy.
    }
    let [mut expected, mut copy] = [Files::new(), Files::new()];
    read(&original, "", &mut expected).unwrap();
    read(&this.join("wit"), "", &mut copy).unwrap();
    assert!(expected.len() > 5);
    assert!(expected == copy, "host/capabilities/wit differs: rm -r it, and copy the files *.wit of wit/ there again");
}
