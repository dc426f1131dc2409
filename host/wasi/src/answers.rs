//! What the stub says to each function of WASI.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::rand::{GetRandomFlags, getrandom};
use wasm_cni_capabilities::{limits::Stop, printed::Stream, state::State};
use wasmtime::{
    StoreContextMut,
    component::{Type, Val, types::ComponentFunc},
};

/// Most bytes that are taken at once of what is printed.
const MAX_WRITE: u64 = 4096;
/// Most random bytes at once.
const MAX_RANDOM: u64 = 64 << 10;
/// The clocks count these: finer ones are for measuring what others do.
const TICK: Duration = Duration::from_millis(1);
/// Between looks whether the call was cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// What a handle stands for. One type for all of WASI's resources: what a
/// function cannot use ends the guest, and there is nothing behind any of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handle {
    Input,
    Output(Stream),
    /// Ready at once, or then.
    Pollable(Option<std::time::Instant>),
    Network,
}

/// What is said to a function.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// An empty list: of variables, arguments, folders.
    EmptyList,
    Nothing,
    Handle(Handle),
    Exit,
    /// Of a stream that has ended.
    Closed,
    /// How much may be written.
    Writable,
    Write,
    Written,
    /// Pollables.
    SubscribeNow,
    SubscribeAfter,
    SubscribeAt,
    Ready,
    Block,
    Poll,
    /// Clocks.
    Monotonic,
    Resolution,
    Wall,
    WallResolution,
    RandomBytes,
    RandomNumber,
    RandomSeed,
    /// By its own error code, if it has one that fits.
    Refused,
}

impl Answer {
    /// None for what does not exist, in the interfaces that do.
    pub(super) fn of(interface: &str, function: &str) -> Option<Self> {
        Some(match (interface, function) {
            ("cli/environment", "get-environment" | "get-arguments") | ("filesystem/preopens", "get-directories") => {
                Self::EmptyList
            }
            ("cli/environment", "initial-cwd")
            | ("cli/terminal-stdin", "get-terminal-stdin")
            | ("cli/terminal-stdout", "get-terminal-stdout")
            | ("cli/terminal-stderr", "get-terminal-stderr")
            | ("filesystem/types", "filesystem-error-code") => Self::Nothing,
            ("cli/stdin", "get-stdin") => Self::Handle(Handle::Input),
            ("cli/stdout", "get-stdout") => Self::Handle(Handle::Output(Stream::Out)),
            ("cli/stderr", "get-stderr") => Self::Handle(Handle::Output(Stream::Err)),
            ("cli/exit", "exit" | "exit-with-code") => Self::Exit,
            ("io/streams", function) => match function.rsplit_once(']').map_or(function, |(_, method)| method) {
                "output-stream.check-write" => Self::Writable,
                "output-stream.write" | "output-stream.blocking-write-and-flush" => Self::Write,
                "output-stream.flush" | "output-stream.blocking-flush" => Self::Written,
                "output-stream.subscribe" | "input-stream.subscribe" => Self::SubscribeNow,
                _ => Self::Closed,
            },
            ("io/poll", "[method]pollable.ready") => Self::Ready,
            ("io/poll", "[method]pollable.block") => Self::Block,
            ("io/poll", "poll") => Self::Poll,
            ("clocks/monotonic-clock", "now") => Self::Monotonic,
            ("clocks/monotonic-clock", "resolution") => Self::Resolution,
            ("clocks/monotonic-clock", "subscribe-duration") => Self::SubscribeAfter,
            ("clocks/monotonic-clock", "subscribe-instant") => Self::SubscribeAt,
            ("clocks/wall-clock", "now") => Self::Wall,
            ("clocks/wall-clock", "resolution") => Self::WallResolution,
            ("random/random", "get-random-bytes") | ("random/insecure", "get-insecure-random-bytes") => {
                Self::RandomBytes
            }
            ("random/random", "get-random-u64") | ("random/insecure", "get-insecure-random-u64") => Self::RandomNumber,
            ("random/insecure-seed", "insecure-seed") => Self::RandomSeed,
            ("sockets/instance-network", "instance-network") => Self::Handle(Handle::Network),
            ("io/error" | "filesystem/types", _) => Self::Refused,
            (interface, _) if interface.starts_with("sockets/") => Self::Refused,
            _ => return None,
        })
    }

