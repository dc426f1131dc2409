//! Resolves paths to modules.

use super::source::Module;

/// Limit for re-exports of re-exports.
const DEPTH: usize = 16;

/// The module that defines the item of `path` in the module `from`; none if another
/// crate does.
pub(crate) fn resolve(modules: &[Module], from: usize, path: &[String]) -> Option<usize> {
    walk(modules, from, path, DEPTH)
}

fn walk(modules: &[Module], from: usize, path: &[String], depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let mut at = from;
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => (at, rest) = (0, &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                (at, rest) = (modules[at].parent?, &rest[1..]);
            }
        }
        first => {
            // Without one of these words, it may be the name of another crate.
            let here = &modules[from];
            if !here.children.contains_key(first) && !here.aliases.contains_key(first) {
                return None;
            }
        }
    }
    while let Some((part, after)) = rest.split_first() {
        rest = after;
        if let Some(child) = modules[at].children.get(part) {
            at = *child;
        } else if modules[at].items.contains(part) {
            return Some(at);
        } else if let Some(alias) = modules[at].aliases.get(part) {
            let whole: Vec<_> = alias.iter().chain(rest).cloned().collect();
            return walk(modules, at, &whole, depth);
        } else {
            let mut through = modules[at].globs.iter().filter_map(|glob| walk(modules, at, glob, depth));
            return through.find(|target| modules[*target].has(part)).or(Some(at));
        }
    }
    Some(at)
}
