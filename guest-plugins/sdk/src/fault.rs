//! What is found wrong in a configuration while it is read, and what of it counts first.

use std::cell::RefCell;

use crate::json::Json;

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) order: Vec<usize>,
    pub(crate) text: String,
    /// Where it stands; only ever compared.
    pub(crate) place: *const Json,
    /// The member that is missing there.
    pub(crate) missing: Option<String>,
}

/// In the order in which they are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// A value that its own parser refused: Go stops there.
    Refused,
    /// A value of the wrong type: Go goes on, in case a parser refuses a later one.
    WrongType,
    /// A value that was decoded, and that the plugin rejects afterwards.
    Rejected,
}

#[derive(Debug, Default)]
pub(crate) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(crate) fn note(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    /// The first fault of decoding, as Go has it.
    pub(crate) fn of_decoding(&self) -> Option<String> {
        let faults = self.0.borrow();
        let of_decoding = faults.iter().filter(|fault| fault.kind != FaultKind::Rejected);
        of_decoding.min_by(|a, b| (a.kind, &a.order).cmp(&(b.kind, &b.order))).map(|fault| fault.text.clone())
    }

    /// The value that was rejected first.
    pub(crate) fn rejected(&self) -> Option<String> {
        let faults = self.0.borrow();
        faults.iter().find(|fault| fault.kind == FaultKind::Rejected).map(|fault| fault.text.clone())
    }

    /// All of them, in the order in which ADD would report them.
    pub(crate) fn sorted(&self) -> Vec<Fault> {
        let mut faults = self.0.borrow().clone();
        faults.sort_by(|a, b| match (a.kind, b.kind) {
            (FaultKind::Rejected, FaultKind::Rejected) => std::cmp::Ordering::Equal,
            _ => (a.kind, &a.order).cmp(&(b.kind, &b.order)),
        });
        faults
    }
}
