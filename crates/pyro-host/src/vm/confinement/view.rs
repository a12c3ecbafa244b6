//! The few files of the host that a confined QEMU may open by path. Landlock and the private root folder hold the same.
//!
//! Nothing in this list is writable but devices, and nothing in it belongs to a user, unless QEMU itself does.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What may be done with a file, or with all that is below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read.
    Read,
    /// Read, and start as a program.
    Execute,
    /// Read and written: a device.
    Device,
}

/// A file or folder of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name that a program knows.
    pub(super) path: PathBuf,
    /// Where that leads, without symbolic links.
    pub(super) target: PathBuf,
    pub(super) is_folder: bool,
    pub(super) access: Access,
}

/// Where the dynamic linker looks.
const LIBRARIES: [&str; 7] =
    ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload"];
/// The dynamic linkers of glibc and musl, which the kernel starts together with a program.
const LINKERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"];
/// The firmware, where distributions have it.
const FIRMWARE: [&str; 3] = ["/usr/share/qemu", "/usr/share/qemu-kvm", "/usr/share/seabios"];
/// The same for a QEMU elsewhere, seen from the folder of the program.
const FIRMWARE_BESIDE: [&str; 5] =
    ["../share/qemu", "../share/seabios", "pc-bios", "qemu-bundle", "../pc-bios"];
/// A package and all that it needs are siblings there.
const STORES: [&str; 2] = ["/nix/store", "/gnu/store"];
/// What a script may need in order to find and start the program that it stands for.
const PROGRAMS: [&str; 4] = ["/usr", "/bin", "/sbin", "/opt"];

/// What this program needs.
pub(super) fn of(program: &Path, with_kvm: bool) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |path: &Path, access| entries.extend(entry(path, access));
    let program = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    for path in LIBRARIES.iter().chain(&FIRMWARE) {
        add(Path::new(path), Access::Read);
    }
    for path in LINKERS {
        add(Path::new(path), Access::Execute);
    }
    for path in STORES.iter().filter(|store| program.starts_with(store)) {
        add(Path::new(path), Access::Execute);
    }
    add_beside(&program, &mut add);
    if is_script(&program) {
        PROGRAMS.iter().for_each(|path| add(Path::new(path), Access::Execute));
    }
    for path in ["/dev/null", "/dev/urandom"] {
        add(Path::new(path), Access::Device);
    }
    if with_kvm {
        add(Path::new("/dev/kvm"), Access::Device);
    }
    add(&program, Access::Execute);
    entries
}

/// What a QEMU that is not the distribution's has in the folders beside it. Never more than folders of these names: the
/// program may be in somebody's home.
fn add_beside(program: &Path, add: &mut impl FnMut(&Path, Access)) {
    let Some(folder) = program.parent() else { return };
    for name in FIRMWARE_BESIDE {
        let Ok(path) = fs::canonicalize(folder.join(name)) else { continue };
        if !FIRMWARE.iter().any(|known| path.starts_with(known)) {
            add(&path, Access::Read);
        }
    }
    let Some(prefix) = folder.parent().filter(|_| folder.ends_with("bin")) else { return };
    for name in ["lib", "lib64"] {
        let path = prefix.join(name);
        if !LIBRARIES.iter().any(|known| Path::new(known) == path) {
            add(&path, Access::Read);
        }
    }
}

/// A script starts with what its interpreter is (`execve(2)`).
fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"#!"
}

fn entry(path: &Path, access: Access) -> Option<Entry> {
    let target = fs::canonicalize(path).ok()?;
    let is_folder = fs::metadata(&target).ok()?.is_dir();
    Some(Entry { path: path.to_owned(), target, is_folder, access })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_home_is_in_the_view_but_the_program_and_its_own_folders() {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        for folder in ["bin", "share/qemu", "share/private", "lib"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        fs::write(bin.join("qemu"), b"\x7fELF").unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let mut below: Vec<PathBuf> = of(&bin.join("qemu"), false)
            .into_iter()
            .map(|entry| entry.target)
            .filter(|path| path.starts_with(&home))
            .collect();
        below.sort();
        assert_eq!(below, ["bin/qemu", "lib", "share/qemu"].map(|name| home.join(name)));
    }

    #[test]
    fn only_devices_are_writable_and_kvm_only_where_it_is_used() {
        let is_kvm = |entry: &Entry| entry.path == Path::new("/dev/kvm");
        let entries = of(Path::new("/bin/true"), false);
        assert!(!entries.iter().any(is_kvm), "{entries:?}");
        assert!(
            entries
                .iter()
                .filter(|entry| entry.access == Access::Device)
                .all(|entry| entry.path.starts_with("/dev"))
        );
        assert!(
            entries.iter().any(|entry| entry.path == Path::new("/usr/lib") && entry.access == Access::Read)
        );
    }
}
