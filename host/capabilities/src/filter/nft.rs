//! Chains and rules as the reference's library for nftables writes them.

use wasm_cni_kernel::{BaseChain, Chain, ChainKind, Error, Family, Hook, Rule, Statement};

use crate::space::Space;

/// A chain that is hooked into the kernel's.
#[must_use]
pub fn base_chain(name: &str, kind: ChainKind, hook: Hook, priority: i32) -> Chain {
    Chain { name: name.to_owned(), base: Some(BaseChain { kind, hook, priority, policy: None }), comment: None }
}

/// A rule.
#[must_use]
pub fn rule<const N: usize>(chain: &str, statements: [Statement; N], comment: Option<&str>) -> Rule {
    Rule { chain: chain.to_owned(), statements: statements.into(), comment: comment.map(str::to_owned) }
}

/// The rules of a chain, by their handles, with their comments.
///
/// # Errors
///
/// What the kernel says; a chain that is not there has no rules.
pub fn comments(space: &Space, family: Family, table: &str, chain: &str) -> Result<Vec<(u64, String)>, Error> {
    let rules = space.nftables(|nft| nft.rules(family, table, chain))?;
    Ok(rules.into_iter().map(|rule| (rule.handle, rule.comment.unwrap_or_default())).collect())
}
