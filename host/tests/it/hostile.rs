//! A plugin that misbehaves: nothing outside of its grants happens, the host
//! survives, the error is clear and comes in bounded time and memory, and what
//! the attempt had made is gone.
//!
//! | module | cases | |
//! |---|---|---|
//! | [`resources`] | 23 | time, memory, stack, host calls, operations, links, log, delegation; half an attachment |
//! | [`arguments`] | 10 | names, handles, keys, moves, filters, devices without sense; huge texts, long lists |
//! | [`changes`] | 14 | changes of other packages: twice, never, without end, of the host, without sense, without a grant |
//! | [`memos`] | 6 | values that are too long, not granted, without end, put back |
//! | [`foreign`] | 14 | the host's links, routes and sysctls, other containers' ports, others' leases and rules |
//! | [`identity`] | 4 | one component under several names, with the grants of each |
//! | [`results`] | 22 | results, also an IPAM plugin's, and previous results that lie |
//! | [`store`] | 21 | an IPAM plugin's keys, values, transactions, entries without end, others' leases, files of the resolver |
//! | [`scripts`] | 6 | attacks with all the grants that they need: names, kills, stars, addresses given back, races |
//! | [`verbs`] | 12 | DEL, CHECK, STATUS and GC that panic, loop, eat memory |
//! | [`validate`] | 5 | a judgement that reaches, does not end, has mistakes without end |
//! | [`components`] | 29 | start functions, memories, tables, exports, imports; half a component; wrong bits |
//! | [`wasi`] | 15 | a component with a standard library: files, sockets, output, waits, exit; WASI that does not exist |
//!
//! 181 in all. Every one is looked at in the same way: see [`scene`]. [`table`] fails for an interface without a case.

mod arguments;
mod changes;
mod components;
mod foreign;
mod identity;
mod memos;
mod resources;
mod results;
pub(crate) mod scene;
mod scripts;
mod store;
mod table;
mod validate;
mod verbs;
pub(crate) mod wasi;
