//! The network namespaces of a call, and what links in them are known by: never by a name that somebody else can give. Must
//! not know: plugins, and what is recorded.

pub mod device;
pub mod link_id;
pub mod space;
