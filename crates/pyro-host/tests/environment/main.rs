//! Real pulls from a real Debian mirror: as the user who runs the tests, and, when that is root, also as an
//! ordinary user if there is one with subordinate ids.
//!
//! They need the network, the host packages of a pull, and about five minutes. Every story has a home of its own
//! and proves that no process, mount or staging folder is left.

#![allow(clippy::print_stdout, reason = "pulls take long and vary: the stories say what they saw")]

mod home;
mod ordinary_user;

use home::Home;
use ordinary_user::{OrdinaryUser, helper};
use pyro_host::environment::{Environment, PruneOptions, PullOptions, PullPhase, PullProgress};
use pyro_host::error::ErrorKind;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "debian:12-base";
/// How often a pull is killed at some moment; it takes about twenty seconds.
const KILLS: u64 = 7;
/// After the beginning of these it is killed as well: they are short, and come late.
const LATE_PHASES: [PullPhase; 3] = [PullPhase::Kernel, PullPhase::Image, PullPhase::Publish];

/// Pulls and says what it does.
async fn pull(home: &Home, who: &str) -> (Environment, Vec<PullPhase>) {
    let mut phases = Vec::new();
    let start = Instant::now();
    let environments = home.environments();
    let result = environments.pull(NAME, PullOptions::default(), |progress| {
        if let PullProgress::Phase { phase, .. } = progress {
            println!("[{who}] {:6.2} s {}", start.elapsed().as_secs_f64(), phase.code());
            phases.push(phase);
        }
    });
    match result.await {
        Ok(environment) => (environment, phases),
        Err(error) => panic!("{}\nhint: {:?}", error.chain().join("\n"), error.hint()),
    }
}

#[tokio::test]
async fn pulled_by_two_at_once_then_damaged_repaired_and_pruned() {
    let home = Home::new();
    let ((first, phases), (second, other_phases)) = tokio::join!(pull(&home, "first"), pull(&home, "second"));
    assert_eq!(first.digest, second.digest);
    let (worked, waited) = match phases.contains(&PullPhase::Install) {
        true => (phases, other_phases),
        false => (other_phases, phases),
    };
    use PullPhase::{Check, Image, Install, Kernel, Publish, Verify, Wait};
    assert_eq!(worked, [Check, Install, Kernel, Image, Verify, Publish]);
    assert_eq!(waited, [Wait, Check]);
    check_content(&home, &first);
    home.assert_nothing_is_left();
    check_hot_path(&home);

    let file = fs::OpenOptions::new().write(true).open(&first.root_image).expect("opens");
    file.write_all_at(b"damage", 4096).expect("writes");
    drop(file);
    assert!(home.environments().installed(NAME).expect("known").is_none());
    let inspection = home.environments().inspect(NAME).expect("known");
    println!("damage: {:?}", inspection.damage);
    assert!(inspection.damage.expect("seen").contains("root.erofs` does not match its digest"));
    let (repaired, _) = pull(&home, "repair").await;
    println!(
        "the digest is {}",
        if repaired.digest == first.digest { "the same as before" } else { "another" }
    );
    assert!(home.environments().installed(NAME).expect("known").is_some());

    let keep = PruneOptions { all: true, keep: vec![repaired.digest.clone()] };
    home.environments().prune(keep).expect("prunes");
    assert!(home.environments().installed(NAME).expect("known").is_some());
    let report = home.environments().prune(PruneOptions { all: true, keep: Vec::new() }).expect("prunes");
    println!("pruned: {report:?}");
    assert_eq!((report.count, report.deleted[0].name.as_deref()), (1, Some(NAME)));
    assert!(home.environments().installed(NAME).expect("known").is_none());
    home.assert_nothing_is_left();
}

fn check_content(home: &Home, environment: &Environment) {
    let inspection = home.environments().inspect(NAME).expect("known");
    assert!(inspection.installed && inspection.damage.is_none());
    println!("kernel {:?}, modules {:?}", inspection.kernel, inspection.modules);
    println!(
        "sizes {:?}, {} packages, {:?}",
        inspection.sizes,
        inspection.packages.len(),
        inspection.provenance
    );
    assert!(inspection.packages.iter().any(|package| package.name == "bash" && !package.version.is_empty()));
    assert!(
        inspection
            .requested_packages
            .iter()
            .all(|name| { inspection.packages.iter().any(|package| &package.name == name) })
    );
    let magic = fs::read(&environment.root_image).expect("reads")[1024..1028].to_vec();
    assert_eq!(magic, [0xe2, 0xe1, 0xf5, 0xe0], "not an erofs image");
    assert_eq!(fs::read(&environment.kernel).expect("reads")[..4], *b"\x7fELF");
    for file in environment.modules.iter().chain([&environment.root_image, &environment.kernel]) {
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o644, "{}", file.display());
    }
    let position = |name: &str| inspection.modules.iter().position(|module| module == name).expect("there");
    assert!(position("virtio_ring") < position("virtio") && position("virtio") < position("virtio_mmio"));
}

