//! Much output, much input, many runs.

use crate::home::{BASE, Home, feed, report};
use std::process::Stdio;

const MEGABYTE: usize = 1_000_000;

#[test]
fn a_hundred_megabytes_of_output() {
    let home = Home::new().warmed();
    let output = home.run(&["sh", "-c", "yes 0123456789abcdef | head -c 100000000"]);
    assert!(output.status.success(), "{}", report(&output));
    let expected = b"0123456789abcdef\n".iter().copied().cycle().take(100 * MEGABYTE);
    assert!(output.stdout.iter().copied().eq(expected), "{} bytes came", output.stdout.len());
    home.assert_nothing_left();
}

#[test]
fn a_hundred_megabytes_of_input() {
    let home = Home::new().warmed();
    let mut command = home.pyro(&["run", BASE, "--timeout-seconds", "300", "--", "cksum"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input: Vec<u8> = (0..100 * MEGABYTE).map(|index| (index * 31 / 7) as u8).collect();
    let here = cksum_here(&input);
    let output = feed(child, input);
    assert!(output.status.success(), "{}", report(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), here);
    home.assert_nothing_left();
}

fn cksum_here(input: &[u8]) -> String {
    let child =
        std::process::Command::new("cksum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    String::from_utf8(feed(child, input.to_vec()).stdout).unwrap().trim().to_owned()
}

#[test]
fn more_output_than_json_holds_is_cut_and_said_so() {
    let home = Home::new().warmed();
    let json = home.json(&[], &["sh", "-c", "yes | head -c 10000000"]);
    assert_eq!(json["truncated"], true);
    assert_eq!(json["stdout"].as_str().unwrap().len(), 8 * 1024 * 1024);
    assert_eq!(json["exit_code"], 0);
    home.assert_nothing_left();
}

#[test]
fn two_hundred_runs_one_after_the_other() {
    let home = Home::new().warmed();
    for index in 0..200 {
        assert_eq!(home.stdout(&["echo", &index.to_string()]), format!("{index}\n"));
    }
    home.assert_nothing_left();
}

#[test]
fn eight_runs_at_the_same_time() {
    // Not warmed: the first of them builds the template, the others wait for it.
    let home = Home::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|index| {
                let home = &home;
                scope.spawn(move || home.stdout(&["sh", "-c", &format!("sleep 1; echo {index}")]))
            })
            .collect();
        for (index, run) in runs.into_iter().enumerate() {
            assert_eq!(run.join().unwrap(), format!("{index}\n"));
        }
    });
    assert_eq!(home.template_folders().len(), 1);
    home.assert_nothing_left();
}
