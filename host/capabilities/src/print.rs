//! What a guest prints: lines of its log, within the log's limit.

use crate::{bindings::log::Level, printed::Stream, state::State, text::for_people};

/// Longest line, bytes: what is longer is several.
const MAX_LINE: usize = 4096;

impl State {
    /// Takes what the guest printed: whole lines go to its log, at most 4096 bytes each.
    pub fn print(&mut self, stream: Stream, octets: impl Iterator<Item = u8>) {
        for octet in octets {
            let line = self.printed.line(stream);
            if octet != b'\n' {
                line.push(octet);
            }
            if octet == b'\n' || line.len() >= MAX_LINE {
                self.print_line(stream);
            }
        }
    }

    fn print_line(&mut self, stream: Stream) {
        let line = std::mem::take(self.printed.line(stream));
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            return;
        }
        match stream {
            Stream::Out => self.log(Level::Info, text.into_owned()),
            Stream::Err => {
                self.note_panic(&text);
                self.log(Level::Warn, text.into_owned());
            }
        }
    }

    /// Rust's standard library says where on one line, and what on the next.
    fn note_panic(&self, line: &str) {
        let mut words = self.last_words.lock().expect("no panic with the lock held");
        match words.as_mut() {
            _ if line.contains("panicked at ") => *words = Some(for_people(line)),
            Some(words) if words.ends_with(':') => *words = for_people(&format!("{words} {line}")),
            _ => {}
        }
    }
}

impl Drop for State {
    /// The last line may have no end.
    fn drop(&mut self) {
        self.print_line(Stream::Out);
        self.print_line(Stream::Err);
    }
}
