//! The MCP server in front of real guests, called through a real client: every result is checked against its schema.

use crate::home::{BASE, Home};
use crate::mcp_client::Client;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_workspace_lives_its_life_through_tools() {
    let home = Home::new();
    let files = tempfile::tempdir().unwrap();
    block_on(async {
        let client = Client::legacy(&home).await;
        let seed = files.path().join("seed");
        fs::create_dir(&seed).unwrap();
        fs::write(seed.join("greeting"), "hello\n").unwrap();
        let arguments = json!({"environment": BASE, "seed_path": seed, "ttl_seconds": 7200});
        let created = client.done("workspace_create", arguments).await;
        assert_eq!(created["workspace_seed"]["mode"], "directory");
        assert!(client.told().contains("booting a machine"), "{}", client.told());
        let id = created["workspace_id"].as_str().unwrap();
        work(&client, id, files.path()).await;
        serve(&client, id).await;
        type_in(&client, id).await;

        let status = client.done("workspace_status", json!({"workspace_id": id})).await;
        assert_eq!((&status["service_count"], &status["command_count"]), (&json!(1), &json!(2)));
        let deleted = client.done("workspace_delete", json!({"workspace_id": id})).await;
        assert_eq!(deleted["deleted"], true);
        client.end().await;
    });
    home.assert_nothing_left();
}

async fn work(client: &Client, id: &str, files: &Path) {
    let update = files.join("update");
    fs::create_dir(&update).unwrap();
    fs::write(update.join("more"), "more\n").unwrap();
    let arguments = json!({"workspace_id": id, "source_path": update, "dest": "/workspace/in"});
    assert_eq!(client.done("workspace_sync_push", arguments).await["entry_count"], 1);
    let command = "cat greeting in/more; echo bye > greeting; echo err >&2; exit 7";
    let done = client.done("workspace_exec", json!({"workspace_id": id, "command": command})).await;
    assert_eq!((&done["stdout"], &done["stderr"]), (&json!("hello\nmore\n"), &json!("err\n")));
    assert_eq!((&done["exit_code"], &done["execution_mode"]), (&json!(7), &json!("guest")));
    let words = json!({"workspace_id": id, "command": ["printf", "%s|", "a b", "c"]});
    assert_eq!(client.done("workspace_exec", words).await["stdout"], "a b|c|");

    let diff = client.done("workspace_diff", json!({"workspace_id": id})).await;
    assert_eq!(diff["summary"]["modified"], 1, "{diff:#}");
    assert!(diff["patch"].as_str().unwrap().contains("-hello\n+bye\n"), "{diff:#}");
    let output = files.join("exported");
    let arguments = json!({"workspace_id": id, "path": "greeting", "output_path": output});
    client.done("workspace_export", arguments).await;
    assert_eq!(fs::read_to_string(&output).unwrap(), "bye\n");
    let logs = client.done("workspace_logs", json!({"workspace_id": id})).await;
    assert_eq!((&logs["count"], &logs["entries"][0]["exit_code"]), (&json!(2), &json!(7)));
}

