//! CNI_ARGS: `K=V;K=V`, with the reference's rules and texts.

use crate::go;

/// Reads CNI_ARGS. `take` is shown each pair and tells whether it knows the
/// key, or why the value will not do. Unknown keys are an error unless one of
/// the pairs is `IgnoreUnknown=1`.
///
/// ```
/// let mut mac = None;
/// let args = cni_plugin::args::parse("IgnoreUnknown=true;MAC=02::1;K8S=x", |key, value| {
///     if key == "MAC" {
///         mac = Some(value.to_owned());
///     }
///     Ok(key == "MAC")
/// });
/// assert_eq!((args, mac.as_deref()), (Ok(()), Some("02::1")));
/// ```
pub fn parse(text: &str, mut take: impl FnMut(&str, &str) -> Result<bool, String>) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let mut ignore_unknown = false;
    let mut unknown = Vec::new();
    for pair in text.split(';') {
        let (key, value) = match pair.split_once('=') {
            Some((key, value)) if !value.contains('=') => (key, value),
            _ => return Err(format!("ARGS: invalid pair {}", go::quoted(pair))),
        };
        let known = if key == "IgnoreUnknown" {
            boolean(value).map(|flag| {
                ignore_unknown = flag;
                true
            })
        } else {
            take(key, value)
        };
        let wrong_value = |why| format!("ARGS: error parsing value of pair {}: {why}", go::quoted(pair));
        if !known.map_err(wrong_value)? {
            unknown.push(go::quoted(pair));
        }
    }
    if unknown.is_empty() || ignore_unknown {
        Ok(())
    } else {
        Err(format!("ARGS: unknown args [{}]", unknown.join(" ")))
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(format!("boolean unmarshal error: invalid input {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows_mac(text: &str) -> Result<(), String> {
        parse(text, |key, _| Ok(key == "MAC"))
    }

    #[test]
    fn a_piece_is_a_pair_with_one_equals_sign() {
        for (text, piece) in [("MAC", "MAC"), ("MAC=1;", ""), ("MAC=a=b", "MAC=a=b")] {
            let expected = format!("ARGS: invalid pair \"{piece}\"");
            assert_eq!(knows_mac(text), Err(expected));
        }
        assert_eq!(knows_mac("MAC="), Ok(()));
        assert_eq!(knows_mac(""), Ok(()));
    }

    #[test]
    fn unknown_keys_are_listed_and_keys_have_their_case() {
        assert_eq!(knows_mac("A=b;MAC=1;mac=2").unwrap_err(), r#"ARGS: unknown args ["A=b" "mac=2"]"#);
    }

    #[test]
    fn ignore_unknown_counts_wherever_it_stands() {
        assert_eq!(knows_mac("A=b;IgnoreUnknown=tRue"), Ok(()));
        assert_eq!(knows_mac("IgnoreUnknown=1;A=b"), Ok(()));
        assert!(knows_mac("IgnoreUnknown=0;A=b").is_err());
        assert_eq!(
            knows_mac("IgnoreUnknown=x").unwrap_err(),
            "ARGS: error parsing value of pair \"IgnoreUnknown=x\": \
             boolean unmarshal error: invalid input x"
        );
    }

    #[test]
    fn a_value_that_will_not_do_names_its_pair() {
        let result = parse("IP=foo", |_, value| Err(format!("invalid IP address {value}")));
        assert_eq!(result.unwrap_err(), "ARGS: error parsing value of pair \"IP=foo\": invalid IP address foo");
    }
}
