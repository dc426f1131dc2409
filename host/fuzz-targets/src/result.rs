//! Results: what native plugins print, and `prevResult`.

use serde_json::Value;
use wasm_cni_spec::{
    result::parse_result,
    schema::{Rendered, render_result, versioned},
    version::{Family, SUPPORTED},
};

/// A result is refused, or it can be written in each version that has words for it; what is written can be read again, and
/// is written in the same way then.
pub fn result(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(success) = parse_result(&json, "") else { return };
    for version in SUPPORTED {
        // The oldest versions cannot say that there is no address.
        let Ok(rendered) = render_result(&success, version) else {
            assert!(Family::of(version) == Some(Family::Legacy) && success.ips.is_empty(), "{version}");
            continue;
        };
        let again = parse_result(&rendered, "").expect("what is written can be read");
        if Family::of(version) == Some(Family::Current) {
            assert_eq!(again, success, "{version}");
        }
        assert_eq!(render_result(&again, version).expect("it was written before"), rendered, "{version}");
        let sorted = versioned(&success, version).and_then(Rendered::sorted).expect("it was written before");
        assert_eq!(serde_json::to_value(sorted).expect("it was written before"), rendered, "{version}");
    }
}
