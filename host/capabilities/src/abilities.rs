//! What a plugin can do, in words: an import without a grant is nothing, nor is a grant without the import.

/// Two lists of ends of the sentence "it can ...".
#[derive(Debug, Default)]
pub struct Abilities {
    /// What it can do.
    pub can: Vec<String>,
    /// What it cannot do.
    pub cannot: Vec<String>,
}

impl Abilities {
    /// It can, or it cannot.
    pub fn say(&mut self, can: bool, what: impl Into<String>) {
        if can { &mut self.can } else { &mut self.cannot }.push(what.into());
    }
}

/// Which names a grant is for, after these words; nothing if it is for all.
#[must_use]
pub fn named(how: &str, patterns: &[String]) -> String {
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern == "*") {
        return String::new();
    }
    format!("{how} {}", patterns.join(", "))
}
