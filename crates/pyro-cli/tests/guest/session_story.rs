//! A page is written in an editor, tried in an interpreter and served, as somebody who develops would do it.

use crate::home::Home;
use crate::workspace::Workspace;
use serde_json::json;

const URL: &str = "http://127.0.0.1:8000/page.txt";

#[test]
fn a_page_is_written_tried_and_served() {
    let home = Home::new();
    let workspace = home.workspace_with_tools();
    write_page(&workspace);
    try_python(&workspace);
    serve(&workspace);
    let diff = workspace.diff();
    assert_eq!(diff["summary"]["total"], 1, "{diff:#}");
    drop(workspace);
    home.assert_nothing_left();
}

fn write_page(workspace: &Workspace<'_>) {
    let shell = workspace.shell();
    shell.line("vi page.txt");
    shell.expect("[New File]");
    shell.keys("ihello from the editor");
    shell.expect("editor");
    shell.keys("\x1b");
    shell.keys(":wq\r");
    shell.expect("22 bytes written");
    shell.expect("# ");
    assert_eq!(shell.sh("cat page.txt"), "hello from the editor\n");
    shell.done("close", &[]);
    assert_eq!(workspace.sh("cat page.txt"), "hello from the editor\n");
}

fn try_python(workspace: &Workspace<'_>) {
    let shell = workspace.shell();
    shell.line("python3 -q");
    shell.expect(">>> ");
    shell.line("print('answer', 6 * 7)");
    shell.expect("answer 42\r\n");
    shell.line("import time; print('as' + 'leep'); time.sleep(1000)");
    shell.expect("asleep");
    shell.done("signal", &["--signal", "INT"]);
    shell.expect("KeyboardInterrupt");
    shell.line("len(open('/workspace/page.txt').read())");
    shell.expect("22\r\n");
    shell.keys("\x04");
    assert_eq!(shell.sh("echo on"), "on\n");
    shell.done("close", &[]);
}

fn serve(workspace: &Workspace<'_>) {
    let command = ["--", "python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"];
    let probe = ["web", "--ready-http", URL, "--ready-timeout-seconds", "300", "--ready-interval-ms", "100"];
    let start = [&probe[..], &command].concat();
    for turn in 1..=2 {
        let started = workspace.done(&["service", "start"], &start);
        assert_eq!(started["readiness"], json!({ "type": "http", "url": URL }), "{started:#}");
        assert_eq!(started["state"], "running", "{started:#}");
        assert_eq!(workspace.sh(&format!("curl -sS {URL}")), "hello from the editor\n");
        let stderr = workspace.done(&["service", "logs"], &["web"])["stderr"].as_str().unwrap().to_owned();
        assert!(stderr.matches("GET /page.txt").count() >= 2 * turn, "{stderr}");
        // However it ends, its port is free at once.
        if turn == 1 {
            workspace.sh(&format!("kill -9 {}", started["pid"]));
            let ended = workspace.service_in("web", "exited");
            assert_eq!((&ended["signal"], &ended["exit_code"]), (&json!(9), &json!(137)), "{ended:#}");
        } else {
            assert_eq!(workspace.stop_service("web")["stop_reason"], "sigterm");
        }
    }
}
