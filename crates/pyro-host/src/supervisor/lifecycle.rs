//! The life of a supervised machine, as a pure function: what is and what happens gives what is then and what is to
//! be done. Nothing else decides when files are deleted or a machine is ended.
//!
//! ```text
//!               ready            seeded
//!   Starting ─────────> Seeding ────────> Running ──stop──> Stopping ──powered off──> Ended (stopped)
//!   (create)               │                 │                  │
//!      │                   │                 ├──delete, expired─┴──────────────────> Ended (deleted)
//!      └─failed, abandoned─┴──> Ended (deleted)
//!                                            └──machine ended──────────────────────> Ended (failed)
//!   Starting ──ready──> Running
//!   (start)  ──failed─────────────────────────────────────────────────────────────> Ended (failed)
//!            ──stop───────────────────────────────────────────────────────────────> Ended (stopped)
//! ```
//!
//! What is being created leaves nothing behind unless it came to be running. What was running keeps its files unless
//! somebody wants them deleted, or its time is over.

use crate::instance::InstanceState;

/// Where a supervised machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The machine is being started.
    Starting {
        /// For the first time, by a client that waits and has to seed it.
        creating: bool,
    },
    /// The machine runs, and its creator seeds it.
    Seeding,
    /// The machine runs and serves.
    Running,
    /// The machine is turning itself off.
    Stopping,
    /// All is over.
    Ended,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The machine takes commands.
    Ready,
    /// The machine could not be started.
    StartFailed(String),
    /// The creator has seeded it, and is content.
    Seeded,
    /// The client that started this supervisor is gone.
    CreatorGone,
    /// Somebody wants it stopped, with its files kept. A request, or a signal to the supervisor.
    Stop,
    /// Somebody wants it gone.
    Delete,
    /// Its time to live is over.
    Expired,
    /// The machine has ended by itself.
    MachineEnded(String),
    /// The machine was asked to turn itself off, and is off.
    PoweredOff {
        /// What went wrong, where it had to be killed.
        trouble: Option<String>,
    },
}

/// Something to be done. In the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write the state into the record, with the reason of a failure.
    Record(InstanceState, Option<String>),
    /// Tell the client that started this supervisor that all is well so far.
    TellReady,
    /// Tell it that there will be no machine. It knows why.
    TellFailed,
    /// Ask the machine to turn itself off.
    PowerOff,
    /// End the machine at once.
    Kill,
    /// Delete every file.
    DeleteFiles,
    /// End the supervisor.
    Exit,
}

impl State {
    /// What follows from an event.
    pub fn step(self, event: Event) -> (Self, Vec<Action>) {
        match self {
            Self::Starting { creating: true } => Self::step_creating(&event),
            Self::Starting { creating: false } => Self::step_starting(event),
            Self::Seeding => Self::step_seeding(&event),
            Self::Running => Self::step_running(event),
            Self::Stopping => Self::step_stopping(event),
            Self::Ended => (Self::Ended, Vec::new()),
        }
    }

    fn step_creating(event: &Event) -> (Self, Vec<Action>) {
        match event {
            Event::Ready => (Self::Seeding, vec![Action::TellReady]),
            Event::StartFailed(_) | Event::MachineEnded(_) => {
                (Self::Ended, vec![Action::TellFailed, Action::Kill, Action::DeleteFiles, Action::Exit])
            }
            Event::CreatorGone | Event::Stop | Event::Delete | Event::Expired => deleted(),
            Event::Seeded | Event::PoweredOff { .. } => (Self::Starting { creating: true }, Vec::new()),
        }
    }

    fn step_starting(event: Event) -> (Self, Vec<Action>) {
        match event {
            Event::Ready => {
                (Self::Running, vec![Action::Record(InstanceState::Started, None), Action::TellReady])
            }
            Event::StartFailed(why) | Event::MachineEnded(why) => {
                let record = Action::Record(InstanceState::Failed, Some(why));
                (Self::Ended, vec![Action::Kill, record, Action::TellFailed, Action::Exit])
            }
            Event::Stop => {
                let record = Action::Record(InstanceState::Stopped, None);
                (Self::Ended, vec![Action::Kill, record, Action::TellFailed, Action::Exit])
            }
            Event::Delete | Event::Expired => deleted(),
            Event::CreatorGone | Event::Seeded | Event::PoweredOff { .. } => {
                (Self::Starting { creating: false }, Vec::new())
            }
        }
    }

    fn step_seeding(event: &Event) -> (Self, Vec<Action>) {
        match event {
            Event::Seeded => (Self::Running, vec![Action::Record(InstanceState::Started, None)]),
            Event::Ready | Event::PoweredOff { .. } => (Self::Seeding, Vec::new()),
            Event::CreatorGone
            | Event::Stop
            | Event::Delete
            | Event::Expired
            | Event::StartFailed(_)
            | Event::MachineEnded(_) => deleted(),
        }
    }

