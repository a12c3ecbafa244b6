//! Shells in a real guest: programs of a terminal, jobs, signals, what is read by cursor, and what is left when one is
//! closed.

use crate::home::{Home, report, wait_until};
use crate::shell::Shell;
use crate::workspace::Workspace;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn programs_find_a_terminal() {
    let home = Home::new();
    let workspace = home.workspace();
    check_terminal(&workspace);
    let shell = workspace.shell();
    check_pager(&shell);
    check_interrupt(&shell);
    check_jobs(&shell);
    check_exit(&shell);
    assert_eq!(workspace.diff()["changed"], false);
    assert!(workspace.entries().iter().all(|entry| !entry["command"].to_string().contains("begun")));
    drop(workspace);
    home.assert_nothing_left();
}

fn check_terminal(workspace: &Workspace<'_>) {
    let opened = workspace.done(&["shell", "open"], &["--cols", "200", "--rows", "24", "--cwd", "/root/."]);
    let id = opened["shell_id"].as_str().unwrap();
    assert_eq!(
        (&opened["cwd"], &opened["cols"], &opened["rows"]),
        (&json!("/root"), &json!(200), &json!(24))
    );
    assert_eq!((&opened["state"], &opened["exit_code"]), (&json!("running"), &Value::Null), "{opened:#}");
    let shell = workspace.shell_of(id);
    assert_eq!(
        shell.sh("pwd; stty size; echo $TERM; shopt -q login_shell"),
        "/root\n24 200\nxterm-256color\n"
    );
    let resized = shell.done("resize", &["--cols", "180", "--rows", "25"]);
    assert_eq!((&resized["cols"], &resized["rows"]), (&json!(180), &json!(25)), "{resized:#}");
    wait_until("the guest knows", || shell.sh("stty size") == "25 180\n");
    assert_eq!(shell.status()["cols"], 180);
    let tty = shell.sh("tty");
    let name = tty.trim().strip_prefix("/dev/").unwrap();
    assert!(name.strip_prefix("pts/").unwrap().parse::<u32>().is_ok(), "{tty}");
    assert_eq!(shell.sh("ps -o tty= -p $$").trim(), name);
    assert_eq!(
        shell
            .sh("ps -o tpgid= -p $$; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo is a terminal; :")
            .lines()
            .last(),
        Some("is a terminal")
    );
    // Each has one of its own.
    let other = workspace.shell();
    assert_ne!(other.sh("tty"), tty);
    assert_eq!(other.sh("pwd"), "/workspace\n");
    for size in
        [["--cols", "1", "--rows", "25"], ["--cols", "80", "--rows", "0"], ["--cols", "1001", "--rows", "1"]]
    {
        assert_eq!(shell.refused("resize", &size)["kind"], "invalid_argument");
        assert_eq!(workspace.refused(&["shell", "open"], &size)["kind"], "invalid_argument");
    }
    let error = workspace.refused(&["shell", "open"], &["--cwd", "/no/such/place"]);
    assert_eq!(error["kind"], "exec_not_started", "{error:#}");
    for it in [&shell, &other] {
        assert_eq!(it.done("close", &[])["state"], "closed");
    }
    let list = workspace.done(&["shell", "list"], &[]);
    assert_eq!((&list["count"], &list["running_count"]), (&json!(2), &json!(0)), "{list:#}");
}

fn check_pager(shell: &Shell<'_, '_>) {
    shell.sh("seq -f 'line %g' 1000 > /root/lines");
    shell.done("resize", &["--cols", "100", "--rows", "24"]);
    let before = shell.cursor();
    shell.line("less /root/lines");
    shell.expect("line 23");
    shell.expect("/root/lines");
    let read = shell.read(before, &["--plain"]);
    let plain = read["output"].as_str().unwrap();
    let lines: Vec<&str> = plain.lines().filter(|line| line.starts_with("line ")).map(str::trim).collect();
    assert_eq!(lines, (1..=23).map(|line| format!("line {line}")).collect::<Vec<_>>(), "{plain}");
    assert!(!plain.contains('\x1b') && !plain.contains('\r'), "{plain:?}");
    assert!(shell.read(before, &[])["output"].as_str().unwrap().contains('\x1b'));
    shell.keys("G");
    shell.expect("line 1000");
    shell.keys("q");
    // A pager that is told of another size while it takes a key may lose the key.
    shell.expect("# ");
    shell.done("resize", &["--cols", "400", "--rows", "30"]);
    assert_eq!(shell.sh("echo back"), "back\n");
}

