//! The floor: how fast a bare driver is that clones the same guest with the same QEMU, and does nothing but that.
//!
//! It is made as a prototype would be made. A template is booted once with a trivial agent (`floor_agent.rs`), its
//! memory in a file, its root image mounted. A clone gets a sparse copy of a formatted disk, maps the memory
//! privately, mounts disk, overlay and `/proc`, and runs `/bin/true`. No checks, no locks, no limits, no identity.

use crate::Result;
use crate::host::Host;
use crate::run::bare_qemu::{BareQemu, fd};
use pyro_host::vm::qemu_args::{self, Start};
use pyro_host::vm::{disk, initramfs, kernel_cmdline};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

const AGENT_SOURCE: &str = include_str!("floor_agent.rs");
const STATIC_TARGETS: [(&str, &[&str]); 2] =
    [("x86_64-unknown-linux-musl", &[]), ("x86_64-unknown-linux-gnu", &["-C", "target-feature=+crt-static"])];

const CAPABILITIES: &str = "{\"execute\":\"qmp_capabilities\"}\n";
const SAVING: &str = "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[\
    {\"capability\":\"x-ignore-shared\",\"state\":true},{\"capability\":\"events\",\"state\":true}]}}\n";
const LOADING: &str = "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[\
    {\"capability\":\"x-ignore-shared\",\"state\":true}]}}\n";
const CONTINUE: &str = "{\"execute\":\"cont\"}\n";

/// A bare template. Its files have no names.
pub struct Floor<'a> {
    host: &'a Host,
    memory: File,
    state: File,
}

/// How long one clone took.
pub struct FloorTiming {
    /// From before the disk was copied to after QEMU was reaped.
    pub total: Duration,
    /// From when the guest continued to its answer.
    pub in_guest: Duration,
}

impl<'a> Floor<'a> {
    /// Boots the template and saves it.
    pub fn build(host: &'a Host) -> Result<Self> {
        let memory = tempfile::tempfile_in(host.state_dir.cache())?;
        memory.set_len(u64::from(host.spec.mem_mib) * 1024 * 1024)?;
        let state = tempfile::tempfile_in(host.state_dir.cache())?;
        let floor = Self { host, memory, state };
        let initramfs = initramfs::build_with(&compile_agent()?, &host.environment.modules)?;
        let kernel = File::open(&host.environment.kernel)?;
        let cmdline = kernel_cmdline::build(host.hypervisor.accelerator.kind);
        let mut arguments = floor.arguments("on");
        arguments.extend(["-kernel".into(), path_of(fd::KERNEL), "-initrd".into(), path_of(fd::INITRAMFS)]);
        arguments.extend(["-append".into(), cmdline]);
        let files = vec![(fd::KERNEL, kernel), (fd::INITRAMFS, initramfs)];
        let mut qemu = floor.start(&arguments, files, &[CAPABILITIES, SAVING], b"")?;
        let line = qemu.line()?;
        if line != "ready\n" {
            return Err(format!("the floor's guest said `{}`", line.trim_end()).into());
        }
        let state = format!("/proc/{}/fd/{}", std::process::id(), floor.state.as_raw_fd());
        qemu.tell(&format!(
            "{{\"execute\":\"migrate\",\"arguments\":{{\"uri\":\"exec:cat > {state}\"}}}}\n"
        ))?;
        qemu.wait_for("\"completed\"")?;
        drop(qemu);
        Ok(floor)
    }

    /// One clone from start to end.
    pub fn time_one(&self) -> Result<FloorTiming> {
        let begun = Instant::now();
        let (clone, in_guest) = self.run_true()?;
        drop(clone);
        Ok(FloorTiming { total: begun.elapsed(), in_guest })
    }

