//! A line at the terminal of whoever waits: what is being done, written over in
//! place, and gone when it is done. A return and blanks are all that it takes,
//! no codes: with NO_COLOR it is the same.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{Mutex, PoisonError},
};

use terminal_size::{Width, terminal_size_of};
use wasm_cni::Progress;

/// Of a terminal that does not say how wide it is.
const COLUMNS: u16 = 80;

struct Line {
    /// More would go on in the next line, and could not be written over.
    columns: usize,
    /// Those that are written on.
    used: usize,
}

/// None where nobody waits at a terminal.
static LINE: Mutex<Option<Line>> = Mutex::new(None);

/// For who is at a terminal, if it can go back in a line. To be called before the
/// process confines itself: it has no terminals then.
pub(crate) fn enable(terminal: &str) {
    let stderr = io::stderr();
    if terminal != "dumb" && stderr.is_terminal() {
        let columns = terminal_size_of(stderr).map_or(COLUMNS, |(Width(columns), _)| columns);
        let line = Line { columns: usize::from(columns.saturating_sub(1)), used: 0 };
        *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

/// In place of what was said before.
pub(crate) fn show(text: &str) {
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Line { columns, used }) = line.as_mut() else { return };
    let text: String = text.chars().filter(|c| !c.is_control()).take(*columns).collect();
    let blanks = std::mem::replace(used, text.chars().count());
    if blanks + *used > 0 {
        let _ = io::stderr().write_all(format!("\r{:blanks$}\r{text}", "").as_bytes());
    }
}

/// Before something else is written.
pub(crate) fn clear() {
    show("");
}

/// What the runtime is at.
pub(crate) fn of_runtime(progress: &Progress<'_>) {
    match progress {
        Progress::Compiling { plugin } => show(&format!("compiling plugin {plugin} ...")),
        Progress::Detaching { attachment: at, number, of } => {
            show(&format!("detaching {number} of {of}: {} {}", at.container_id, at.ifname));
        }
        Progress::TakingBack { container_id, number, of } => {
            show(&format!("taking back {number} of {of}: {container_id}"));
        }
        _ => clear(),
    }
}