fn check_interrupt(shell: &Shell<'_, '_>) {
    for (signal, code, words) in
        [("INT", 130, "sleep 1001"), ("SIGTERM", 143, "sleep 1002"), ("kill", 137, "sleep 1003")]
    {
        shell.begin(words, words);
        let begun = Instant::now();
        let signalled = shell.done("signal", &["--signal", signal]);
        let name = signal.to_uppercase();
        assert_eq!(signalled["signal"], name.trim_start_matches("SIG"), "{signalled:#}");
        shell.line("echo was \"[$?]\"");
        shell.expect(&format!("was [{code}]"));
        assert!(begun.elapsed() < Duration::from_secs(60), "{signal}: {:?}", begun.elapsed());
        assert!(shell.workspace.processes(words).is_empty());
    }
    assert_eq!(shell.refused("signal", &["--signal", "USR1"])["kind"], "invalid_argument");
    // INT is what it is without a word.
    shell.begin("sleep 1004", "sleep 1004");
    assert_eq!(shell.done("signal", &[])["signal"], "INT");
    shell.line("echo was \"[$?]\"");
    shell.expect("was [130]");
}

fn check_jobs(shell: &Shell<'_, '_>) {
    shell.begin("sleep 1005", "sleep 1005");
    shell.keys("\x1a");
    shell.expect("Stopped");
    let jobs = shell.sh("jobs");
    assert!(jobs.contains("Stopped") && jobs.contains("sleep 1005"), "{jobs}");
    shell.line("fg");
    let is_in_foreground = || {
        let listing = shell.workspace.sh("ps -eo stat=,args=");
        listing
            .lines()
            .any(|line| line.ends_with("sleep 1005") && line.starts_with('S') && line.contains('+'))
    };
    wait_until("it is in the foreground", is_in_foreground);
    shell.keys("\x03");
    shell.line("echo was \"[$?]\"");
    shell.expect("was [130]");
    assert_eq!(shell.sh("jobs"), "");
}

fn check_exit(shell: &Shell<'_, '_>) {
    shell.line("echo last words; exit 3");
    let ended = shell.status_in("exited");
    assert_eq!(ended["exit_code"], 3, "{ended:#}");
    assert!(ended["ended_at"].as_f64() > ended["started_at"].as_f64(), "{ended:#}");
    let read = shell.read(shell.cursor(), &["--wait-for-idle-ms", "60000"]);
    assert!(read["output"].as_str().unwrap().contains("last words\r\n"), "{read:#}");
    assert_eq!((&read["idle"], &read["state"]), (&json!(true), &json!("exited")), "{read:#}");
    for (verb, more) in
        [("write", &["--input", "x"][..]), ("signal", &[]), ("resize", &["--cols", "9", "--rows", "9"])]
    {
        let error = shell.refused(verb, more);
        assert_eq!(error["kind"], "wrong_state", "{verb}: {error:#}");
        assert!(error["message"].as_str().unwrap().contains("(exited)"), "{verb}: {error:#}");
    }
    let closed = shell.done("close", &[]);
    assert_eq!((&closed["state"], &closed["exit_code"]), (&json!("closed"), &json!(3)), "{closed:#}");
    assert_eq!(shell.status()["state"], "closed");
}

#[test]
fn what_a_shell_shows_is_read_by_cursor() {
    let home = Home::new();
    let workspace = home.workspace();
    let shell = workspace.shell();
    check_characters(&shell);
    check_readers(&shell);
    check_idle(&shell);
    check_refusals(&home, &shell);
    drop(shell);
    drop(workspace);
    home.assert_nothing_left();
}

