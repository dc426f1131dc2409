//! Texts of guests and of Rust, made fit for people: short, on one line, without control characters.

use std::fmt::{Debug, Write as _};

/// Longest text in a line of the trace, bytes.
const MAX_TEXT: usize = 256;

/// The text, or its begin and how much there is of it.
pub fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT.min(text.len()));
    let mut shown = String::with_capacity(end);
    for c in text[..end].chars() {
        // JSON leaves these as they are, and terminals obey them.
        if c >= '\x7f' && c.is_control() {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    if end < text.len() {
        let _ = write!(shown, "… ({} bytes)", text.len());
    }
    shown
}

/// A case of an enum as the WIT writes it: `NotFound` is `not-found`.
pub fn case_name(case: impl Debug) -> String {
    let text = format!("{case:?}");
    let mut name = String::new();
    for c in text.rsplit("::").next().unwrap_or_default().chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Longest text of a guest in an error of the host, bytes.
const MAX_QUOTED: usize = 1024;

/// A guest's text as part of an error: the start of it, on one line.
pub fn for_people(text: &str) -> String {
    one_line(&text[..text.floor_char_boundary(MAX_QUOTED)])
}

/// A guest's text in a log must not look like more than one line of it.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