    /// A clone that has run its command, and how long the guest took to that.
    pub fn run_true(&self) -> Result<(BareQemu, Duration)> {
        let mut arguments = self.arguments("off");
        arguments.extend(["-incoming".into(), "defer".into()]);
        let incoming =
            format!("{{\"execute\":\"migrate-incoming\",\"arguments\":{{\"uri\":\"fd:{}\"}}}}\n", fd::STATE);
        let commands = [CAPABILITIES, LOADING, &incoming, CONTINUE];
        let files = vec![(fd::STATE, reopen(&self.state)?)];
        let mut clone = self.start(&arguments, files, &commands, b"t")?;
        clone.wait_for("\"RESUME\"")?;
        let resumed = Instant::now();
        let answer = clone.line()?;
        let in_guest = resumed.elapsed();
        if answer == "0\n" {
            Ok((clone, in_guest))
        } else {
            Err(format!("`/bin/true` ended with {} in the floor's guest", answer.trim_end()).into())
        }
    }

    fn start(
        &self,
        arguments: &[String],
        mut files: Vec<(i32, File)>,
        commands: &[&str],
        request: &[u8],
    ) -> Result<BareQemu> {
        let root = File::open(&self.host.environment.root_image)?;
        let disk = disk::blank(&self.host.state_dir, self.host.spec.disk)?;
        files.extend([(fd::ROOT, root), (fd::DISK, disk), (fd::MEMORY, self.memory.try_clone()?)]);
        BareQemu::start(&self.host.hypervisor.qemu.path, arguments, files, commands, request)
    }

    /// QEMU's arguments. Machine, accelerator, processor and memory size are what pyro uses at this moment.
    fn arguments(&self, share: &str) -> Vec<String> {
        let (spec, hypervisor) = (&self.host.spec, &self.host.hypervisor);
        let of_pyro =
            qemu_args::build(spec, hypervisor.accelerator.kind, hypervisor.qemu.version, Start::Clone);
        let same = of_pyro
            .windows(2)
            .filter(|pair| ["-machine", "-accel", "-cpu", "-smp", "-m"].contains(&pair[0].as_str()));
        let mut arguments: Vec<String> = same.flatten().cloned().collect();
        let (memory, root, disk) = (path_of(fd::MEMORY), path_of(fd::ROOT), path_of(fd::DISK));
        // By default QEMU throws both images out of the host's page cache when it has loaded a state, which would
        // slow down this clone and whatever is measured next.
        let image = "format=raw,if=none,file.locking=off,file.drop-cache=off";
        let own = [
            "-nodefaults -no-user-config -display none -no-reboot -serial null".to_owned(),
            format!(
                "-object memory-backend-file,id=memory,size={}M,mem-path={memory},share={share}",
                spec.mem_mib
            ),
            format!("-chardev socket,id=qmp,fd={} -mon chardev=qmp,mode=control", fd::QMP),
            format!("-drive id=root,file={root},{image},readonly=on"),
            "-device virtio-blk-device,drive=root".to_owned(),
            format!("-drive id=disk,file={disk},{image}"),
            "-device virtio-blk-device,drive=disk".to_owned(),
            format!("-device virtio-serial-device -chardev socket,id=port,fd={}", fd::PORT),
            "-device virtserialport,chardev=port,name=floor".to_owned(),
        ];
        arguments.extend(own.iter().flat_map(|words| words.split(' ')).map(str::to_owned));
        arguments
    }
}

/// How QEMU names a file that it inherited.
fn path_of(number: i32) -> String {
    format!("/proc/self/fd/{number}")
}

/// The same file, read from its beginning.
fn reopen(file: &File) -> Result<File> {
    Ok(File::open(path_of(file.as_raw_fd()))?)
}

/// Compiles the trivial agent as a static program, for the first target that this compiler has.
fn compile_agent() -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let (source, program) = (folder.path().join("agent.rs"), folder.path().join("agent"));
    std::fs::write(&source, AGENT_SOURCE)?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut said = String::new();
    for (target, flags) in STATIC_TARGETS {
        let mut command = Command::new(&rustc);
        command.args([
            "--edition",
            "2024",
            "--target",
            target,
            "-O",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
        ]);
        let output = command.args(flags).arg(&source).arg("-o").arg(&program).output()?;
        if output.status.success() {
            return Ok(std::fs::read(&program)?);
        }
        said = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    Err(format!("the floor's agent did not compile:\n{said}").into())
}