fn check_characters(shell: &Shell<'_, '_>) {
    let text = "Grüße, 日本 – naïve 😀👍🏽 e\u{301}";
    shell.begin("cat > /root/text; stat -c '%s bytes' /root/text", "cat");
    let written = shell.done("write", &["--input", text]);
    let (length, newline) = (&written["input_length"], &written["append_newline"]);
    assert_eq!((length, newline), (&json!(text.chars().count()), &json!(true)), "{written:#}");
    shell.expect(text); // as the terminal echoes it
    shell.keys("\x04");
    shell.expect(&format!("{} bytes", text.len() + 1));
    assert_eq!(shell.workspace.sh("cat /root/text"), format!("{text}\n"));
    let from = shell.cursor();
    // A character in pieces, and bytes that are none.
    shell.line("echo h''ere; cat /root/text; printf '\\xf0\\x9f'; sleep 0.5; printf '\\x98\\x80|\\xff|\\xe2\\x82|\\n'; echo d''one");
    let shown = shell.expect("done");
    let expected = format!("here\r\n{text}\r\n😀|\u{fffd}|\u{fffd}|\r\ndone");
    assert!(shown.ends_with(&expected), "{shown:?}");
    let (mut one_by_one, mut cursor) = (String::new(), shell.cursor() - expected.chars().count() as u64);
    assert!(cursor > from);
    while cursor < shell.cursor() {
        let read = shell.read(cursor, &["--max-chars", "1"]);
        let character = read["output"].as_str().unwrap();
        assert_eq!((character.chars().count(), &read["next_cursor"]), (1, &json!(cursor + 1)), "{read:#}");
        assert_eq!((&read["cursor"], &read["truncated"]), (&json!(cursor), &json!(false)), "{read:#}");
        one_by_one += character;
        cursor += 1;
    }
    assert_eq!(one_by_one, expected);
    // Typed into the line editor it is what it is, too.
    assert_eq!(shell.sh(&format!("echo '{text}'")), format!("{text}\n"));
}

fn check_readers(shell: &Shell<'_, '_>) {
    shell.sh("seq 2000");
    let whole = shell.read(0, &["--max-chars", "4194304"]);
    let end = whole["next_cursor"].as_u64().unwrap();
    let text = whole["output"].as_str().unwrap();
    assert_eq!(text.chars().count() as u64, end);
    let by_pieces = |size: u64| {
        let (mut all, mut cursor) = (String::new(), 0);
        while cursor < end {
            let read = shell.read(cursor, &["--max-chars", &size.min(end - cursor).to_string()]);
            all += read["output"].as_str().unwrap();
            cursor = read["next_cursor"].as_u64().unwrap();
        }
        all
    };
    // One after the other and both at once.
    std::thread::scope(|scope| {
        let readers = [1000, 777].map(|size| (size, &shell.id, shell.workspace));
        for (size, id, workspace) in readers {
            scope.spawn(move || {
                let (shell, mut all, mut cursor) = (workspace.shell_of(id), String::new(), 0);
                while cursor < end {
                    let read = shell.read(cursor, &["--max-chars", &size.min(end - cursor).to_string()]);
                    all += read["output"].as_str().unwrap();
                    cursor = read["next_cursor"].as_u64().unwrap();
                }
                assert!(all == text, "in pieces of {size}");
            });
        }
    });
    assert!(by_pieces(4096) == text);
    let beyond = shell.read(end + 1000, &[]);
    assert_eq!((&beyond["output"], &beyond["truncated"]), (&json!(""), &json!(false)), "{beyond:#}");
}

