//! The trivial guest agent of the floor: what a first prototype would have. No part of the bench itself, which
//! compiles it by `rustc` alone (see `floor.rs`), and of no use anywhere else.
//!
//! As process 1 it loads the modules, opens the one virtio-serial port, mounts the root image, and says `ready`.
//! Then it answers each byte that comes with a line: a `p` at once, a `t` when it has mounted the disk, the overlay
//! and `/proc` and has run `/bin/true` in it. Whatever goes wrong ends it, which ends the machine.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong, c_void};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::null;
use std::thread::sleep;
use std::time::Duration;

unsafe extern "C" {
    fn mount(
        source: *const c_char,
        at: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        options: *const c_void,
    ) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn fork() -> c_int;
    fn chroot(path: *const c_char) -> c_int;
    fn execv(path: *const c_char, argv: *const *const c_char) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
}

const FINIT_MODULE: c_long = 313;
const BLKFLSBUF: c_ulong = 0x1261;
const READ_ONLY: c_ulong = 1;
const NO_ACCESS_TIMES: c_ulong = 1024;

fn main() {
    for folder in ["/proc", "/sys", "/dev", "/root", "/disk", "/new"] {
        let _ = fs::create_dir(folder);
    }
    mounted(c"dev", c"/dev", c"devtmpfs", 0, c"");
    load_modules();
    let mut port = patiently(|| {
        let mut ports = (0..4).map(|number| format!("/dev/vport{number}p1"));
        ports.find_map(|path| File::options().read(true).write(true).open(path).ok())
    });
    patiently(|| (mount_at(c"/dev/vda", c"/root", c"erofs", READ_ONLY, c"") == 0).then_some(()));
    port.write_all(b"ready\n").expect("the host listens");
    let mut request = [0];
    while port.read_exact(&mut request).is_ok() {
        let answer = if request == *b"p" { b"p\n" } else { run_true_in_environment() };
        port.write_all(answer).expect("the host listens");
    }
}

/// The host numbers the modules in the order in which they are to be loaded.
fn load_modules() {
    let entries = fs::read_dir("/modules").expect("the host puts them there");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let file = File::open(path).expect("a file of the initramfs");
        // One that the kernel has already is refused, which is no harm.
        unsafe { syscall(FINIT_MODULE, file.as_raw_fd(), c"".as_ptr(), 0) };
    }
}

/// Devices appear a while after their driver. Only a boot waits here, never a clone.
fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        match attempt() {
            Some(done) => return done,
            None => sleep(Duration::from_millis(10)),
        }
    }
    panic!("a device did not appear");
}

fn mount_environment() {
    let disk = File::options().read(true).write(true).open("/dev/vdb").expect("the disk");
    // What the template read of its own disk is not what is on this one.
    unsafe { ioctl(disk.as_raw_fd(), BLKFLSBUF, 0) };
    drop(disk);
    mounted(c"/dev/vdb", c"/disk", c"ext4", NO_ACCESS_TIMES, c"");
    for folder in ["/disk/upper", "/disk/work"] {
        fs::create_dir(Path::new(folder)).expect("a fresh disk");
    }
    let options = c"lowerdir=/root,upperdir=/disk/upper,workdir=/disk/work";
    mounted(c"overlay", c"/new", c"overlay", 0, options);
    mounted(c"proc", c"/new/proc", c"proc", 0, c"");
}

fn run_true_in_environment() -> &'static [u8; 2] {
    mount_environment();
    if run_true() == 0 { b"0\n" } else { b"1\n" }
}

fn run_true() -> c_int {
    let program = CString::from(c"/bin/true");
    let argv = [program.as_ptr(), null()];
    unsafe {
        let pid = fork();
        if pid == 0 {
            chroot(c"/new".as_ptr());
            execv(program.as_ptr(), argv.as_ptr());
            _exit(127);
        }
        let mut status = 0;
        waitpid(pid, &raw mut status, 0);
        status
    }
}

fn mounted(source: &CStr, at: &CStr, kind: &CStr, flags: c_ulong, options: &CStr) {
    assert!(mount_at(source, at, kind, flags, options) == 0, "could not mount {at:?}");
}

fn mount_at(source: &CStr, at: &CStr, kind: &CStr, flags: c_ulong, options: &CStr) -> c_int {
    unsafe { mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) }
}
