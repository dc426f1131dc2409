//! What plugins may reach, as data: grants, the operator's policy, limits. Must not know: what is done with a grant.

pub mod grants;
pub mod limits;
pub mod policy;
pub mod world;