async fn serve(client: &Client, id: &str) {
    let of = json!({"workspace_id": id, "service_name": "ticker"});
    let with = |more: Value| {
        let mut arguments = of.clone();
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let failing =
        with(json!({"command": "echo no such port; exit 1", "readiness": {"type": "file", "path": "up"}}));
    let failed = client.refused("service_start", failing).await;
    assert_eq!(failed["kind"], "service_failed");
    assert!(failed["message"].as_str().unwrap().contains("no such port"), "{failed:#}");
    assert!(failed["hint"].as_str().unwrap().contains("service_logs"), "{failed:#}");

    let command = "echo ticking; touch up; exec sleep 100000";
    let started = with(json!({"command": command, "readiness": {"type": "file", "path": "up"}}));
    let started = client.done("service_start", started).await;
    assert_eq!(
        (&started["state"], &started["readiness"]["path"]),
        (&json!("running"), &json!("/workspace/up"))
    );
    let list = client.done("service_list", json!({"workspace_id": id})).await;
    assert_eq!((&list["count"], &list["running_count"]), (&json!(1), &json!(1)));
    assert_eq!(client.done("service_status", of.clone()).await["state"], "running");
    assert!(client.done("service_logs", of.clone()).await["stdout"].as_str().unwrap().ends_with("ticking\n"));
    assert_eq!(client.done("service_stop", of).await["state"], "stopped");
}

async fn type_in(client: &Client, id: &str) {
    let opened = client.done("shell_open", json!({"workspace_id": id, "cols": 80})).await;
    let shell = &opened["shell_id"];
    let typed = |input: &str| json!({"workspace_id": id, "shell_id": shell, "input": input});
    let written = client.done("shell_write", typed("echo $((6 * 7)) is it; sleep 100000")).await;
    assert_eq!(written["append_newline"], true);
    let cursor = read_until(client, id, shell, 0, "42 is it").await;
    let signalled = client.done("shell_signal", json!({"workspace_id": id, "shell_id": shell})).await;
    assert_eq!(signalled["signal"], "INT");
    client.done("shell_write", typed("echo still $((40 + 4))")).await;
    read_until(client, id, shell, cursor, "still 44").await;
    let closed = client.done("shell_close", json!({"workspace_id": id, "shell_id": shell})).await;
    assert_eq!(closed["state"], "closed");
}

/// Reads a shell from a cursor on until it has shown something. Gives the cursor of what comes next.
async fn read_until(client: &Client, id: &str, shell: &Value, cursor: u64, text: &str) -> u64 {
    for _ in 0..100 {
        let read = json!({"workspace_id": id, "shell_id": shell, "cursor": cursor, "plain": true, "wait_for_idle_ms": 300});
        let read = client.done("shell_read", read).await;
        if read["output"].as_str().unwrap().contains(text) {
            return read["next_cursor"].as_u64().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("waited in vain until the shell shows `{text}`");
}

#[test]
fn a_machine_is_made_started_and_used_up_through_tools() {
    let home = Home::new();
    block_on(async {
        let client = Client::modern(&home).await;
        let listed = client.done("vm_list_environments", json!({})).await;
        assert!(listed["environments"].as_array().unwrap().iter().any(|it| it["name"] == BASE));
        let created = client.done("vm_create", json!({"environment": BASE})).await;
        let vm = json!({"vm_id": created["vm_id"]});
        assert_eq!(created["state"], "created");
        assert_eq!(client.done("vm_start", vm.clone()).await["state"], "started");
        assert_eq!(client.done("vm_status", vm.clone()).await["state"], "started");
        assert_eq!(client.done("vm_network_info", vm.clone()).await["network_enabled"], false);
        assert_eq!(client.done("vm_stop", vm.clone()).await["state"], "stopped");
        client.done("vm_start", vm.clone()).await;
        let exec = json!({"vm_id": created["vm_id"], "command": "echo used up"});
        assert_eq!(client.done("vm_exec", exec).await["stdout"], "used up\n");
        assert_eq!(client.refused("vm_status", vm).await["kind"], "not_found");
        let another = client.done("vm_create", json!({"environment": BASE})).await;
        client.done("vm_delete", json!({"vm_id": another["vm_id"]})).await;
        assert_eq!(client.done("vm_reap_expired", json!({})).await["count"], 0);
        client.end().await;
    });
    home.assert_nothing_left();
}

#[test]
fn a_cancelled_command_ends_in_the_guest() {
    let home = Home::new();
    block_on(async {
        let client = Arc::new(Client::legacy(&home).await);
        let created = client.done("workspace_create", json!({"environment": BASE})).await;
        let id = created["workspace_id"].as_str().unwrap().to_owned();
        let sleep = json!({"workspace_id": id, "command": ["sleep", "54321"], "timeout_seconds": 3600});
        let caller = client.clone();
        let call = tokio::spawn(async move { caller.done("workspace_exec", sleep).await });
        wait_for_sleep(&client, &id, true).await;
        // The client tells the server when nobody waits for the answer any more.
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        wait_for_sleep(&client, &id, false).await;
        client.done("workspace_delete", json!({"workspace_id": id})).await;
        Arc::into_inner(client).unwrap().end().await;
    });
    home.assert_nothing_left();
}

/// Looks into the guest until the command runs there, or does not run any more.
async fn wait_for_sleep(client: &Client, id: &str, runs: bool) {
    let look = r"for it in /proc/[0-9]*/cmdline; do tr '\0' ' ' < $it; echo; done | grep -c '^sleep 54321'";
    for _ in 0..600 {
        let found = client.done("workspace_exec", json!({"workspace_id": id, "command": look})).await;
        if (found["stdout"] == "1\n") == runs {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain until the command runs: {runs}");
}

#[test]
fn twenty_machines_run_at_once() {
    let home = Home::new();
    block_on(async {
        let client = Arc::new(Client::modern(&home).await);
        let run = |number: u32| {
            let (client, command) = (client.clone(), format!("echo $(({number} * 3))"));
            let run =
                json!({"environment": BASE, "command": command, "mem_mib": 128, "timeout_seconds": 600});
            async move { (number, client.done("vm_run", run).await) }
        };
        run(0).await; // has the template built
        let mut runs = JoinSet::new();
        for number in 1..=20 {
            runs.spawn(run(number));
        }
        while let Some(ended) = runs.join_next().await {
            let (number, result) = ended.unwrap();
            assert_eq!(result["stdout"], format!("{}\n", number * 3), "{result:#}");
        }
        drop(runs);
        Arc::into_inner(client).unwrap().end().await;
    });
    home.assert_nothing_left();
}

#[test]
fn a_model_that_makes_mistakes_is_told_what_to_do_next() {
    let home = Home::new();
    block_on(async {
        let client = Client::modern(&home).await;
        let created = client.done("workspace_create", json!({"environment": BASE})).await;
        let id = created["workspace_id"].as_str().unwrap();
        let says = |error: &Value, word: &str| {
            assert!(error["hint"].as_str().unwrap().contains(word), "{word}: {error:#}");
        };
        let unknown = client.refused("vm_run", json!({"environment": "debian:1", "command": "true"})).await;
        assert_eq!(unknown["kind"], "not_found");
        says(&unknown, "did you mean `debian:12`?");
        let wrong_id = json!({"workspace_id": "ws-1", "command": "true"});
        says(&client.refused("workspace_exec", wrong_id).await, "workspace_create");
        let bad_path =
            json!({"workspace_id": id, "path": "/etc/passwd", "output_path": home.path().join("out")});
        let refused = client.refused("workspace_export", bad_path).await;
        assert_eq!(refused["kind"], "unsafe_path", "{refused:#}");
        says(&refused, "/workspace");
        let no_source = json!({"workspace_id": id, "source_path": home.path().join("none")});
        assert_eq!(client.refused("workspace_sync_push", no_source).await["kind"], "not_found");
        let missing = client
            .refused("workspace_exec", json!({"workspace_id": id, "command": ["no-such-program"]}))
            .await;
        assert_eq!(missing["kind"], "exec_not_started", "{missing:#}");
        let failing =
            client.done("workspace_exec", json!({"workspace_id": id, "command": "no-such-program"})).await;
        assert_eq!(failing["exit_code"], 127);

        let command = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last";
        let loud = json!({"workspace_id": id, "command": command, "timeout_seconds": 600});
        let loud = client.done("workspace_exec", loud).await;
        let stdout = loud["stdout"].as_str().unwrap();
        assert!(stdout.starts_with("first\nxxx") && stdout.ends_with("x\nlast\n") && stdout.len() < 31_000);
        let told = format!("workspace_logs with sequence={}", loud["sequence"]);
        assert!(stdout.contains(&told), "{told}");
        let rest = json!({"workspace_id": id, "sequence": loud["sequence"], "offset": 50_000_000});
        let rest = client.done("workspace_logs", rest).await;
        assert_eq!(rest["entries"][0]["stdout"], "xxxxxx\nlast\n");
        client.done("workspace_delete", json!({"workspace_id": id})).await;
        client.end().await;
    });
    home.assert_nothing_left();
}

#[test]
fn a_machine_ends_with_the_client_and_a_workspace_does_not() {
    let home = Home::new();
    block_on(async {
        let client = Client::legacy(&home).await;
        let created = client.done("workspace_create", json!({"environment": BASE})).await;
        client.end().await;
        leave_a_run_under_way(&home);
        let another = Client::modern(&home).await;
        let of = json!({"workspace_id": created["workspace_id"]});
        assert_eq!(another.done("workspace_status", of.clone()).await["state"], "started");
        another.done("workspace_delete", of).await;
        another.end().await;
    });
    home.assert_nothing_left();
}

/// A client that closes the pipe while its command runs.
fn leave_a_run_under_way(home: &Home) {
    let mut server =
        home.pyro(&["mcp", "serve"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "run",
    });
    let arguments =
        json!({"environment": BASE, "command": "echo begun; sleep 100000", "timeout_seconds": 3600});
    let mut input = server.stdin.take().unwrap();
    let params = [
        ("server/discover", json!({"_meta": meta})),
        ("tools/call", json!({"name": "vm_run", "arguments": arguments, "_meta": meta})),
    ];
    for (id, (method, params)) in params.into_iter().enumerate() {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(input, "{request}").unwrap();
    }
    let mut output = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(output.any(|line| line.contains("the command runs")));
    drop(input);
    assert!(server.wait().unwrap().success());
}
