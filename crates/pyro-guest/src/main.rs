//! The guest agent as process 1: the order of a start, top to bottom.
//!
//! The kernel runs this from an initramfs that holds nothing else but `/modules/` and `/dev/console`. It must
//! never return: the kernel would panic. Any other process of this program does one task or
//! probe and ends, or serves in a folder of the host.

use pyro_guest::boot::console::Console;
use pyro_guest::boot::environment::Environment;
use pyro_guest::boot::{BootError, limits, modules, mounts, network, port, power_off};
use pyro_guest::{Ending, Root, serve};
use pyro_guest::{on_host, probe, tasks};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        return other_than_first(); // nothing of the following may happen to a machine that is not ours
    }
    let mounted = mounts::for_agent();
    let mut console = Console::open();
    let started = mounted.and_then(|()| start(&mut console));
    match started.map(|(port, root)| serve(port, root)) {
        Ok(Ok(Ending::PowerOff(root))) => power_off::orderly(root, &mut console),
        Ok(Ok(Ending::HungUp)) => power_off::at_once(&mut console),
        Ok(Err(error)) => fail(&error, &mut console),
        Err(error) => fail(&error, &mut console),
    }
}

/// Does what this process was started for.
fn other_than_first() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let words = (arguments.next(), arguments.next(), arguments.next());
    match (words.0.as_deref(), words.1, words.2) {
        (Some(tasks::ARGUMENT), Some(task), folder) => tasks::work(&task, folder.as_deref()),
        (Some(tasks::OPEN_ARGUMENT), Some(folder), _) => tasks::open_folder(&folder),
        (Some(probe::ARGUMENT), Some(probe), _) => probe::run(&probe),
        (Some(on_host::ARGUMENT), Some(descriptor), Some(folder)) => on_host::run(&descriptor, folder),
        _ => ExitCode::SUCCESS,
    }
}

/// Brings the machine to where it can be saved as a template: everything mounted, nobody answered yet.
fn start(console: &mut Console) -> Result<(std::os::fd::OwnedFd, Root), BootError> {
    console.phase("modules");
    let uevents = port::Uevents::listen()?;
    modules::load_all(Path::new("/modules"))?;
    console.phase("port");
    let port = port::open(&uevents)?;
    console.phase("mounts");
    let environment = Environment::mount()?;
    limits::set()?;
    console.phase("network");
    network::configure()?;
    console.phase("ready");
    Ok((port, Root::Environment(environment)))
}

fn fail(error: &dyn std::error::Error, console: &mut Console) -> ! {
    console.failure(error);
    power_off::at_once(console)
}