fn check_idle(shell: &Shell<'_, '_>) {
    let from = shell.cursor();
    shell.line("for i in 1 2 3 4 5; do sleep 0.2; echo tick; done; echo la''st");
    let begun = Instant::now();
    let read = shell.read(from, &["--wait-for-idle-ms", "4000"]);
    let output = read["output"].as_str().unwrap();
    assert!(output.contains("last\r\n") && output.matches("tick\r\n").count() == 5, "{read:#}");
    assert_eq!(read["idle"], true, "{read:#}");
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    shell.expect("last\r\n");
    // As soon as there is as much as may be given there is nothing to wait for.
    let from = read["next_cursor"].as_u64().unwrap();
    shell.line("seq 100; read line");
    let begun = Instant::now();
    let read = shell.read(from, &["--max-chars", "50", "--wait-for-idle-ms", "40000"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(read["output"].as_str().unwrap().chars().count(), 50, "{read:#}");
    assert_eq!((&read["idle"], &read["next_cursor"]), (&json!(false), &json!(from + 50)), "{read:#}");
    shell.line("");
    assert_eq!(shell.sh("echo on"), "on\n");
    for options in [["--max-chars", "0"], ["--max-chars", "4194305"], ["--wait-for-idle-ms", "0"]] {
        assert_eq!(shell.refused("read", &options)["kind"], "invalid_argument", "{options:?}");
    }
}

/// Shells of somebody else, and what is none.
fn check_refusals(home: &Home, shell: &Shell<'_, '_>) {
    let other = home.workspace();
    let verbs = [
        ("read", &[][..]),
        ("write", &["--input", "x"]),
        ("signal", &[]),
        ("resize", &["--cols", "9", "--rows", "9"]),
        ("close", &[]),
    ];
    for id in [shell.id.as_str(), "sh-000000000000", "../../record.json", "sh-"] {
        for (verb, more) in verbs {
            let error = other.refused(&["shell", verb], &[&[id], more].concat());
            assert_eq!(error["kind"], "not_found", "{verb} {id}: {error:#}");
            assert!(error["hint"].is_string(), "{error:#}");
        }
    }
    assert_eq!(other.done(&["shell", "list"], &[])["count"], 0);
    let attach = other.command(&["shell", "attach"], &[&shell.id, "--read-only"]).output().unwrap();
    assert_eq!(attach.status.code(), Some(125), "{}", report(&attach));
    assert_eq!(shell.sh("echo unharmed"), "unharmed\n");
    let human = shell.workspace.command(&["shell", "open"], &["--id-only"]).output().unwrap();
    assert!(human.stdout.starts_with(b"sh-") && human.stdout.len() == 16, "{}", report(&human));
}

#[test]
fn a_shell_that_is_closed_leaves_nothing_running() {
    let home = Home::new();
    let workspace = home.workspace();
    let shell = workspace.shell();
    let bystander = workspace.shell();
    workspace.serve("bystander", &[], "exec sleep 66666");
    bystander.begin("sleep 55555", "sleep 55555");
    shell.line("sleep 11111 & disown; nohup sleep 22222 > /dev/null 2>&1 & setsid sleep 33333 & set +m; sleep 44444 &");
    shell.begin("trap '' HUP TERM; (sleep 77777; true)", "sleep 77777");
    let all = ["sleep 11111", "sleep 22222", "sleep 33333", "sleep 44444", "sleep 77777"];
    for words in all {
        wait_until(words, || !workspace.processes(words).is_empty());
    }
    let closed = shell.done("close", &[]);
    assert_eq!(closed["state"], "closed", "{closed:#}");
    assert!(closed["ended_at"].is_f64() && closed["exit_code"].is_i64(), "{closed:#}");
    for words in all {
        assert!(workspace.processes(words).is_empty(), "{words} is left");
    }
    assert_eq!(workspace.processes("sleep 55555").len(), 1);
    assert_eq!(workspace.processes("sleep 66666").len(), 1);
    assert_eq!(shell.done("close", &[]), closed);
    assert!(shell.read(0, &[])["output"].as_str().unwrap().contains("nohup"));
    assert_eq!(shell.refused("write", &["--input", "x"])["kind"], "wrong_state");
    // One that ends by itself takes with it what it has left, too.
    let other = workspace.shell();
    other.line("setsid sleep 88888 & sleep 99999 & disown -a; exit 0");
    assert_eq!(other.status_in("exited")["exit_code"], 0);
    for words in ["sleep 88888", "sleep 99999"] {
        assert!(workspace.processes(words).is_empty(), "{words} is left");
    }
    // And the workspace takes them all.
    workspace.stop();
    let stopped = bystander.status();
    assert_eq!(stopped["state"], "closed", "{stopped:#}");
    assert!(bystander.read(0, &[])["output"].as_str().unwrap().contains("sleep 55555"));
    assert_eq!(bystander.refused("write", &["--input", "x"])["kind"], "wrong_state");
    assert_eq!(workspace.refused(&["shell", "open"], &[])["kind"], "wrong_state");
    workspace.start();
    let list = workspace.done(&["shell", "list"], &[]);
    assert_eq!((&list["count"], &list["running_count"]), (&json!(3), &json!(0)), "{list:#}");
    assert_eq!(bystander.refused("write", &["--input", "x"])["kind"], "wrong_state");
    assert_eq!(workspace.shell().sh("echo again"), "again\n");
    drop((shell, bystander, other));
    drop(workspace);
    home.assert_nothing_left();
}
