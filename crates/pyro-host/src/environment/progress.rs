//! How far a pull is, as it is told to whoever shows it. What is told comes from reading apt's output.

/// What a pull is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullProgress {
    /// A phase has begun.
    Phase {
        /// The environment's name.
        environment: String,
        /// The phase.
        phase: PullPhase,
    },
    /// Bytes of package lists and packages that were asked for so far.
    Download {
        /// Done.
        bytes: u64,
        /// As far as known. Grows when apt has resolved the next group of packages.
        total_bytes: u64,
    },
    /// Packages that were set up so far.
    Packages {
        /// Done.
        done: u64,
        /// As far as known. Grows when apt has resolved the next group of packages.
        total: u64,
    },
}

/// A part of a pull. They come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PullPhase {
    /// Another pull of the same environment is under way.
    Wait,
    /// Looks at the host and at what is installed.
    Check,
    /// Downloads and installs packages.
    Install,
    /// Fetches and unpacks the guest kernel.
    Kernel,
    /// Writes the root image.
    Image,
    /// Computes the digest of every file.
    Verify,
    /// Puts the environment in place.
    Publish,
}

impl PullPhase {
    /// The word for it in progress lines.
    pub fn code(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Check => "check",
            Self::Install => "install",
            Self::Kernel => "kernel",
            Self::Image => "image",
            Self::Verify => "verify",
            Self::Publish => "publish",
        }
    }
}

/// Reads the output of mmdebstrap, apt and dpkg line by line.
#[derive(Debug, Default)]
pub(super) struct InstallOutput {
    bytes: u64,
    total_bytes: u64,
    done: u64,
    total: u64,
}

impl InstallOutput {
    /// What a line tells, if anything.
    pub(super) fn read(&mut self, line: &str) -> Option<PullProgress> {
        if let Some(rest) = line.strip_prefix("Get:") {
            self.bytes += bracketed(rest)?;
        } else if let Some(rest) = line.strip_prefix("Need to get ") {
            // What was fetched before (the package lists) is part of the whole.
            self.total_bytes = self.total_bytes.max(self.bytes)
                + size(rest.split('/').next()?.trim_end_matches(" of archives."))?;
        } else if line.contains(" newly installed, ") {
            self.total += line.split(", ").nth(1)?.split(' ').next()?.parse::<u64>().ok()?;
            return Some(self.packages());
        } else if line.starts_with("Setting up ") {
            self.done += 1;
            return Some(self.packages());
        } else {
            return None;
        }
        Some(PullProgress::Download { bytes: self.bytes, total_bytes: self.total_bytes.max(self.bytes) })
    }

    fn packages(&self) -> PullProgress {
        PullProgress::Packages { done: self.done, total: self.total.max(self.done) }
    }
}

/// The size at the end of a line such as `1 http://… libc6 amd64 2.36-9 [2759 kB]`.
fn bracketed(line: &str) -> Option<u64> {
    let (_, inner) = line.strip_suffix(']')?.rsplit_once('[')?;
    size(inner)
}

/// A size as apt prints it: `5616 B`, `22.2 MB`, `1,024 kB`.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor = match unit.split_whitespace().next()? {
        "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.replace(',', "").parse().ok()?;
    let tenths: u64 = fraction.chars().next()?.to_digit(10)?.into();
    whole.checked_mul(factor)?.checked_add(tenths * factor / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_apt_prints_them() {
        assert_eq!(size("5616 B"), Some(5616));
        assert_eq!(size("22.2 MB"), Some(22_200_000));
        assert_eq!(size("1,024 kB"), Some(1_024_000));
        for text in
            ["", "MB", "x MB", "1 parsec", "99999999999999999999 GB", "18446744073709551615 GB", "1. MB"]
        {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn progress_of_a_pull() {
        let mut output = InstallOutput::default();
        let mut told = |line: &str| output.read(line);
        let download = |bytes, total_bytes| Some(PullProgress::Download { bytes, total_bytes });
        let packages = |done, total| Some(PullProgress::Packages { done, total });
        assert_eq!(
            told("Get:1 http://m.example/debian bookworm InRelease [151 kB]"),
            download(151_000, 151_000)
        );
        assert_eq!(told("0 upgraded, 60 newly installed, 0 to remove and 1 not upgraded."), packages(0, 60));
        assert_eq!(told("Need to get 2.5 MB of archives."), download(151_000, 2_651_000));
        assert_eq!(told("Get:1 http://m.example/debian a amd64 1 [500 kB]"), download(651_000, 2_651_000));
        assert_eq!(told("Setting up libc6:amd64 (2.36) ..."), packages(1, 60));
        assert_eq!(told("Get:odd"), None);
        assert_eq!(told("Unpacking libc6"), None);
    }
}
