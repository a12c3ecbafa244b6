//! The MCP server on a host without guests: its tools and their schemas, both eras of the protocol, mistakes, its end.

use crate::home::{Home, eventually};
use crate::mcp_client::{Client, modern_meta};
use serde_json::{Value, json};

/// Every tool of the contract with its parameters: `!` for a required one, else the default.
const CONTRACT: &[(&str, &str)] = &[
    (
        "vm_run",
        "environment! command! vcpu_count=1 mem_mib=1024 timeout_seconds=30 ttl_seconds=600 network=false allow_host_compat=false allow=[]",
    ),
    ("vm_list_environments", ""),
    (
        "vm_create",
        "environment! vcpu_count=1 mem_mib=1024 ttl_seconds=600 network=false allow_host_compat=false allow=[]",
    ),
    ("vm_start", "vm_id!"),
    ("vm_exec", "vm_id! command! timeout_seconds=30"),
    ("vm_stop", "vm_id!"),
    ("vm_delete", "vm_id!"),
    ("vm_status", "vm_id!"),
    ("vm_network_info", "vm_id!"),
    ("vm_reap_expired", ""),
    (
        "workspace_create",
        "environment! vcpu_count=1 mem_mib=1024 ttl_seconds=600 network=false allow_host_compat=false allow=[] seed_path=none",
    ),
    ("workspace_sync_push", "workspace_id! source_path! dest=\"/workspace\""),
    ("workspace_exec", "workspace_id! command! timeout_seconds=30"),
    ("workspace_export", "workspace_id! path! output_path!"),
    ("workspace_diff", "workspace_id!"),
    ("workspace_status", "workspace_id!"),
    ("workspace_logs", "workspace_id! sequence=none offset=none"),
    ("workspace_delete", "workspace_id!"),
    (
        "service_start",
        "workspace_id! service_name! command! cwd=\"/workspace\" readiness=none ready_timeout_seconds=30 ready_interval_ms=500 publish=[]",
    ),
    ("service_list", "workspace_id!"),
    ("service_status", "workspace_id! service_name!"),
    ("service_logs", "workspace_id! service_name! tail_lines=200 all=false"),
    ("service_stop", "workspace_id! service_name!"),
    ("shell_open", "workspace_id! cwd=\"/workspace\" cols=120 rows=30"),
    ("shell_read", "workspace_id! shell_id! cursor=0 max_chars=65536 plain=false wait_for_idle_ms=none"),
    ("shell_write", "workspace_id! shell_id! input! append_newline=true"),
    ("shell_signal", "workspace_id! shell_id! signal_name=\"INT\""),
    ("shell_close", "workspace_id! shell_id!"),
];

