//! How much memory there is for the process: what the machine has, or what the control group that it runs in may take, whichever is less.
//! Decides nothing of what it is used for but the shares of the parts that are bounded from the start.

use std::path::{Path, PathBuf};

/// Three of four bytes are the engine's; the rest is for programs, stacks, connections, logs on their way and the system's page cache.
const SHARE: (u64, u64) = (3, 4);
/// Where nothing says how much there is.
const UNKNOWN_BYTES: u64 = 1 << 30;
/// Parts with a bound of their own take no more than one byte in so many of the budget.
const PART_SHARE: u64 = 8;

/// The budget of the whole, and what it was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Bytes that the engine may hold.
    pub(crate) bytes: u64,
    /// Bytes that the process may take, where the budget is a share of them.
    of: Option<u64>,
}

impl Budget {
    /// The budget of a setting, of which 0 means a share of what there is.
    pub(crate) fn of_setting(bytes: u64) -> Self {
        if bytes > 0 {
            return Self { bytes, of: None };
        }
        let available = available(Path::new("/"));
        Self { bytes: available.unwrap_or(UNKNOWN_BYTES) / SHARE.1 * SHARE.0, of: available }
    }

    /// The bound of a part that may take so many bytes.
    pub(crate) fn bound(&self, bytes: u64) -> usize {
        usize::try_from(bytes.min(self.bytes / PART_SHARE)).unwrap_or(usize::MAX)
    }

    /// The line that a start prints.
    pub(crate) fn told(&self) -> String {
        let mib = |bytes: u64| bytes >> 20;
        match self.of {
            Some(of) => format!("memory: {} MiB of the {} MiB there are (memory.budget_bytes)", mib(self.bytes), mib(of)),
            None => format!("memory: {} MiB (memory.budget_bytes)", mib(self.bytes)),
        }
    }
}

/// Bytes that the process may take.
fn available(root: &Path) -> Option<u64> {
    let machine = std::fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| total_of(&text));
    let group = std::fs::read_to_string(root.join("proc/self/cgroup")).ok();
    let limits = group.iter().flat_map(|text| limit_files(text)).filter_map(|file| {
        // "max", or a number beyond all memory, where there is no limit.
        std::fs::read_to_string(root.join(file)).ok()?.trim().parse::<u64>().ok()
    });
    limits.chain(machine).min()
}

/// The total of `/proc/meminfo`.
fn total_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// The files with the limits of the control groups that `/proc/self/cgroup` names (cgroups(7), both versions), from the group itself up
/// to the root; in a container the root is the container's.
fn limit_files(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (folder, name) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            controllers if controllers.split(',').any(|controller| controller == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|above| Path::new(folder).join(above).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       1048576 kB\nMemFree:         524288 kB\n");

    #[test]
    fn the_least_of_machine_and_groups_counts() {
        let at = |files: &[(&str, &str)]| available(machine(files).path());
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[MEMINFO]), Some(1 << 30));
        let group = ("proc/self/cgroup", "0::/a/b\n");
        let outer = ("sys/fs/cgroup/a/memory.max", "4096\n");
        assert_eq!(at(&[MEMINFO, group, ("sys/fs/cgroup/a/b/memory.max", "max\n"), outer]), Some(4_096));
        assert_eq!(at(&[MEMINFO, group, ("sys/fs/cgroup/memory.max", "8192\n")]), Some(8_192), "a container sees its own as the root");
        let first = ("proc/self/cgroup", "5:cpu:/x\n4:memory,hugetlb:/x\n0::/\n");
        assert_eq!(at(&[MEMINFO, first, ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2048\n")]), Some(2_048));
        assert_eq!(at(&[MEMINFO, first, ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n")]), Some(1 << 30));
    }

    #[test]
    fn parts_are_bounded_by_the_whole() {
        let budget = Budget::of_setting(8 << 20);
        assert_eq!((budget.bound(256 << 20), budget.bound(100)), (1 << 20, 100));
        assert_eq!(budget.told(), "memory: 8 MiB (memory.budget_bytes)");
        let share = Budget::of_setting(0);
        assert!(share.bytes >= 3 << 20 && share.of.is_none_or(|of| share.bytes <= of / 4 * 3), "{share:?}");
    }
}
