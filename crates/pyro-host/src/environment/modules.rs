//! Finds the kernel modules that a guest needs before it has a root file system, in the order of loading.
//!
//! The files themselves say what they depend on (section `.modinfo`), so that no `depmod` is needed on the host.

use crate::error::{Context, Error, ErrorKind, Result};
use object::{Object, ObjectSection};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Devices of the microvm, the root image and the layer above it, and what the guest can offer to commands early.
const WANTED: &[&str] =
    &["virtio_mmio", "virtio_console", "virtio_blk", "virtio_rng", "virtio_net", "erofs", "overlay", "fuse"];

/// The modules of one kernel.
#[derive(Debug)]
pub(super) struct ModuleTree {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

/// What one module needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    /// Must be there before.
    required: Vec<String>,
    /// Should be there before, under whatever name the kernel has them.
    wished: Vec<String>,
}

impl ModuleTree {
    /// Looks through `lib/modules/<release>`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(folder, &mut files)?;
        let list = folder.join("modules.builtin");
        let text = std::fs::read_to_string(&list).doing(|| format!("could not read `{}`", list.display()))?;
        let builtin = text.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Ok(Self { files, builtin })
    }

    /// The modules that the guest needs at boot, dependencies first, each with its content.
    pub(super) fn boot_modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut loaded = Vec::new();
        let mut visited = BTreeSet::new();
        for wanted in WANTED {
            self.add(wanted, &mut visited, &mut loaded)?;
        }
        Ok(loaded)
    }

    fn add(
        &self,
        name: &str,
        visited: &mut BTreeSet<String>,
        loaded: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<()> {
        if self.builtin.contains(name) || !visited.insert(name.to_owned()) {
            return Ok(());
        }
        let path =
            self.files.get(name).ok_or_else(|| broken(format!("the kernel has no module `{name}`")))?;
        if path.extension().is_none_or(|extension| extension != "ko") {
            let message =
                format!("the kernel module `{}` is compressed, which pyro does not read", path.display());
            return Err(broken(message));
        }
        let content = std::fs::read(path).doing(|| format!("could not read `{}`", path.display()))?;
        let needs = needs(&content).map_err(|problem| {
            broken(format!("`{}` is not a kernel module", path.display())).with_source(problem)
        })?;
        for required in needs.required {
            self.add(&required, visited, loaded)?;
        }
        for wished in needs.wished {
            // Such as `crc32c`, for which any module of that algorithm will do.
            let candidates = [format!("{wished}_generic"), wished];
            if let Some(found) = candidates.iter().find(|candidate| self.files.contains_key(*candidate)) {
                self.add(found, visited, loaded)?;
            }
        }
        loaded.push((name.to_owned(), content));
        Ok(())
    }
}

