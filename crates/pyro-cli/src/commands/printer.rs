//! Shows what happens on a thread of its own: a slow reader holds up the command, not the clock.

use crate::exit::Failure;
use pyro_host::error::{Error, ErrorKind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How many events may wait for a slow reader.
const WAITING_EVENTS: usize = 16;

/// How long the reader of a command that ran out of time may take for the rest of its output.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Shows one event after another.
pub trait Show<E> {
    /// Shows one.
    fn show(&mut self, event: E) -> Result<(), Error>;

    /// There are no more.
    fn finish(&mut self) {}
}

/// The thread that shows.
pub struct Printer<D> {
    thread: JoinHandle<Result<D, Error>>,
}

impl<D: Send + 'static> Printer<D> {
    /// Starts it. It ends when the sender is dropped, or when nobody reads what it prints.
    pub fn start<E: Send + 'static>(mut display: D) -> (mpsc::Sender<E>, Self)
    where
        D: Show<E>,
    {
        let (events, mut received) = mpsc::channel(WAITING_EVENTS);
        let thread = std::thread::spawn(move || {
            while let Some(event) = received.blocking_recv() {
                display.show(event)?;
            }
            display.finish();
            Ok(display)
        });
        (events, Self { thread })
    }

    /// What an operation came to, when it has dropped its sender. Its failure is told after what was shown before.
    pub fn outcome<T>(self, result: Result<T, Failure>) -> Result<(T, Self), Failure> {
        match result {
            Ok(value) => Ok((value, self)),
            // The display knows why nobody takes the output any more.
            Err(Failure::Error(error)) if error.kind() == ErrorKind::OutputClosed => {
                self.printed()?;
                Err(error.into())
            }
            Err(Failure::Error(error)) => {
                self.ends_soon();
                Err(error.into())
            }
            Err(interrupted @ Failure::Interrupted(_)) => Err(interrupted),
        }
    }

    /// Waits until everything was printed.
    pub fn printed(self) -> Result<D, Error> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Whether everything will have been printed within a moment.
    pub fn ends_soon(&self) -> bool {
        let deadline = Instant::now() + LAST_OUTPUT;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.thread.is_finished()
    }
}
