//! Small ext4 file systems on loop mounts, and the ways to hurt and repair one. Needs root; says why where it cannot.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::clock::pause;

/// `EXT4_IOC_SHUTDOWN` without flushing the journal: what a power cut leaves. There is no safe call of it in Rust.
const CUT: &str = "import fcntl, os, struct, sys\n\
                   fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// Runs a program and gives what it complained of, if it failed.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")))
}

/// A file system in a file of its own.
#[derive(Debug)]
pub(crate) struct Mount {
    image: PathBuf,
    pub(crate) folder: PathBuf,
    mounted: bool,
    generation: u32,
}

impl Mount {
    /// Makes an image of so many MiB below `base` and mounts it.
    pub(crate) fn new(base: &Path, name: &str, mib: u64) -> Result<Self, String> {
        let (image, folder) = (base.join(format!("{name}.img")), base.join(name));
        std::fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let file = std::fs::File::create(&image).map_err(|e| format!("{}: {e}", image.display()))?;
        file.set_len(mib << 20).map_err(|e| format!("{}: {e}", image.display()))?;
        command("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", text(&image)])?;
        let mut mount = Self { image, folder, mounted: false, generation: 0 };
        mount.mount()?;
        Ok(mount)
    }

    pub(crate) fn mount(&mut self) -> Result<(), String> {
        command("mount", &["-o", "loop", text(&self.image), text(&self.folder)])?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts, waiting for the last process to let go.
    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..100 {
            match command("umount", &[text(&self.folder)]) {
                Ok(()) => {
                    self.mounted = false;
                    return Ok(());
                }
                Err(why) => last = why,
            }
            pause(Duration::from_millis(20));
        }
        Err(last)
    }

    /// Cuts the power: nothing more reaches the image, and what was not synced never will.
    pub(crate) fn cut(&self) -> Result<(), String> {
        command("python3", &["-c", CUT, text(&self.folder)])
    }

    pub(crate) fn remount(&self, how: &str) -> Result<(), String> {
        command("mount", &["-o", &format!("remount,{how}"), text(&self.folder)])
    }

    /// Makes it read-only as a disk with errors becomes; a plain remount is refused while files are open.
    pub(crate) fn read_only(&self) -> Result<(), String> {
        self.remount("ro").or_else(|_| self.remount("abort"))
    }

    /// Mounts what is on the image in the place of a file system that will never work again, though it is still held open.
    pub(crate) fn replace(&mut self) -> Result<(), String> {
        command("umount", &["-l", text(&self.folder)])?;
        self.mounted = false;
        self.generation += 1;
        let copy = self.image.with_extension(format!("{}.img", self.generation));
        command("cp", &["--sparse=always", text(&self.image), text(&copy)])?;
        self.image = copy;
        self.mount()
    }

    pub(crate) fn freeze(&self, on: bool) -> Result<(), String> {
        command("fsfreeze", &[if on { "-f" } else { "-u" }, text(&self.folder)])
    }

    /// Takes all the room that is left, and gives the file that has it.
    pub(crate) fn fill(&self) -> Result<PathBuf, String> {
        let path = self.folder.join("filling");
        // It ends with an error, as it should: the disk is full.
        // The rest in small pieces, until nothing fits any more.
        for size in ["bs=64K", "bs=512"] {
            let _ = command("dd", &["if=/dev/zero", &format!("of={}", path.display()), size, "oflag=append", "conv=notrunc,fsync"]);
        }
        if path.is_file() { Ok(path) } else { Err(format!("{} could not be filled", self.folder.display())) }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or("?")
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // A frozen one would keep everybody waiting.
            let _ = self.freeze(false);
            let _ = command("umount", &["-l", text(&self.folder)]);
        }
    }
}

/// Why this machine does not allow loop mounts that can be cut; `None` where it does.
pub(crate) fn refusal(base: &Path) -> Option<String> {
    let probe = || -> Result<(), String> {
        let mut mount = Mount::new(base, "probe", 16)?;
        mount.cut()?;
        mount.unmount()
    };
    probe().err()
}
