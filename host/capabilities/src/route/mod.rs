//! `route`: routes with all that the kernel lets be said of them, and the rules that choose their table.

mod add;
mod check;
mod delete;
mod find;
pub mod routes;
mod rule;
mod rule_check;
pub mod rules;

pub use self::{
    add::{Added as RouteAdded, Replaced as RouteReplaced},
    delete::Removed as RouteRemoved,
    rule::{Added as RuleAdded, Removed as RuleRemoved},
};