    /// The function's result, if it has one.
    pub(super) fn give(self, mut call: Call<'_, '_>) -> wasmtime::Result<Option<Val>> {
        Ok(Some(match self {
            Self::EmptyList => Val::List(Vec::new()),
            Self::Nothing => Val::Option(None),
            Self::Handle(handle) => call.lend(handle)?,
            Self::Exit => return Err(wasmtime::Error::msg("it ended itself, by exit")),
            Self::Closed => err(Val::Variant("closed".to_owned(), None)),
            Self::Writable => Val::Result(Ok(Some(Box::new(Val::U64(MAX_WRITE))))),
            Self::Write => {
                let ([Handle::Output(stream)], [_, Val::List(octets)]) = (&call.handles[..], call.params) else {
                    return Err(call.unfit());
                };
                let octet = |value: &Val| if let Val::U8(octet) = value { *octet } else { 0 };
                call.store.data_mut().print(*stream, octets.iter().map(octet));
                Val::Result(Ok(None))
            }
            // Lines go when they end: a flush is no end of one.
            Self::Written => Val::Result(Ok(None)),
            Self::SubscribeNow => call.lend(Handle::Pollable(None))?,
            Self::SubscribeAfter => {
                let at = call.after(Instant::now())?;
                call.lend(Handle::Pollable(Some(at)))?
            }
            Self::SubscribeAt => {
                let started = call.started();
                let at = call.after(started)?;
                call.lend(Handle::Pollable(Some(at)))?
            }
            Self::Ready => Val::Bool(call.times()?.iter().all(|at| at.is_none_or(|at| at <= Instant::now()))),
            Self::Block => {
                call.poll()?;
                return Ok(None);
            }
            Self::Poll => Val::List(call.poll()?.into_iter().map(Val::U32).collect()),
            Self::Monotonic => {
                let since = call.started().elapsed();
                Val::U64(coarse(since).as_nanos() as u64)
            }
            Self::Resolution => Val::U64(TICK.as_nanos() as u64),
            Self::Wall => datetime(coarse(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())),
            Self::WallResolution => datetime(TICK),
            Self::RandomBytes => {
                let Some(Val::U64(len)) = call.params.first() else { return Err(call.unfit()) };
                if *len > MAX_RANDOM {
                    let text = format!("it wanted {len} random bytes at once, of at most {MAX_RANDOM}");
                    return Err(wasmtime::Error::msg(text));
                }
                let mut octets = vec![0; *len as usize];
                random(&mut octets)?;
                Val::List(octets.into_iter().map(Val::U8).collect())
            }
            Self::RandomNumber => random_number()?,
            Self::RandomSeed => Val::Tuple(vec![random_number()?, random_number()?]),
            Self::Refused => call.refusal()?,
        }))
    }
}

/// One call of a function.
pub(super) struct Call<'a, 's> {
    pub(super) store: &'a mut StoreContextMut<'s, State>,
    /// For people.
    pub(super) name: &'a str,
    pub(super) ty: &'a ComponentFunc,
    pub(super) params: &'a [Val],
    /// What it was lent, given back by now.
    pub(super) handles: Vec<Handle>,
}

impl Call<'_, '_> {
    fn unfit(&self) -> wasmtime::Error {
        wasmtime::Error::msg(format!("it called {} with what it cannot be called with", self.name))
    }

    /// As its own.
    fn lend(&mut self, handle: Handle) -> wasmtime::Result<Val> {
        let handle = self.store.data_mut().table.push(handle)?;
        Ok(Val::Resource(handle.try_into_resource_any(&mut *self.store)?))
    }

    /// When its pollables are ready; none if they are by now.
    fn times(&self) -> wasmtime::Result<Vec<Option<Instant>>> {
        let time = |handle: &Handle| match handle {
            Handle::Pollable(at) => Some(*at),
            _ => None,
        };
        let times: Option<Vec<_>> = self.handles.iter().map(time).collect();
        times.filter(|times| !times.is_empty()).ok_or_else(|| self.unfit())
    }

    /// As many nanoseconds later as the first parameter says.
    fn after(&self, start: Instant) -> wasmtime::Result<Instant> {
        let Some(Val::U64(nanoseconds)) = self.params.first() else { return Err(self.unfit()) };
        // What is later than the end of the call is all the same.
        let at = start.checked_add(Duration::from_nanos(*nanoseconds));
        Ok(at.unwrap_or(self.store.data().attempt.deadline.at))
    }

    fn started(&mut self) -> Instant {
        *self.store.data_mut().printed.started.get_or_insert_with(Instant::now)
    }

    /// Until then, or until the call's time is up.
    fn wait(&self, at: Option<Instant>) -> wasmtime::Result<()> {
        let deadline = &self.store.data().attempt.deadline;
        let Some(at) = at else { return Ok(()) };
        loop {
            if deadline.passed() {
                return Err(wasmtime::Error::new(Stop::of(deadline)));
            }
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(deadline.remaining()).min(LOOK));
        }
    }

    /// Until one of them is ready; which.
    fn poll(&self) -> wasmtime::Result<Vec<u32>> {
        let times = self.times()?;
        // One that is ready at once comes first: none is less than any.
        self.wait(times.iter().min().copied().flatten())?;
        Ok((0..).zip(times).filter(|(_, at)| at.is_none_or(|at| at <= Instant::now())).map(|(i, _)| i).collect())
    }

    /// "Access denied" as this function's results have it; else the guest ends.
    fn refusal(&self) -> wasmtime::Result<Val> {
        let result = self.ty.results().next();
        if let Some(Type::Result(result)) = &result
            && let Some(Type::Enum(codes)) = result.err()
            && let Some(code) = codes.names().find(|code| ["access", "access-denied"].contains(code))
        {
            return Ok(err(Val::Enum(code.to_owned())));
        }
        Err(wasmtime::Error::msg(format!("it called {}, which is not available to plugins", self.name)))
    }
}

fn err(value: Val) -> Val {
    Val::Result(Err(Some(Box::new(value))))
}

fn coarse(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64)
}

fn datetime(time: Duration) -> Val {
    let field = |name: &str, value| (name.to_owned(), value);
    let nanoseconds = field("nanoseconds", Val::U32(time.subsec_nanos()));
    Val::Record(vec![field("seconds", Val::U64(time.as_secs())), nanoseconds])
}

fn random(octets: &mut [u8]) -> wasmtime::Result<()> {
    // So many come at once, getrandom(2) says.
    for part in octets.chunks_mut(256) {
        getrandom(part, GetRandomFlags::empty()).map_err(|e| wasmtime::Error::msg(format!("no random bytes: {e}")))?;
    }
    Ok(())
}

fn random_number() -> wasmtime::Result<Val> {
    let mut octets = [0; 8];
    random(&mut octets)?;
    Ok(Val::U64(u64::from_ne_bytes(octets)))
}
