//! SIGKILL of `pyro` at random moments: nothing leaks, the next run works.

use crate::home::{Home, report, signal};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

/// Kills a run after each of these fractions of what a whole one takes, on the way through all its phases.
const N_KILLS_OF_CLONES: u32 = 60;
const N_KILLS_OF_TEMPLATES: u32 = 20;

#[test]
fn killed_while_cloning_and_while_the_command_runs() {
    let home = Home::new().warmed();
    let whole = Duration::from_millis(1200);
    for turn in 0..N_KILLS_OF_CLONES {
        kill_after(&home, jitter(whole, turn));
        home.assert_nothing_left();
    }
    assert_eq!(home.stdout(&["echo", "works"]), "works\n");
    home.assert_nothing_left();
}

#[test]
fn killed_while_the_template_is_built() {
    let home = Home::new();
    let begun = Instant::now();
    home.stdout(&["true"]);
    let whole = begun.elapsed();
    for turn in 0..N_KILLS_OF_TEMPLATES {
        for folder in home.template_folders() {
            fs::remove_dir_all(folder).unwrap();
        }
        // From the first moment to a little after the last one.
        kill_after(&home, whole * (turn * 110 / N_KILLS_OF_TEMPLATES + 1) / 100);
        home.assert_nothing_runs();
    }
    // What was half built is cleared by the next one that builds.
    assert_eq!(home.stdout(&["echo", "works"]), "works\n");
    home.assert_nothing_left();
}

#[test]
fn interrupted_by_ctrl_c() {
    let home = Home::new().warmed();
    let child = home.pyro(&["run", crate::home::BASE, "--", "sleep", "1000"]);
    let child = { child }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", report(&output));
    home.assert_nothing_left();
}

fn kill_after(home: &Home, delay: Duration) {
    let mut command = home.pyro(&["run", crate::home::BASE, "--", "sh", "-c", "echo begun; sleep 1000"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Somewhere in the turn's part of the whole; the clock's nanoseconds are random enough.
fn jitter(whole: Duration, turn: u32) -> Duration {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    whole * ((turn * 37 + nanos / 1000 % 37) % 1000) / 1000
}