#[test]
fn the_tools_and_their_parameters_are_those_of_the_contract() {
    let home = Home::new();
    let tools = Client::start(&home, &[]).tools();
    assert_eq!(tools.len(), 28);
    for (name, parameters) in CONTRACT {
        let tool = tools.iter().find(|tool| tool["name"] == *name).unwrap_or_else(|| panic!("no {name}"));
        let schema = &tool["inputSchema"];
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        let mut found: Vec<String> =
            properties.iter().map(|(name, it)| parameter(schema, name, it)).collect();
        let mut expected: Vec<&str> = parameters.split_whitespace().collect();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
}

fn parameter(schema: &Value, name: &str, property: &Value) -> String {
    assert!(property["description"].is_string(), "{name}: {property}");
    let required = schema["required"].as_array();
    if required.is_some_and(|required| required.iter().any(|it| it == name)) {
        return format!("{name}!");
    }
    property.get("default").map_or(format!("{name}=none"), |default| format!("{name}={default}"))
}

#[test]
fn every_tool_says_what_it_does_and_what_it_gives() {
    let home = Home::new();
    for tool in Client::start(&home, &[]).tools() {
        let name = tool["name"].as_str().unwrap();
        assert!(tool["description"].as_str().unwrap().len() > 30, "{name}");
        for schema in [&tool["inputSchema"], &tool["outputSchema"]] {
            assert_eq!(schema["type"], "object", "{name}");
            jsonschema::validator_for(schema).unwrap();
            assert!(!schema.to_string().contains("\"format\""), "{name}");
        }
        let hints = &tool["annotations"];
        let is = |hint: &str| hints[hint].as_bool().unwrap_or_else(|| panic!("{name}: no {hint}"));
        let takes = |argument: &str| tool["inputSchema"]["properties"].get(argument).is_some();
        let may_reach_out = ["network", "command", "input"].into_iter().any(takes);
        assert_eq!(is("openWorldHint"), may_reach_out, "{name}");
        let looks = ["status", "list", "logs", "info", "environments", "diff", "read"];
        let only_looks = looks.iter().any(|word| name.ends_with(word));
        assert_eq!(is("readOnlyHint"), only_looks, "{name}");
        assert!(is("idempotentHint") || !only_looks, "{name}");
        assert!(!(is("destructiveHint") && only_looks), "{name}");
    }
}

#[test]
fn lists_of_tools_are_short_enough_for_a_model() {
    let home = Home::new();
    for (profile, n_tools, limit) in
        [("workspace-full", 28, 40_000), ("workspace-core", 10, 20_000), ("vm-run", 1, 6_000)]
    {
        let mut client = Client::start(&home, &["--profile", profile]);
        let result = client.request("tools/list", json!({}))["result"].clone();
        let n_chars = result.to_string().chars().count();
        println!("tools/list of {profile}: {n_chars} characters");
        assert_eq!(result["tools"].as_array().unwrap().len(), n_tools);
        assert!(n_chars <= limit, "{profile}: {n_chars}");
        let answer = client.request("tools/call", json!({"name": "nothing", "arguments": {}}));
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("there are: vm_run"), "{answer}");
    }
    assert!(crate::fails(&["mcp", "serve", "--profile", "all"], 2).contains("vm-run"));
    assert!(crate::fails(&["mcp", "serve", "--timeout"], 2).contains("--timeout"));
}

#[test]
fn a_client_of_2026_needs_no_handshake() {
    let home = Home::new();
    let mut client = Client::silent(&home, &[]);
    let answer = client.request("server/discover", json!({"_meta": modern_meta()}));
    let versions = answer["result"]["supportedVersions"].as_array().unwrap();
    for version in ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        assert!(versions.iter().any(|it| it == version), "{answer}");
    }
    let listed = client.request("tools/list", json!({"_meta": modern_meta()}));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 28);
    let params = json!({"name": "vm_list_environments", "arguments": {}, "_meta": modern_meta()});
    let result = client.request("tools/call", params)["result"].clone();
    assert_eq!(result["resultType"], "complete", "{result}");
    assert_eq!(result["structuredContent"]["environments"].as_array().unwrap().len(), 3);
    assert!(client.end().success());
}

#[test]
fn wrong_arguments_are_answered_with_what_would_be_right() {
    let home = Home::new();
    let mut client = Client::start(&home, &[]);
    for (tool, arguments) in [
        ("vm_run", json!({"environment": "debian:12"})),
        ("vm_run", json!({"enviroment": "debian:12", "environment": "debian:12", "command": "true"})),
        ("vm_run", json!({"environment": "debian:12", "command": "true", "mem_mib": "much"})),
        ("workspace_exec", json!({"id": "ws-000000000000", "command": "true"})),
        ("shell_open", json!({})),
    ] {
        let (kind, hint) = client.refused(tool, arguments.clone());
        assert_eq!(kind, "invalid_argument", "{arguments}");
        let required = if tool == "vm_run" {
            "environment (string, required)"
        } else {
            "workspace_id (string, required)"
        };
        assert!(hint.contains(required), "{hint}");
    }
    let (kind, hint) =
        client.refused("vm_run", json!({"environment": "debian:12", "command": "true", "mem_mib": 1}));
    assert_eq!((kind.as_str(), hint.contains("MiB")), ("invalid_argument", true), "{hint}");
    let arguments = json!({"workspace_id": "ws-000000000000", "service_name": "web", "command": "true", "publish": ["80:80"]});
    let (kind, hint) = client.refused("service_start", arguments);
    assert_eq!((kind.as_str(), hint.contains("0:80")), ("unsupported", true), "{hint}");
    for (rule, expected) in [("https://pypi.org/", "invalid_argument"), ("10.0.0.1:80", "unsupported")] {
        let arguments = json!({"environment": "debian:12", "command": "true", "allow": [rule]});
        let (kind, hint) = client.refused("vm_run", arguments);
        assert_eq!(kind, expected, "{rule}: {hint}");
    }
}

