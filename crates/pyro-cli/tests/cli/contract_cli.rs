//! The command line as its own help tells of it, from `pyro --help` down.

use std::process::Command;

/// Every command with what it takes, one thing a line.
pub fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    tell(&["pyro".to_owned()], &mut lines);
    lines.extend(["pyro --help", "pyro --version"].map(str::to_owned));
    lines
}

fn tell(path: &[String], lines: &mut Vec<String>) {
    let name = path.join(" ");
    let page = Page::of(path);
    lines.push(name.clone());
    lines.extend(page.usages.iter().map(|usage| format!("{name} usage: {usage}")));
    let of_all = |entry: &&String| ["--help", "--version"].contains(&entry.as_str());
    assert_eq!(page.entries.iter().filter(of_all).count(), 2, "{name} has no --help, or no --version");
    lines.extend(page.entries.iter().filter(|entry| !of_all(entry)).map(|entry| format!("{name} {entry}")));
    for command in page.commands.iter().filter(|command| *command != "help") {
        tell(&[path, std::slice::from_ref(command)].concat(), lines);
    }
}

/// A help page.
#[derive(Default)]
struct Page {
    usages: Vec<String>,
    commands: Vec<String>,
    /// Arguments and flags.
    entries: Vec<String>,
}

impl Page {
    fn of(path: &[String]) -> Self {
        let mut pyro = Command::new(env!("CARGO_BIN_EXE_pyro"));
        pyro.args(&path[1..]).arg("--help");
        // Their values would stand in the pages.
        for variable in ["PYRO_ACCEL", "PYRO_DEBIAN_MIRROR"] {
            pyro.env_remove(variable);
        }
        let output = pyro.output().unwrap();
        assert!(output.status.success(), "{path:?}: {}", String::from_utf8_lossy(&output.stderr));
        Self::parse(&String::from_utf8(output.stdout).unwrap())
    }

    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut section = "";
        let mut entries: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            match line {
                "Commands:" | "Arguments:" | "Options:" => section = line,
                _ if line.starts_with("Usage: ") => {
                    section = "Usage:";
                    page.usages.push(line["Usage: ".len()..].to_owned());
                }
                _ if indent == 0 && !line.is_empty() => section = "",
                _ if section == "Usage:" && !line.is_empty() => page.usages.push(line.trim().to_owned()),
                _ if section == "Commands:" && indent == 2 => {
                    page.commands.extend(line.split_whitespace().next().map(str::to_owned));
                }
                _ if section == "Arguments:" || section == "Options:" => match (indent, entries.last_mut()) {
                    (2..=6, _) => {
                        let (header, rest) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
                        entries.push((header.to_owned(), rest.to_owned()));
                    }
                    (_, Some((_, text))) => *text += &format!(" {}", line.trim()),
                    (_, None) => {}
                },
                _ => {}
            }
        }
        page.entries = entries.iter().map(|(header, text)| entry(header, text)).collect();
        page
    }
}

/// What is typed, without the short form of a flag, with what is said of its value.
fn entry(header: &str, text: &str) -> String {
    let typed = header.split_once(", --").map_or(header.to_owned(), |(_, long)| format!("--{long}"));
    let facts = ["default", "env", "possible values"].iter().filter_map(|fact| {
        let (_, rest) = text.split_once(&format!("[{fact}: "))?;
        Some(format!(" [{fact}: {}]", rest.split(']').next()?.trim_end_matches('=')))
    });
    typed + &facts.collect::<String>()
}

#[test]
fn a_page_is_read_to_its_end() {
    let page = Page::parse(
        "About\n\nUsage: pyro x [OPTIONS] <A>\n       pyro x <COMMAND>\n\nCommands:\n  one  First\n       more\n  two  Second\n\n\
         Arguments:\n  <A>  The [odd] thing [possible values: b,\n       c]\n\nOptions:\n      --flag <N>\n          Text --no\n          \n          \
         [env: E=]\n          [default: a-b]\n\n  -h, --help\n          Print help\n\nExamples:\n  pyro x --not-a-flag\n",
    );
    assert_eq!(page.usages, ["pyro x [OPTIONS] <A>", "pyro x <COMMAND>"]);
    assert_eq!(page.commands, ["one", "two"]);
    assert_eq!(page.entries, ["<A> [possible values: b, c]", "--flag <N> [default: a-b] [env: E]", "--help"]);
}
