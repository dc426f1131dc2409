//! DEL and GC after something has changed since ADD: a configuration that is not valid any more, a plugin that is gone.
//! What components did is on record, and goes by that; then there is nothing that trying again could do.

use std::{io, path::PathBuf};

use wasm_cni_capabilities::{
    attempt::Attempt,
    record::{
        attached::{Attached, attached},
        format::{self, Line},
    },
};
use wasm_cni_state::files::replace;

use crate::attachments;

/// The records of an attachment, before they are applied.
#[derive(Default)]
pub(crate) struct Known(Vec<Record>);

struct Record {
    path: PathBuf,
    attached: Attached,
}

impl Known {
    /// What there is of this attempt's attachment.
    pub(crate) fn of(attempt: &Attempt) -> Self {
        let record = |path: PathBuf| attached(&path).map(|attached| Record { path, attached });
        Self(attachments::of(attempt).into_iter().filter_map(record).collect())
    }

    /// What is known of an attachment that is on no record any more, and where its record is to be.
    pub(crate) fn that(path: PathBuf, attached: &Attached) -> Self {
        let attached = Attached { heading: attached.heading.clone(), sandbox: attached.sandbox, entries: Vec::new() };
        Self(vec![Record { path, attached }])
    }

    /// Whether a DEL has said before that everything is released.
    pub(crate) fn is_released(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|record| record.attached.entries.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything has been released. An empty record says so to a DEL that comes again, to which its plugins would say the
    /// same, or whose path leads to another container; the next DEL that has neither, ADD or GC removes it.
    pub(crate) fn mark_as_released(self) {
        for Record { path, attached } in self.0 {
            let lines = [Some(Line::Heading(attached.heading)), attached.sandbox.map(Line::Sandbox)];
            let lines = lines.iter().flatten().map(format::line).collect::<io::Result<Vec<_>>>();
            // Without it, the next DEL fails.
            let _ = lines.and_then(|lines| replace(&path, &lines.concat(), false));
        }
    }
}