#[test]
fn a_path_of_the_host_that_is_relative_and_leads_nowhere_is_to_be_absolute() {
    let home = Home::new();
    let id = home.create(&[]);
    let mut client = Client::start(&home, &["--allow-host-compat"]);
    let none = "no/such/place";
    for (tool, arguments) in [
        (
            "workspace_create",
            json!({"environment": "debian:12", "seed_path": none, "allow_host_compat": true}),
        ),
        ("workspace_sync_push", json!({"workspace_id": id, "source_path": none})),
        ("workspace_export", json!({"workspace_id": id, "path": "/workspace", "output_path": none})),
    ] {
        let (_, hint) = client.refused(tool, arguments);
        assert!(hint.contains("give an absolute path"), "{tool}: {hint}");
    }
    // Another mistake has its own hint.
    let unknown = json!({"workspace_id": "ws-000000000000", "source_path": none});
    assert!(client.refused("workspace_sync_push", unknown).1.contains("workspace_create"));
}

#[test]
fn every_line_is_answered() {
    let home = Home::new();
    let id = home.create(&[]);
    let mut client = Client::start(&home, &[]);
    assert_eq!(client.line("garbage")["error"]["code"], -32700);
    assert_eq!(client.line("[]")["error"]["code"], -32600);
    let call = |number: u32, command: &str| {
        let arguments = format!(r#"{{"workspace_id":"{id}","command":"{command}"}}"#);
        let params = format!(r#"{{"name":"workspace_exec","arguments":{arguments}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{params}}}"#)
    };
    let long = client.line(&call(501, &"x".repeat(20_000_000)));
    assert_eq!((&long["id"], &long["error"]["code"]), (&json!(501), &json!(-32600)));
    // Half a character, as a model writes it that is cut off.
    let half = client.line(&call(502, r"echo \ud83d"));
    assert_eq!(
        (&half["id"], &half["result"]["structuredContent"]["stdout"]),
        (&json!(502), &json!("\u{fffd}\n"))
    );
    let (kind, _) =
        client.refused("workspace_exec", json!({"workspace_id": id, "command": "x".repeat(1_000_000)}));
    assert_eq!(kind, "invalid_argument");
    assert_eq!(
        client.done("workspace_exec", json!({"workspace_id": id, "command": "echo on"}))["stdout"],
        "on\n"
    );
    let deleted = client.done("workspace_delete", json!({"workspace_id": id}));
    assert_eq!(
        (&deleted["command_count"], &deleted["last_command"]["command"]),
        (&json!(2), &json!("echo on"))
    );
    assert!(client.end().success());
}

/// To leave the isolation is for the user to decide.
#[test]
fn a_model_does_not_get_at_the_host_unless_the_user_lets_it() {
    let home = Home::new();
    let mut client = Client::start(&home, &[]);
    let marker = home.path("marker");
    for tool in ["vm_run", "vm_create", "workspace_create"] {
        let mut arguments = json!({"environment": "debian:12", "allow_host_compat": true});
        if tool == "vm_run" {
            arguments["command"] = format!("touch {}", marker.display()).into();
        }
        let (kind, hint) = client.refused(tool, arguments);
        assert_eq!(kind, "unsupported", "{tool}");
        assert!(hint.contains("leave allow_host_compat out"), "{tool}: {hint}");
    }
    let is_destructive = |client: &mut Client| {
        let tools = client.tools();
        let vm_run = tools.iter().find(|tool| tool["name"] == "vm_run").unwrap();
        vm_run["annotations"]["destructiveHint"].as_bool().unwrap()
    };
    assert!(!is_destructive(&mut client));
    assert!(is_destructive(&mut Client::start(&home, &["--allow-host-compat"])));
    assert!(!marker.exists());
    assert_eq!(home.json(&["workspace", "list", "--json"], 0)["count"], 0);
}

#[test]
fn a_result_is_short_whatever_the_commands_were() {
    let home = Home::new();
    let id = home.create(&[]);
    let mut client = Client::start(&home, &[]);
    for text in ["x".repeat(20_000), "\n".repeat(20_000), "日".repeat(20_000)] {
        let command = format!("cat > /dev/null <<'EOF'\n{text}\nEOF\nprintf '%60000s' | tr ' ' '\\001'");
        let exec = json!({"workspace_id": id, "command": command, "timeout_seconds": 60.0});
        let done = client.done("workspace_exec", exec);
        assert!(done.to_string().chars().count() < 35_000, "{}", done.to_string().len());
    }
    for (tool, arguments) in [
        ("workspace_logs", json!({"workspace_id": id})),
        ("workspace_logs", json!({"workspace_id": id, "sequence": 2})),
        ("workspace_status", json!({"workspace_id": id})),
        ("workspace_diff", json!({"workspace_id": id})),
    ] {
        let n_chars = client.done(tool, arguments).to_string().chars().count();
        assert!(n_chars < 40_000, "{tool}: {n_chars}");
    }
}

/// A server has no flags for them.
#[test]
fn the_settings_of_the_servers_environment_hold() {
    let home = Home::new();
    for tool in ["vm_run", "vm_create", "workspace_create"] {
        let mut arguments = json!({"environment": "debian:12"});
        if tool == "vm_run" {
            arguments["command"] = "true".into();
        }
        let refused = |variable: &str, value: &str| {
            Client::start_with(&home, variable, value).refused(tool, arguments.clone()).0
        };
        assert_eq!(refused("PYRO_ACCEL", "warp"), "invalid_argument", "{tool}");
        // What is empty is as good as not there: it fails for want of QEMU.
        assert_eq!(refused("PYRO_ACCEL", ""), "unsupported_host", "{tool}");
    }
}

#[test]
fn unknown_names_are_answered_with_what_to_do() {
    let home = Home::new();
    let mut client = Client::start(&home, &[]);
    let id = json!({"workspace_id": "ws-000000000000", "shell_id": "sh-000000000000", "service_name": "web"});
    for (tool, words) in CONTRACT {
        let is_of_workspace = words.starts_with("workspace_id!");
        if !is_of_workspace && !words.starts_with("vm_id!") {
            continue;
        }
        let mut arguments = json!({});
        for name in words.split_whitespace().filter_map(|word| word.strip_suffix('!')) {
            arguments[name] = match name {
                "vm_id" => "vm-000000000000".into(),
                "source_path" | "output_path" => home.path("none").to_str().unwrap().into(),
                name => id.get(name).cloned().unwrap_or_else(|| "/workspace/x".into()),
            };
        }
        let (kind, hint) = client.refused(tool, arguments);
        assert_eq!(kind, "not_found", "{tool}");
        let maker = if is_of_workspace { "workspace_create" } else { "vm_create" };
        assert!(hint.contains(maker), "{tool}: {hint}");
        assert!(!hint.contains("pyro "), "{tool}: {hint}");
    }
}

#[test]
fn a_long_output_is_cut_in_the_middle_and_can_be_read_on() {
    let home = Home::new();
    let id = home.create(&[]);
    let mut client = Client::start(&home, &[]);
    let run = json!({"workspace_id": id, "command": "seq 1000000; echo warned >&2; exit 3", "timeout_seconds": null});
    let done = client.done("workspace_exec", run);
    assert_eq!(
        (&done["exit_code"], &done["stderr"], &done["truncated"]),
        (&json!(3), &json!("warned\n"), &json!(true))
    );
    let stdout = done["stdout"].as_str().unwrap();
    assert!(stdout.starts_with("1\n2\n3\n") && stdout.ends_with("999999\n1000000\n"), "{stdout}");
    assert!(stdout.chars().count() < 30_200);
    let (first, rest) = stdout.split_once("\n[... ").unwrap();
    assert!(rest.contains("workspace_logs with sequence=1"), "{rest}");

    let whole: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    let mut logs = |offset: usize| {
        let arguments = json!({"workspace_id": id, "sequence": 1, "offset": offset});
        let logs = client.done("workspace_logs", arguments);
        logs["entries"][0]["stdout"].as_str().unwrap().to_owned()
    };
    let next = logs(first.len());
    let (text, _) = next.split_once("\n[... ").unwrap();
    assert!(text.len() > 10_000 && whole[first.len()..].starts_with(text));
    assert_eq!(logs(whole.len() - 10), whole[whole.len() - 10..]);
    let logs = client.done("workspace_logs", json!({"workspace_id": id, "sequence": 1}));
    assert_eq!(logs["entries"][0]["stdout"], stdout);
    let all = client.done("workspace_logs", json!({"workspace_id": id}));
    assert!(all.to_string().len() < 40_000 && all["count"] == 1);
}

#[test]
fn the_end_of_the_client_ends_commands_and_leaves_workspaces() {
    let home = Home::new();
    assert!(Client::silent(&home, &[]).end().success());
    let mut client = Client::start(&home, &["--allow-host-compat"]);
    let created =
        client.done("workspace_create", json!({"environment": "debian:12", "allow_host_compat": true}));
    let warned = |it: &Value| it["params"]["message"].as_str().unwrap().contains("WITHOUT ISOLATION");
    assert!(client.told.iter().any(warned), "{:?}", client.told);
    let id = created["workspace_id"].as_str().unwrap().to_owned();
    let (in_run, in_workspace) = (home.path("in_run"), home.path("in_workspace"));
    let stays =
        |marker: &std::path::Path| format!("echo > {}; while :; do sleep 0.1; done", marker.display());
    let run = json!({"environment": "debian:12", "command": stays(&in_run), "allow_host_compat": true});
    client.ask("tools/call", json!({"name": "vm_run", "arguments": run}));
    let exec = json!({"workspace_id": id, "command": stays(&in_workspace)});
    client.ask("tools/call", json!({"name": "workspace_exec", "arguments": exec}));
    eventually("both commands run", || in_run.exists() && in_workspace.exists());
    assert!(client.end().success());
    eventually("both commands have ended", || !home.is_used(&in_run) && !home.is_used(&in_workspace));
    assert_eq!(home.status(&id)["state"], "started");
    // Another server finds it.
    let mut another = Client::start(&home, &[]);
    let done = another.done("workspace_exec", json!({"workspace_id": id, "command": ["cat", "-"]}));
    assert_eq!(done["exit_code"], 0);
}

#[test]
fn a_cancelled_command_ends() {
    let home = Home::new();
    let id = home.create(&[]);
    let mut client = Client::start(&home, &[]);
    let marker = home.path("marker");
    let command = format!("echo > {}; while :; do sleep 0.05; done", marker.display());
    let arguments = json!({"workspace_id": id, "command": command, "timeout_seconds": 600});
    let call = client.ask("tools/call", json!({"name": "workspace_exec", "arguments": arguments}));
    eventually("the command runs", || marker.exists() && home.is_used(&marker));
    client.notify("notifications/cancelled", json!({"requestId": call, "reason": "enough"}));
    eventually("the command has ended", || !home.is_used(&marker));
    // The server goes on.
    let done = client.done("workspace_exec", json!({"workspace_id": id, "command": "echo after"}));
    assert_eq!(done["stdout"], "after\n");
}
