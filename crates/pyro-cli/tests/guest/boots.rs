//! Cold boots, many of them, more at a time than there are cores.

use crate::home::{Home, report};
use std::sync::atomic::{AtomicUsize, Ordering};

const N_BOOTS: usize = 36;
const AT_A_TIME: usize = 3;

#[test]
fn thirty_six_cold_boots_three_at_a_time_all_reach_the_guest_agent() {
    let home = Home::new();
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while begun.fetch_add(1, Ordering::Relaxed) < N_BOOTS {
                    let output = home
                        .pyro(&["run", crate::home::BASE, "--cold", "--", "echo", "up"])
                        .output()
                        .unwrap();
                    assert_eq!(output.stdout, b"up\n", "{}", report(&output));
                }
            });
        }
    });
    assert!(home.template_folders().is_empty(), "cold boots make no templates");
    home.assert_nothing_left();
}
