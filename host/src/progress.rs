//! A progress line on the terminal: overwritten in place, and cleared at the end. It
//! needs a carriage return and blanks only, so NO_COLOR makes no difference.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
};

use terminal_size::{Width, terminal_size_of};
use wasm_cni::settings::Progress;

/// For a terminal that does not report its width.
const COLUMNS: u16 = 80;

struct Line {
    /// A longer text would wrap, and could not be overwritten.
    columns: usize,
    /// The columns that are written on.
    used: usize,
}

/// None without a terminal.
static LINE: Mutex<Option<Line>> = Mutex::new(None);

/// Shows progress if standard error is a terminal that can go back in a line. Call it
/// before the process confines itself: it cannot ask afterwards.
pub(crate) fn enable(terminal: &str) {
    let stderr = io::stderr();
    if terminal != "dumb" && stderr.is_terminal() {
        let columns = terminal_size_of(stderr).map_or(COLUMNS, |(Width(columns), _)| columns);
        let line = Line { columns: usize::from(columns.saturating_sub(1)), used: 0 };
        *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

/// Replaces the line.
pub(crate) fn show(text: &str) {
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Line { columns, used }) = line.as_mut() else { return };
    let text: String = text.chars().filter(|c| !c.is_control()).take(*columns).collect();
    let blanks = std::mem::replace(used, text.chars().count());
    if blanks + *used > 0 {
        let _ = io::stderr().write_all(format!("\r{:blanks$}\r{text}", "").as_bytes());
    }
}

/// Clears the line before something else is written.
pub(crate) fn clear() {
    show("");
}

/// Shows what the runtime is doing.
pub(crate) fn of_runtime(progress: &Progress<'_>) {
    match progress {
        Progress::Compiling { plugin } => show(&format!("compiling plugin {plugin} ...")),
        Progress::Detaching { attachment: at, number, of } => {
            show(&format!("detaching {number} of {of}: {} {}", at.container_id, at.ifname));
        }
        Progress::TakingBack { container_id, number, of } => {
            show(&format!("undoing {number} of {of}: {container_id}"));
        }
        _ => clear(),
    }
}
