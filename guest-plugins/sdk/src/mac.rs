//! Link-layer addresses as text: `0a:58:0a:58:00:02`.

/// Parses what Go's `net.ParseMAC` takes: 6, 8 or 20 bytes, with colons,
/// hyphens or, in groups of four digits, dots.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    read(text)
        .filter(|mac| matches!(mac.len(), 6 | 8 | 20))
        .ok_or_else(|| format!("address {text}: invalid MAC address"))
}

/// The text of an address; empty for none.
pub fn format(mac: &[u8]) -> String {
    let mut text = String::with_capacity(mac.len() * 3);
    for byte in mac {
        if !text.is_empty() {
            text.push(':');
        }
        text.extend(hex(*byte));
    }
    text
}

/// A byte's two digits.
pub(crate) fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 0xf].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
}

fn read(text: &str) -> Option<Vec<u8>> {
    let (separator, digits) = match text.as_bytes() {
        [_, _, b':', ..] => (':', 2),
        [_, _, b'-', ..] => ('-', 2),
        [_, _, _, _, b'.', ..] => ('.', 4),
        _ => return None,
    };
    let mut mac = Vec::new();
    for group in text.split(separator) {
        if group.len() != digits || !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for pair in group.as_bytes().chunks(2) {
            let pair = str::from_utf8(pair).ok()?;
            mac.push(u8::from_str_radix(pair, 16).ok()?);
        }
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_notations_mean_the_same() {
        let mac = vec![0, 0x11, 0x22, 0x33, 0x44, 0xff];
        for text in ["00:11:22:33:44:ff", "00-11-22-33-44-FF", "0011.2233.44ff"] {
            assert_eq!(parse(text).as_ref(), Ok(&mac), "{text}");
        }
        assert_eq!(format(&mac), "00:11:22:33:44:ff");
    }

    #[test]
    fn anything_else_is_refused_in_gos_words() {
        for text in ["zz", "", "00:11:22:33:44", "00:11-22:33:44:55", "+1:11:22:33:44:55"] {
            let expected = format!("address {text}: invalid MAC address");
            assert_eq!(parse(text), Err(expected));
        }
    }

    #[test]
    fn the_kernel_decides_about_eight_bytes() {
        assert_eq!(parse("00:11:22:33:44:55:66:77").unwrap().len(), 8);
    }
}
