//! What a guest has printed of lines that have not ended yet.

use std::{fmt, time::Instant};

/// Where to.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The unfinished lines of both streams, and the origin of the guest's monotonic clock.
#[derive(Default)]
pub struct Printed {
    out: Vec<u8>,
    err: Vec<u8>,
    /// When the guest first asked for the time.
    pub started: Option<Instant>,
}

impl Printed {
    /// The line of a stream, without its end.
    pub fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printed").finish_non_exhaustive()
    }
}
