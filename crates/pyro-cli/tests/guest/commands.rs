//! Commands that behave badly: the run still ends with the right result, and nothing remains.

use crate::home::{Home, report};

#[test]
fn background_children_do_not_hold_up_the_end() {
    let home = Home::new().warmed();
    // The child keeps the output pipes open.
    let json = home.json(&[], &["sh", "-c", "sleep 1000 & echo done"]);
    assert_eq!((json["exit_code"].as_i64(), json["stdout"].as_str()), (Some(0), Some("done\n")), "{json}");
    assert!(json["duration_ms"].as_f64().unwrap() < 20_000.0, "{json}");
    home.assert_nothing_left();
}

#[test]
fn a_fork_bomb_is_ended_by_its_time_out() {
    let home = Home::new().warmed();
    let json =
        home.json(&["--timeout-seconds", "5"], &["bash", "-c", "bomb() { bomb | bomb & }; bomb; sleep 1000"]);
    // Where the bomb leaves no room for the shell's own next process, the shell may end by itself.
    let ended = json["timed_out"] == true || json["exit_code"].as_i64().is_some_and(|code| code != 0);
    assert!(ended, "{json}");
    home.assert_nothing_left();
}

#[test]
fn a_memory_hog_is_ended_by_the_guest_kernel() {
    let home = Home::new().warmed();
    let output = home.run(&["sh", "-c", "tail /dev/zero"]);
    // The kernel's choice falls on `tail`, or on the shell with it.
    assert_eq!(output.status.code(), Some(137), "{}", report(&output));
    home.assert_nothing_left();
}

#[test]
fn a_command_may_turn_the_machine_off() {
    let home = Home::new().warmed();
    let output = home.run(&["sh", "-c", "echo b > /proc/sysrq-trigger; sleep 1000"]);
    assert_eq!(output.status.code(), Some(125), "{}", report(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: "), "{}", report(&output));
    home.assert_nothing_left();
}

#[test]
fn the_guest_looks_like_a_normal_system() {
    let home = Home::new().warmed();
    let script = r#"
        set -e
        test "$(stat -f -c %T /)" = overlayfs
        test "$(stat -f -c %T /tmp)" = tmpfs && test "$(stat -c %a /tmp)" = 1777
        test "$(stat -f -c %T /run)" = tmpfs && test "$(stat -f -c %T /dev/shm)" = tmpfs
        test -c /dev/null && test -c /dev/ptmx && test -d /dev/pts && test -e /dev/fd/0
        test "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs
        test "$(pwd)" = /workspace && test "$(id -u)" = 0 && test "$HOME" = /root
        grep -q "^lo:" /sys/class/net/lo/uevent 2>/dev/null || test -d /sys/class/net/lo
        test "$(ls /sys/class/net)" = lo
        getent hosts localhost >/dev/null
        echo data > /workspace/file && echo data > /etc/new && rm /etc/new
        ! test -e /modules && ! test -e /init
        echo fine
    "#;
    assert_eq!(home.stdout(&["sh", "-c", script]), "fine\n");
    home.assert_nothing_left();
}