/// Every run looks whether its environment is installed. Measured without optimisation, so with room.
fn check_hot_path(home: &Home) {
    let environments = home.environments();
    let start = Instant::now();
    for _ in 0..100 {
        assert!(environments.installed(NAME).expect("known").is_some());
    }
    let each = start.elapsed() / 100;
    println!("one look at an installed environment takes {each:?}");
    assert!(each < Duration::from_millis(5));
}

#[tokio::test]
async fn an_unreachable_mirror_is_named_soon_and_leaves_nothing() {
    for mirror in
        ["http://127.0.0.1:9/debian", "http://pyro-no-such-host.invalid/debian", "file:///nowhere/debian"]
    {
        let home = Home::new();
        let start = Instant::now();
        let options = PullOptions { mirror: Some(mirror.into()), ..PullOptions::default() };
        let error = home.environments().pull(NAME, options, |_| {}).await.expect_err("unreachable");
        println!("{:?}: {} / {:?}", start.elapsed(), error.chain().join("\n  "), error.hint());
        assert_eq!(error.kind(), ErrorKind::EnvironmentUnavailable);
        let address = mirror.trim_start_matches("http://").trim_start_matches("file://");
        assert!(error.message().contains(address.trim_end_matches("/debian")), "{error}");
        assert!(start.elapsed() < Duration::from_secs(40));
        assert!(home.environments().installed(NAME).expect("known").is_none());
        home.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn a_dropped_pull_leaves_nothing() {
    for milliseconds in [5, 300, 4000, 11_000] {
        let home = Home::new();
        let environments = home.environments();
        let pull = environments.pull(NAME, PullOptions::default(), |_| {});
        assert!(tokio::time::timeout(Duration::from_millis(milliseconds), pull).await.is_err(), "too fast");
        println!("dropped after {milliseconds} ms");
        home.assert_nothing_is_left();
        assert!(home.environments().installed(NAME).expect("known").is_none());
    }
}

#[tokio::test]
async fn killed_at_any_moment_it_leaves_nothing_that_the_next_pull_minds() {
    killed_at_any_moment(&Home::new(), None);
}

#[tokio::test]
async fn an_ordinary_user_pulls_and_is_killed_as_well() {
    let Some(user) = OrdinaryUser::find() else { return };
    let home = Home::of(&user);
    killed_at_any_moment(&home, Some(&user));
}

fn killed_at_any_moment(home: &Home, user: Option<&OrdinaryUser>) {
    let who = user.map_or("this user", |user| &user.name);
    // Another moment in every run, so that over time every moment is tried.
    let fraction = u64::from(std::process::id()) * 7919 % 1700;
    let times = (0..KILLS).map(|i| Moment::After(Duration::from_millis(i * 1700 + fraction)));
    let phases =
        LATE_PHASES.iter().map(|phase| Moment::AfterPhase(*phase, Duration::from_millis(fraction % 300)));
    for moment in times.chain(phases) {
        let mut child = helper(user, home, "helper_pulls").stdout(Stdio::piped()).spawn().expect("starts");
        moment.wait_for(child.stdout.take().expect("piped"));
        let is_done = child.try_wait().expect("waits").is_some();
        child.kill().expect("kills");
        child.wait().expect("waits");
        let gone = home.wait_until_no_process_is_left();
        println!("[{who}] killed {moment:?} (was done: {is_done}); all processes gone after {gone:?}");
    }
    assert!(helper(user, home, "helper_pulls").status().expect("runs").success(), "the next pull failed");
    home.assert_nothing_is_left();
}

/// When a pull is killed.
#[derive(Debug)]
enum Moment {
    After(Duration),
    AfterPhase(PullPhase, Duration),
}

impl Moment {
    fn wait_for(&self, output: impl Read) {
        match self {
            Self::After(time) => std::thread::sleep(*time),
            Self::AfterPhase(phase, time) => {
                let mut lines = BufReader::new(output).lines().map_while(Result::ok);
                lines
                    .find(|line| line.starts_with("[helper]") && line.ends_with(phase.code()))
                    .expect("comes");
                std::thread::sleep(*time);
            }
        }
    }
}

/// Not a test: what the others start as a process of its own, so that it can be killed or run as another user.
#[tokio::test]
#[ignore = "a helper of other tests"]
async fn helper_pulls() {
    let home = Home::from_environment();
    let (environment, _) = pull(&home, "helper").await;
    check_content(&home, &environment);
}

/// The processes of a pull run in namespaces; this one proves that the search for them finds something at all.
#[test]
fn the_search_for_processes_finds_one() {
    let home = Home::new();
    let mut child = Command::new("sleep").arg("60").current_dir(home.path()).spawn().expect("starts");
    assert_eq!(home.processes(), [child.id()]);
    child.kill().expect("kills");
    child.wait().expect("waits");
    home.assert_nothing_is_left();
}
