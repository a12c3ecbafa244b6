//! Whole runs, cold and warm, and bare clones, in turns.

use crate::Result;
use crate::arguments::Arguments;
use crate::executable::{Executable, Parts};
use crate::run::floor::Floor;
use crate::samples::{Samples, milliseconds};

/// Milliseconds of everything that took place in turns.
#[derive(Default)]
pub struct Runs {
    pub cold: Samples,
    pub warm: Samples,
    pub parts: Vec<Parts>,
    pub floor: Samples,
    pub floor_in_guest: Samples,
}

impl Runs {
    /// Measures. Cold runs are spread over the rounds.
    pub fn measure(executable: &Executable, floor: &Floor<'_>, arguments: &Arguments) -> Result<Self> {
        let mut runs = Self::default();
        floor.time_one()?;
        for round in 0..arguments.runs {
            let due = (round + 1) * arguments.cold_runs / arguments.runs;
            for _ in runs.cold.count()..due {
                runs.cold.add(executable.time_run(&["--cold"])?);
            }
            runs.warm.add(executable.time_run(&[])?);
            let timing = floor.time_one()?;
            runs.floor.add(milliseconds(timing.total));
            runs.floor_in_guest.add(milliseconds(timing.in_guest));
            runs.parts.push(executable.parts()?);
        }
        Ok(runs)
    }

    /// One part of the runs with `--json`.
    pub fn part(&self, part: impl Fn(&Parts) -> f64) -> Samples {
        let mut samples = Samples::default();
        self.parts.iter().for_each(|parts| samples.add(part(parts)));
        samples
    }
}
