//! Veth pairs between the host and a container.

use crate::bindings::interface::wasm_cni::system::random;

/// A name for a host's end: `veth` and eight hexadecimal digits, at random.
pub fn random_name() -> String {
    let bytes = random::bytes(4);
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("veth{}", digits.concat())
}
