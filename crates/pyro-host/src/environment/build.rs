//! Builds the files of an environment in a staging folder: packages, kernel, image.
//!
//! Every program runs in a sandbox that cannot outlive this process. It must not publish anything.

use super::catalog::{ARCHITECTURE, CatalogEntry, SUITE};
use super::diagnosis::{diagnose, is_telling};
use super::manifest::{KERNEL_FILE, KernelRecord, MODULES_FOLDER, ROOT_IMAGE_FILE, module_path};
use super::mirror::{Mirror, connection_options};
use super::modules::ModuleTree;
use super::progress::{InstallOutput, PullPhase, PullProgress};
use super::sandbox::Sandbox;
use crate::error::{Context, Error, ErrorKind, Result};
use std::fs;
use std::path::{Path, PathBuf};

const KERNEL_HOOK: &str = include_str!("script/kernel.sh");
const IMAGE_SCRIPT: &str = include_str!("script/image.sh");
/// Lays out `/bin` and its like as symlinks from the start, as Debian's installer does. Without it the package
/// that converts them afterwards would bring in Perl.
const MERGED_USR_HOOKS: &str = "/usr/share/mmdebstrap/hooks/merged-usr";
/// A mirror that does not answer fails the pull in less than a minute.
const APT_OPTIONS: &[&str] =
    &["Acquire::Retries \"2\";", "Acquire::http::Timeout \"15\";", "Acquire::https::Timeout \"15\";"];
/// What guests have no use for. Licences stay.
const DPKG_OPTIONS: &[&str] = &[
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
];
/// More lines than this are never remembered for an error.
const MAX_TELLING_LINES: usize = 20;

/// A build under way.
pub(super) struct Build<'a> {
    entry: &'static CatalogEntry,
    mirror: &'a Mirror,
    staging: &'a Path,
}

impl<'a> Build<'a> {
    /// Makes the folders of a build.
    pub(super) fn new(entry: &'static CatalogEntry, mirror: &'a Mirror, staging: &'a Path) -> Result<Self> {
        let build = Self { entry, mirror, staging };
        for folder in
            [build.output(), build.output().join(MODULES_FOLDER), build.download(), build.temporary()]
        {
            fs::create_dir(&folder).doing(|| format!("could not make the folder `{}`", folder.display()))?;
        }
        // What is newer than this was made by the build, what is older came in a package.
        fs::write(build.stamp(), "").doing(|| format!("could not write `{}`", build.stamp().display()))?;
        Ok(build)
    }

    /// Where the finished files are.
    pub(super) fn output(&self) -> PathBuf {
        self.staging.join("environment")
    }

    /// The root file system, before it becomes an image.
    pub(super) fn root(&self) -> PathBuf {
        self.staging.join("root")
    }

    fn download(&self) -> PathBuf {
        self.staging.join("download")
    }

    fn temporary(&self) -> PathBuf {
        self.staging.join("tmp")
    }

    fn stamp(&self) -> PathBuf {
        self.staging.join("stamp")
    }

    fn kernel_tree(&self) -> PathBuf {
        self.staging.join("kernel")
    }

    /// Downloads and installs the packages, and downloads the kernel's.
    pub(super) async fn install(&self, progress: &mut impl FnMut(PullProgress)) -> Result<()> {
        let options = connection_options().await;
        let aptopts = APT_OPTIONS.iter().map(ToString::to_string).chain(options);
        let packages: Vec<&str> = self.entry.packages().collect();
        let mut sandbox = self
            .sandbox("mmdebstrap")
            .arguments(["--verbose", "--mode=root", "--format=directory", "--variant=minbase"])
            .argument(format!("--architectures={ARCHITECTURE}"))
            .argument(format!("--include={}", packages.join(",")))
            .arguments(aptopts.map(|option| format!("--aptopt={option}")))
            .arguments(DPKG_OPTIONS.iter().map(|option| format!("--dpkgopt={option}")))
            .variable("PYRO_KERNEL_FOLDER", self.download());
        if Path::new(MERGED_USR_HOOKS).is_dir() {
            sandbox = sandbox.argument(format!("--hook-directory={MERGED_USR_HOOKS}"));
        }
        let sandbox = sandbox
            .argument(format!("--customize-hook={KERNEL_HOOK}"))
            .argument(SUITE)
            .argument(self.root())
            .arguments(self.mirror.sources());
        self.run(sandbox, progress).await
    }