    fn step_running(event: Event) -> (Self, Vec<Action>) {
        match event {
            Event::Stop => (Self::Stopping, vec![Action::PowerOff]),
            Event::Delete | Event::Expired => deleted(),
            Event::MachineEnded(why) | Event::StartFailed(why) => {
                let record = Action::Record(InstanceState::Failed, Some(why));
                (Self::Ended, vec![Action::Kill, record, Action::Exit])
            }
            Event::Ready | Event::Seeded | Event::CreatorGone | Event::PoweredOff { .. } => {
                (Self::Running, Vec::new())
            }
        }
    }

    fn step_stopping(event: Event) -> (Self, Vec<Action>) {
        let stopped = |trouble| {
            let record = Action::Record(InstanceState::Stopped, trouble);
            (Self::Ended, vec![Action::Kill, record, Action::Exit])
        };
        match event {
            Event::PoweredOff { trouble } => stopped(trouble),
            Event::MachineEnded(_) => stopped(None),
            Event::Delete | Event::Expired => deleted(),
            Event::Ready | Event::StartFailed(_) | Event::Seeded | Event::CreatorGone | Event::Stop => {
                (Self::Stopping, Vec::new())
            }
        }
    }
}

fn deleted() -> (State, Vec<Action>) {
    (State::Ended, vec![Action::Kill, Action::DeleteFiles, Action::Exit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Ready),
            1 => Just(Event::StartFailed("why".into())),
            3 => Just(Event::Seeded),
            1 => Just(Event::CreatorGone),
            1 => Just(Event::Stop),
            1 => Just(Event::Delete),
            1 => Just(Event::Expired),
            1 => Just(Event::MachineEnded("why".into())),
            1 => Just(Event::PoweredOff { trouble: None }),
            1 => Just(Event::PoweredOff { trouble: Some("why".into()) }),
        ]
    }

    /// Everything that was done over a life, each with the state and the event that led to it.
    fn live(creating: bool, events: Vec<Event>) -> Vec<(State, Event, Action)> {
        let mut state = State::Starting { creating };
        let mut done = Vec::new();
        for event in events {
            let (next, actions) = state.step(event.clone());
            done.extend(actions.into_iter().map(|action| (state, event.clone(), action)));
            state = next;
        }
        done
    }

    proptest! {
        #[test]
        fn every_life_ends_once_and_nothing_happens_after(
            creating: bool, events in proptest::collection::vec(any_event(), 0..40),
        ) {
            let done = live(creating, events);
            let exits: Vec<usize> =
                done.iter().enumerate().filter(|(_, done)| done.2 == Action::Exit).map(|(at, _)| at).collect();
            prop_assert!(exits.len() <= 1);
            if let Some(&at) = exits.first() {
                prop_assert_eq!(at, done.len() - 1);
                let killed = done.iter().position(|done| done.2 == Action::Kill);
                prop_assert!(killed.is_some_and(|killed| killed < at), "a machine outlives its supervisor");
            }
        }

        #[test]
        fn files_are_deleted_only_when_somebody_wants_that_or_nothing_came_to_be(
            creating: bool, events in proptest::collection::vec(any_event(), 0..40),
        ) {
            for (state, event, action) in live(creating, events) {
                if action == Action::DeleteFiles {
                    let unfinished = matches!(state, State::Starting { creating: true } | State::Seeding);
                    prop_assert!(unfinished || matches!(event, Event::Delete | Event::Expired));
                }
            }
        }

        #[test]
        fn a_record_never_tells_of_what_is_still_being_made(
            events in proptest::collection::vec(any_event(), 0..40),
        ) {
            let mut seeded = false;
            for (_, event, action) in live(true, events) {
                seeded |= event == Event::Seeded;
                if let Action::Record(..) = action {
                    prop_assert!(seeded);
                }
            }
        }

        #[test]
        fn the_client_is_told_once(creating: bool, events in proptest::collection::vec(any_event(), 0..40)) {
            let told = live(creating, events).into_iter().filter(|done| {
                matches!(done.2, Action::TellReady | Action::TellFailed)
            });
            prop_assert!(told.count() <= 1);
        }
    }

    #[test]
    fn files_survive_everything_that_can_happen_to_a_running_machine() {
        for event in [Event::Stop, Event::MachineEnded("why".into()), Event::CreatorGone] {
            let (_, actions) = State::Running.step(event);
            assert!(!actions.contains(&Action::DeleteFiles));
        }
    }
}
