//! Where plugins are found, for people and for programs.

use serde_json::{Value, json};
use wasm_cni::inspect::Location;

/// For people.
pub(super) fn text(location: &Location) -> String {
    match location {
        Location::Bundled { digest, .. } => format!("bundled (sha256:{})", &digest[..12]),
        Location::Component(path) => format!("component {}", path.display()),
        Location::Compiled(path) => format!("compiled {}", path.display()),
        Location::Native(path) => format!("native {}", path.display()),
        _ => "elsewhere".to_owned(),
    }
}

/// For programs: a kind, and the digest or the path.
pub(super) fn json(location: &Location) -> Value {
    match location {
        Location::Bundled { digest, .. } => json!({ "kind": "bundled", "sha256": digest }),
        Location::Component(path) => json!({ "kind": "component", "path": path }),
        Location::Compiled(path) => json!({ "kind": "compiled", "path": path }),
        Location::Native(path) => json!({ "kind": "native", "path": path }),
        _ => json!({ "kind": "other" }),
    }
}
