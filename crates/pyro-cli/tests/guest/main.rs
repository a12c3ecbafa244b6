//! Short stories about real guests, told through the executable. They run under TCG unless `PYRO_ACCEL` says
//! otherwise, and each ends by proving that nothing of it is left: no process, no file, no lock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod boots;
mod clones;
mod commands;
mod crowd;
mod demo;
mod demo_ollama;
mod examples;
mod exec_history;
mod faults;
mod home;
mod inside;
mod kills;
mod late_kills;
mod lifecycle;
mod lifecycle_failures;
mod mcp;
mod mcp_client;
#[allow(dead_code, reason = "the tests without guests use all of it")]
#[path = "../cli/model_server.rs"]
mod model_server;
mod network;
mod network_attacks;
mod network_packages;
mod network_policy;
mod network_publish;
mod outside;
mod results;
mod service_failures;
mod service_logs;
mod services;
mod session_kills;
mod session_story;
mod shell;
mod shell_attach;
mod shell_volume;
mod shells;
mod sizes;
mod story;
mod trees;
mod unheard;
mod users;
mod vms;
mod volume;
mod workspace;
mod workspace_kills;
