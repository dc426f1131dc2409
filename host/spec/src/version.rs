//! The versions of the CNI specification, and the three schemas of its results.

use crate::error::CniError;

/// Versions that plugins of this host speak, ascending.
pub const SUPPORTED: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Versions that share one schema of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 0.1.0 and 0.2.0: `ip4` and `ip6`.
    Legacy,
    /// 0.3.0 to 0.4.0: `ips` with a `version`.
    Versioned,
    /// 1.0.0 and later.
    Current,
}

impl Family {
    /// The schema of this version; none if it is not [`SUPPORTED`]. The empty
    /// version is 0.1.0.
    #[must_use]
    pub fn of(version: &str) -> Option<Self> {
        match version {
            "" | "0.1.0" | "0.2.0" => Some(Self::Legacy),
            "0.3.0" | "0.3.1" | "0.4.0" => Some(Self::Versioned),
            "1.0.0" | "1.1.0" => Some(Self::Current),
            _ => None,
        }
    }

    /// The versions of this schema.
    #[must_use]
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Legacy => &SUPPORTED[..2],
            Self::Versioned => &SUPPORTED[2..5],
            Self::Current => &SUPPORTED[5..],
        }
    }
}

/// Up to three numbers with dots between them; missing ones are 0, as in the
/// reference's version comparison.
///
/// # Errors
///
/// Text of the reference for what is not a version.
pub fn parse(version: &str) -> Result<[u32; 3], String> {
    if version.is_empty() {
        return Err("invalid version \"\": the version is empty".to_owned());
    }
    let mut numbers = [0; 3];
    let parts: Vec<_> = version.split('.').collect();
    if parts.len() > 3 {
        return Err(format!("invalid version {version:?}: too many parts"));
    }
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().map_err(|_| {
            format!("failed to convert major version part {part:?}: strconv.Atoi: parsing {part:?}: invalid syntax")
        })?;
    }
    Ok(numbers)
}

/// That a configuration of this version can be run at all.
///
/// # Errors
///
/// Code 1 in the reference's words.
pub fn reconcile(version: &str) -> Result<(), CniError> {
    if SUPPORTED.contains(&version) {
        return Ok(());
    }
    let supported: Vec<_> = SUPPORTED.iter().map(|v| format!("{v:?}")).collect();
    Err(CniError::new(1, "incompatible CNI versions")
        .details(format!("config is {version:?}, plugin supports [{}]", supported.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_version_belongs_to_one_family() {
        for version in SUPPORTED {
            assert!(Family::of(version).unwrap().versions().contains(&version));
        }
        assert_eq!(Family::of("1.2.0"), None);
    }

    #[test]
    fn missing_parts_are_zero() {
        assert_eq!(parse("1"), Ok([1, 0, 0]));
        assert_eq!(parse("0.4"), Ok([0, 4, 0]));
        assert!(parse("1.x.0").is_err());
    }

    #[test]
    fn an_unknown_version_is_refused_in_the_references_words() {
        let error = reconcile("9.9.9").unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (1, "incompatible CNI versions"));
        assert_eq!(
            error.details,
            "config is \"9.9.9\", plugin supports [\"0.1.0\" \"0.2.0\" \"0.3.0\" \"0.3.1\" \"0.4.0\" \"1.0.0\" \"1.1.0\"]"
        );
    }
}