fn broken(message: String) -> Error {
    Error::new(ErrorKind::EnvironmentUnavailable, message)
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let doing = || format!("could not read the folder `{}`", folder.display());
    for entry in std::fs::read_dir(folder).doing(doing)? {
        let entry = entry.doing(doing)?;
        let kind = entry.file_type().doing(doing)?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file()
            && let Some(name) = name_of(&entry.path())
        {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// The name of the module in a file. `-` and `_` mean the same in it.
fn name_of(path: &Path) -> Option<String> {
    let (name, ending) = path.file_name()?.to_str()?.split_once(".ko")?;
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    (is_plain && matches!(ending, "" | ".xz" | ".zst" | ".gz")).then(|| name.replace('-', "_"))
}

fn needs(module: &[u8]) -> std::result::Result<Needs, String> {
    let file = object::File::parse(module).map_err(|error| error.to_string())?;
    let section = file.section_by_name(".modinfo").ok_or("no section `.modinfo`")?;
    Ok(parse_modinfo(section.data().map_err(|error| error.to_string())?))
}

/// `.modinfo` is a list of `key=value`, each with a zero byte at its end.
fn parse_modinfo(section: &[u8]) -> Needs {
    let mut needs = Needs::default();
    let names = |text: &str| -> Vec<String> {
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        words.map(|word| word.replace('-', "_")).collect()
    };
    for text in section.split(|byte| *byte == 0).filter_map(|field| std::str::from_utf8(field).ok()) {
        if let Some(value) = text.strip_prefix("depends=") {
            needs.required.extend(names(value));
        } else if let Some(value) = text.strip_prefix("softdep=pre:") {
            needs.wished.extend(names(value.split("post:").next().unwrap_or_default()));
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// A relocatable ELF file with nothing but a `.modinfo`.
    fn module(modinfo: &str) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(1u16.to_le_bytes());
        file.extend(62u16.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend([0; 16]);
        file.extend(64u64.to_le_bytes()); // section headers
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 0, 0, 64, 3, 2] {
            file.extend(half.to_le_bytes());
        }
        let names = b"\0.modinfo\0.shstrtab\0";
        let start = 64 + 3 * 64;
        file.extend([0; 64]);
        for (name, kind, offset, size) in
            [(1u32, 1u32, start + names.len(), modinfo.len()), (10, 3, start, names.len())]
        {
            file.extend(name.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend([0; 16]);
            file.extend((offset as u64).to_le_bytes());
            file.extend((size as u64).to_le_bytes());
            file.extend([0; 24]);
        }
        file.extend(names);
        file.extend(modinfo.as_bytes());
        file
    }

    fn tree(modules: &[(&str, &str)], builtin: &[&str]) -> (tempfile::TempDir, ModuleTree) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("kernel/deep")).expect("makes");
        for (file, modinfo) in modules {
            std::fs::write(folder.path().join("kernel/deep").join(file), module(modinfo)).expect("writes");
        }
        let list = builtin.iter().fold(String::new(), |mut list, name| {
            let _ = writeln!(list, "kernel/{name}.ko");
            list
        });
        std::fs::write(folder.path().join("modules.builtin"), list).expect("writes");
        let tree = ModuleTree::read(folder.path()).expect("reads");
        (folder, tree)
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let (_folder, tree) = tree(
            &[
                ("virtio.ko", "depends=virtio_ring\0"),
                ("virtio_ring.ko", "depends=\0"),
                ("virtio_mmio.ko", "license=GPL\0depends=virtio,virtio_ring\0"),
                ("virtio_console.ko", "depends=virtio,virtio_ring\0"),
                ("virtio_blk.ko", "depends=virtio,virtio_ring\0"),
                ("virtio-rng.ko", "depends=virtio,virtio_ring\0"),
                ("virtio_net.ko", "depends=virtio,net-failover\0"),
                ("net_failover.ko", "depends=\0"),
                ("erofs.ko", "depends=libcrc32c\0"),
                ("libcrc32c.ko", "depends=\0softdep=pre: crc32c nothing post: later\0"),
                ("crc32c_generic.ko", "depends=\0"),
                ("fuse.ko", "depends=\0"),
                ("unneeded.ko", "depends=\0"),
            ],
            &["fs/overlay"],
        );
        let modules = tree.boot_modules().expect("complete");
        let names: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
        let expected = "virtio_ring virtio virtio_mmio virtio_console virtio_blk virtio_rng net_failover virtio_net \
                        crc32c_generic libcrc32c erofs fuse";
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn a_missing_or_compressed_module_is_named() {
        let (_folder, empty) = tree(&[], &[]);
        assert!(empty.boot_modules().expect_err("missing").message().contains("`virtio_mmio`"));
        let (_folder, packed) = tree(&[("virtio_mmio.ko.xz", "")], &[]);
        assert!(packed.boot_modules().expect_err("packed").message().contains("is compressed"));
    }

    #[test]
    fn circles_and_nonsense_end() {
        let (_folder, circle) = tree(&[("virtio_mmio.ko", "depends=virtio_mmio\0")], &[]);
        assert!(circle.boot_modules().is_err());
        assert_eq!(parse_modinfo(b"\xff\0depends\0=\0depends=,,\0"), Needs::default());
        assert!(needs(b"not a module").is_err());
    }
}
