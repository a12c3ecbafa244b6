//! What `env list`, `env inspect` and `env prune` answer. Plain data, the same for every front end.

use super::catalog::{ARCHITECTURE, CATALOG_VERSION, CatalogEntry, SUITE};
use super::installed::{Environment, Installed, Provenance};
use super::manifest::{FileRecord, KernelRecord, PackageRecord};
use serde::Serialize;
use std::path::PathBuf;

/// Every environment of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvironmentList {
    /// Counts up whenever the catalogue changes.
    pub catalog_version: u32,
    /// The environments, by name.
    pub environments: Vec<EnvironmentSummary>,
}

/// One environment, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EnvironmentSummary {
    /// The name that users type.
    pub name: String,
    /// The version of the system inside.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// Whether it is installed and undamaged.
    pub installed: bool,
    /// What is wrong with the installed files, if something is.
    pub damage: Option<String>,
    /// The digest, if it is installed.
    pub digest: Option<String>,
    /// The size of its files, if it is installed.
    pub total_bytes: Option<u64>,
}

impl EnvironmentSummary {
    pub(super) fn new(entry: &CatalogEntry, state: &Installed) -> Self {
        let environment = intact(state);
        Self {
            name: entry.name.into(),
            version: entry.version.into(),
            description: entry.description.into(),
            installed: environment.is_some(),
            damage: damage(state),
            digest: environment.map(|environment| environment.digest.clone()),
            total_bytes: environment.map(|environment| environment.manifest.total_bytes()),
        }
    }
}

/// All that is known of an environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentInspection {
    /// The name that users type.
    pub name: String,
    /// The version of the system inside.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// The version of the catalogue of this pyro.
    pub catalog_version: u32,
    /// The Debian release.
    pub suite: String,
    /// The processor architecture.
    pub architecture: String,
    /// The packages that the catalogue asks for by name.
    pub requested_packages: Vec<String>,
    /// Whether it is installed and undamaged.
    pub installed: bool,
    /// What is wrong with the installed files, if something is.
    pub damage: Option<String>,
    /// The digest, if it is installed.
    pub digest: Option<String>,
    /// The guest kernel, if it is installed.
    pub kernel: Option<KernelRecord>,
    /// The modules that the guest loads at boot, in that order.
    pub modules: Vec<String>,
    /// Every installed package with its version.
    pub packages: Vec<PackageRecord>,
    /// Every file with its digest.
    pub files: Vec<FileRecord>,
    /// How large the files are, if it is installed.
    pub sizes: Option<EnvironmentSizes>,
    /// Where it came from, if it is installed.
    pub provenance: Option<Provenance>,
    /// Where the files are, if it is installed.
    pub paths: Option<EnvironmentPaths>,
}

/// How large an installed environment is, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvironmentSizes {
    /// Everything.
    pub total_bytes: u64,
    /// The root image.
    pub root_image_bytes: u64,
    /// The guest kernel.
    pub kernel_bytes: u64,
    /// The modules that the guest loads at boot.
    pub modules_bytes: u64,
}

/// Where the files of an installed environment are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvironmentPaths {
    /// The folder.
    pub folder: PathBuf,
    /// The read-only root image.
    pub root_image: PathBuf,
    /// The guest kernel.
    pub kernel: PathBuf,
    /// The modules, in the order of loading.
    pub modules: Vec<PathBuf>,
}

impl EnvironmentInspection {
    pub(super) fn new(entry: &CatalogEntry, state: Installed) -> Self {
        let damage = damage(&state);
        let mut inspection = Self {
            name: entry.name.into(),
            version: entry.version.into(),
            description: entry.description.into(),
            catalog_version: CATALOG_VERSION,
            suite: SUITE.into(),
            architecture: ARCHITECTURE.into(),
            requested_packages: entry.packages().map(str::to_owned).collect(),
            installed: false,
            damage,
            digest: None,
            kernel: None,
            modules: Vec::new(),
            packages: Vec::new(),
            files: Vec::new(),
            sizes: None,
            provenance: None,
            paths: None,
        };
        if let Installed::Intact(environment) = state {
            inspection.fill(*environment);
        }
        inspection
    }

    fn fill(&mut self, environment: Environment) {
        self.installed = true;
        self.sizes = Some(EnvironmentSizes::of(&environment));
        self.digest = Some(environment.digest);
        self.provenance = Some(environment.provenance);
        self.paths = Some(EnvironmentPaths {
            folder: environment.folder,
            root_image: environment.root_image,
            kernel: environment.kernel,
            modules: environment.modules,
        });
        self.kernel = Some(environment.manifest.kernel);
        self.modules = environment.manifest.modules;
        self.packages = environment.manifest.packages;
        self.files = environment.manifest.files;
    }
}

impl EnvironmentSizes {
    fn of(environment: &Environment) -> Self {
        let files = &environment.manifest.files;
        let sum = |fits: fn(&str) -> bool| {
            files
                .iter()
                .filter(|file| fits(&file.path))
                .fold(0, |sum: u64, file| sum.saturating_add(file.size))
        };
        Self {
            total_bytes: environment.manifest.total_bytes(),
            root_image_bytes: sum(|path| path == super::manifest::ROOT_IMAGE_FILE),
            kernel_bytes: sum(|path| path == super::manifest::KERNEL_FILE),
            modules_bytes: sum(|path| path.starts_with(super::manifest::MODULES_FOLDER)),
        }
    }
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    /// The removed environments.
    pub deleted: Vec<PrunedEnvironment>,
    /// How many they are.
    pub count: usize,
    /// The disk space that became free, with that of abandoned pulls.
    pub freed_bytes: u64,
}

/// One removed environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrunedEnvironment {
    /// The digest.
    pub digest: String,
    /// The name of the environment, if its manifest could still be read.
    pub name: Option<String>,
    /// The disk space that became free.
    pub freed_bytes: u64,
}

impl PruneReport {
    pub(super) fn new(deleted: Vec<PrunedEnvironment>, swept_bytes: u64) -> Self {
        let freed_bytes =
            deleted.iter().fold(swept_bytes, |sum, pruned| sum.saturating_add(pruned.freed_bytes));
        Self { count: deleted.len(), deleted, freed_bytes }
    }
}

fn intact(state: &Installed) -> Option<&Environment> {
    match state {
        Installed::Intact(environment) => Some(environment),
        Installed::Absent | Installed::Damaged(_) => None,
    }
}

fn damage(state: &Installed) -> Option<String> {
    match state {
        Installed::Damaged(damage) => Some(damage.clone()),
        Installed::Absent | Installed::Intact(_) => None,
    }
}
