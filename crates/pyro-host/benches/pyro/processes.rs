//! What the kernel tells of processes in `/proc`.

use crate::Result;
use std::fs;

/// What `smaps_rollup` counts for a process, in MiB: the sum of the lines that begin with these words.
pub fn memory_mib(pid: u32, words: &[&str]) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("could not read {path}: {error}"))?;
    let mut sum_kib = 0.0;
    for word in words {
        sum_kib += number(&text, word).ok_or_else(|| format!("{path} does not tell `{word}`"))?;
    }
    Ok(sum_kib / 1024.0)
}

/// How often the threads of a process have given a processor back, by themselves or not: each is a wake-up.
pub fn context_switches(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        for word in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
            sum += number(&status, word).ok_or("no context switches are told")?;
        }
    }
    Ok(sum)
}

/// The number behind a word at the beginning of a line: KiB where it is a size.
pub fn number(text: &str, word: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok())
}
