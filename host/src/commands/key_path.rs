//! Where the value of a key path lies in a configuration: `ipam.ranges[0][1].subnet`.

use json_spanned_value::spanned;

/// The byte offset of the value that a path leads to, or of the last value on the way that there is. Keys are compared as
/// Go compares them, without regard to case.
pub(crate) fn find(value: &spanned::Value, path: &str) -> usize {
    let mut value = value;
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        let next = match part.strip_suffix(']') {
            Some(index) => index.parse().ok().and_then(|index: usize| value.as_span_array()?.get(index)),
            None => value.as_span_object().and_then(|object| {
                let mut entries = object.iter();
                entries.find(|(key, _)| key.get_ref().eq_ignore_ascii_case(part)).map(|(_, value)| value)
            }),
        };
        let Some(next) = next else { break };
        value = next;
    }
    value.start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_as_far_as_there_is_something() {
        let text = r#"{"ipam": {"Ranges": [[{"subnet": 1}, 22]]}}"#;
        let value: spanned::Value = json_spanned_value::from_str(text).unwrap();
        let at = |path: &str| &text[find(&value, path)..];
        assert!(at("ipam.ranges[0][1]").starts_with("22"));
        assert!(at("ipam.ranges[0][0].subnet").starts_with("1}"));
        assert!(at("ipam.ranges[0][7].subnet").starts_with("[{"));
        assert_eq!(at("nothing"), text);
        assert_eq!(at(""), text);
    }
}
