//! Patterns of sysctls, and the keys that plugins name.

use std::path::{Component, Path};

use wasm_cni_policy::grants::{
    pattern::{sysctl_matches, sysctl_star},
    table::Sysctl,
};

/// The first line is a policy's pattern, the rest a plugin's key: what a valid pattern matches lies below /proc/sys/net, as
/// deep as the pattern.
pub fn sysctl(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((pattern, key)) = text.split_once('\n') else { return };
    let Ok(Sysctl(pattern)) = Sysctl::try_from(pattern.to_owned()) else { return };
    if !sysctl_matches(&pattern, key) {
        return;
    }
    let path = Path::new("/proc/sys").join(key);
    assert!(path.starts_with("/proc/sys/net"), "{pattern:?} {key:?}");
    assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))), "{key:?}");
    assert_eq!(key.split('/').count(), pattern.split('/').count(), "{pattern:?} {key:?}");
    let is_link = |part: &str| !matches!(part, "" | "." | ".." | "all" | "default");
    assert!(sysctl_star(&pattern, key).map_or(pattern == key, is_link), "{pattern:?} {key:?}");
}