    /// Unpacks the kernel and the modules that the guest needs at boot. Gives the modules in the order of loading.
    pub(super) async fn kernel(&self) -> Result<(KernelRecord, Vec<String>)> {
        let package = self.kernel_package()?;
        let unpack =
            self.sandbox("dpkg-deb").argument("--extract").argument(&package).argument(self.kernel_tree());
        self.run(unpack, &mut |_| {}).await?;
        let release = self.kernel_release()?;
        let image_path = self.kernel_tree().join("boot").join(format!("vmlinuz-{release}"));
        let image = fs::read(&image_path).doing(|| format!("could not read `{}`", image_path.display()))?;
        let (kernel, kind, reason) = super::kernel::stored_form(image);
        if let Some(reason) = reason {
            tracing::warn!(release, reason, "the guest kernel stays packed: guests will start more slowly");
        }
        self.write(KERNEL_FILE, &kernel)?;
        let mut modules = Vec::new();
        for (name, content) in ModuleTree::read(&self.module_folder(&release))?.boot_modules()? {
            self.write(&module_path(&name), &content)?;
            modules.push(name);
        }
        let (package, version) = package_identity(&package)?;
        Ok((KernelRecord { package, version, release, kind }, modules))
    }

    /// Finishes the root file system and makes the image of it.
    pub(super) async fn image(&self, kernel: &KernelRecord) -> Result<()> {
        let modules = match self.entry.has_extra_modules {
            true => self.module_folder(&kernel.release),
            false => PathBuf::new(),
        };
        let sandbox = self
            .sandbox("sh")
            .arguments(["-c", IMAGE_SCRIPT, "pyro-image"])
            .argument(self.root())
            .argument(self.output().join(ROOT_IMAGE_FILE))
            .argument(self.stamp())
            .argument(&kernel.release)
            .argument(modules);
        self.run(sandbox, &mut |_| {}).await
    }

    fn sandbox(&self, program: &str) -> Sandbox {
        Sandbox::new(program, self.staging).variable("TMPDIR", self.temporary())
    }

    async fn run(&self, sandbox: Sandbox, progress: &mut impl FnMut(PullProgress)) -> Result<()> {
        let mut output = InstallOutput::default();
        let mut telling = Vec::new();
        let on_line = |line: &str| {
            tracing::debug!(line, "pull");
            if is_telling(line) && telling.len() < MAX_TELLING_LINES {
                telling.push(line.to_owned());
            }
            if line.starts_with("I: running --customize-hook") {
                progress(PullProgress::Phase {
                    environment: self.entry.name.into(),
                    phase: PullPhase::Kernel,
                });
            }
            output.read(line).into_iter().for_each(&mut *progress);
        };
        let result = sandbox.run(on_line).await;
        result.map_err(|failure| diagnose(self.entry.name, &failure, &telling))
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let path = self.output().join(path);
        fs::write(&path, content).doing(|| format!("could not write `{}`", path.display()))
    }

    /// The one package that the hook downloaded.
    fn kernel_package(&self) -> Result<PathBuf> {
        let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
        only_entry(&self.download(), is_package, "kernel package")
    }

    fn kernel_release(&self) -> Result<String> {
        let folder = only_entry(&self.all_modules(), |path| path.is_dir(), "kernel release")?;
        let release = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let is_plain = release.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-_~".contains(&byte));
        is_plain.then_some(release).ok_or_else(|| odd(&folder, "kernel release"))
    }

    fn module_folder(&self, release: &str) -> PathBuf {
        self.all_modules().join(release)
    }

    /// Debian moves it to `/usr` from release 13 on.
    fn all_modules(&self) -> PathBuf {
        let moved = self.kernel_tree().join("usr/lib/modules");
        if moved.is_dir() { moved } else { self.kernel_tree().join("lib/modules") }
    }
}

fn only_entry(folder: &Path, fits: impl Fn(&PathBuf) -> bool, what: &str) -> Result<PathBuf> {
    let entries =
        fs::read_dir(folder).doing(|| format!("could not read the folder `{}`", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(fits).collect();
    match (found.pop(), found.is_empty()) {
        (Some(entry), true) => Ok(entry),
        _ => Err(odd(folder, what)),
    }
}

fn odd(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::EnvironmentUnavailable,
        format!("`{}` does not hold exactly one {what}", path.display()),
    )
}

/// Name and version of a package, from the name that apt gives its file.
fn package_identity(path: &Path) -> Result<(String, String)> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut parts = stem.split('_').map(|part| part.replace("%3a", ":"));
    match (parts.next(), parts.next()) {
        (Some(name), Some(version)) if !name.is_empty() => Ok((name, version)),
        _ => Err(odd(path, "package")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_known_by_its_file() {
        let identity = package_identity(Path::new("/x/linux-image-6.1.0-56-cloud-amd64_6.1.192-2_amd64.deb"));
        let expected = ("linux-image-6.1.0-56-cloud-amd64".to_owned(), "6.1.192-2".to_owned());
        assert_eq!(identity.expect("well formed"), expected);
        assert_eq!(package_identity(Path::new("a_1%3a2_all.deb")).expect("well formed").1, "1:2");
        assert!(package_identity(Path::new("odd.deb")).is_err());
    }

    #[test]
    fn exactly_one_entry_is_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(only_entry(folder.path(), |_| true, "file").is_err());
        fs::write(folder.path().join("a"), "").expect("writes");
        assert!(only_entry(folder.path(), |_| true, "file").is_ok());
        fs::write(folder.path().join("b"), "").expect("writes");
        assert!(only_entry(folder.path(), |_| true, "file").is_err());
    }
}
