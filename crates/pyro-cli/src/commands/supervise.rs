//! `pyro supervise`: what a workspace is run by. Started by pyro itself, never typed.

use crate::exit::Failure;
use clap::Parser;
use pyro_host::error::{Context, Error, ErrorKind};
use pyro_host::supervisor::{SupervisorDescriptors, supervise};

/// Run one workspace or VM. Started by pyro itself.
#[derive(Debug, Parser)]
#[command(name = "pyro supervise")]
pub struct Supervise {
    /// The numbers of the inherited descriptors: that which leads to the client, and that which holds the lock.
    #[arg(value_name = "DESCRIPTOR")]
    descriptors: Vec<String>,
}

impl Supervise {
    pub fn execute(self) -> Result<u8, Failure> {
        let numbers: Vec<i32> = self.descriptors.iter().filter_map(|number| number.parse().ok()).collect();
        let ([lifeline, lock], true) = (&numbers[..], numbers.len() == self.descriptors.len()) else {
            return Err(Error::invalid(message()).with_hint(HINT).into());
        };
        let taken = SupervisorDescriptors::from_numbers(*lifeline, *lock);
        let descriptors = taken.failing(ErrorKind::InvalidArgument, message);
        supervise(descriptors.map_err(|error| error.with_hint(HINT))?)?;
        Ok(0)
    }
}

const HINT: &str = "`pyro workspace create` and `pyro workspace start` start what they need by themselves";

fn message() -> String {
    "`pyro supervise` is started by pyro itself, with two descriptors".into()
}
