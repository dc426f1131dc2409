//! What the handles of guests stand for. The generated bindings name these types.

use std::{any::Any, sync::Arc};

use wasm_cni_state::store;

use crate::space::Space;

/// A `netns`: a namespace that is lent for one call.
#[derive(Debug)]
pub struct Namespace {
    /// The namespace.
    pub space: Arc<Space>,
}

/// A `transaction` of the store.
pub struct Transaction {
    /// Exclusive use, until dropped.
    pub entries: Box<dyn store::Transaction>,
}

/// A `change` that no `commit` has done yet: a `Box<dyn Change>` (`net::change`), whose type must not be known here.
pub struct Pending(pub Box<dyn Any + Send>);
