//! Writes the initramfs: the guest agent as `/init`, and the kernel modules that it needs to find its disks and
//! its port.
//!
//! The format is the "newc" archive of `Documentation/driver-api/early-userspace/buffer-format.rst`, plain
//! (uncompressed): unpacking costs an emulated guest more than the bytes do.

use crate::error::{Context, Result};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// The static guest agent, built by `build.rs`.
pub const GUEST_AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pyro-guest"));

const DIRECTORY: u32 = 0o04_0755;
const PROGRAM: u32 = 0o10_0755;
const DATA: u32 = 0o10_0644;

/// An anonymous file with the archive that every machine boots from. Modules are loaded in the order given.
pub fn build(modules: &[PathBuf]) -> Result<File> {
    build_with(GUEST_AGENT, modules)
}

/// The same with another program as `/init`.
pub fn build_with(init: &[u8], modules: &[PathBuf]) -> Result<File> {
    let mut archive = Newc::default();
    archive.entry("init", PROGRAM, init);
    archive.entry("modules", DIRECTORY, &[]);
    for (index, path) in modules.iter().enumerate() {
        let content =
            std::fs::read(path).doing(|| format!("could not read the kernel module `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        archive.entry(&format!("modules/{index:02}-{name}"), DATA, &content);
    }
    let doing = || "could not write the initramfs to memory".to_owned();
    let mut file = File::from(memfd_create("pyro-initramfs", MemfdFlags::CLOEXEC).doing(doing)?);
    file.write_all(&archive.finish()).doing(doing)?;
    Ok(file)
}

#[derive(Default)]
struct Newc {
    bytes: Vec<u8>,
    n_entries: u32,
}

impl Newc {
    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.n_entries += 1;
        let n_links = if mode & 0o17_0000 == 0o04_0000 { 2 } else { 1 };
        let size = u32::try_from(content.len()).expect("an initramfs entry is far below 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names here are short");
        // Inode, mode, user, group, links, time, size, device and its number twice, length of name, check.
        let fields = [self.n_entries, mode, 0, 0, n_links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_contents_are_aligned_to_four_bytes() {
        let mut archive = Newc::default();
        archive.entry("a", DATA, b"xyz");
        let text = String::from_utf8(archive.finish()).unwrap();
        let header = "070701\
                      00000001000081A400000000000000000000000100000000\
                      0000000300000000000000000000000000000000000000020000000 0";
        assert_eq!(&text[..110], header.replace(' ', ""));
        assert_eq!(&text[110..116], "a\0xyz\0");
        assert_eq!(&text[116..122], "070701");
        assert!(text.contains("TRAILER!!!"));
    }
}
