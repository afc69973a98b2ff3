//! A disk of its own for the hub, small enough to fill: an ext4 image on a loop device. Needs root; without it the disk
//! is the machine's and is never filled.

use std::path::{Path, PathBuf};
use std::process::Command;

/// See the module.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) folder: PathBuf,
    mounted: bool,
}

/// Size of the disk: for the start, and for each second of the schedule. Files that left a table stay for ten minutes.
const MEGABYTES: u64 = 6144;
const MEGABYTES_PER_SECOND: u64 = 6;

impl Disk {
    /// Makes it below `work`, for a schedule of so many seconds. The image takes the space that is used in it.
    pub(crate) fn make(work: &Path, seconds: u64) -> anyhow::Result<Self> {
        let (image, folder) = (work.join("disk.img"), work.join("disk"));
        std::fs::create_dir_all(&folder)?;
        std::fs::File::create(&image)?.set_len((MEGABYTES + MEGABYTES_PER_SECOND * seconds) << 20)?;
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            Command::new(program).args(arguments).output().is_ok_and(|done| done.status.success())
        };
        let mounted = run("mkfs.ext4", &["-q".as_ref(), image.as_os_str()])
            && run("mount", &["-o".as_ref(), "loop,discard".as_ref(), image.as_os_str(), folder.as_os_str()]);
        Ok(Self { folder, mounted })
    }

    pub(crate) fn can_be_filled(&self) -> bool {
        self.mounted
    }

    /// Takes all the space there is. Answers whether the disk said that it was full.
    pub(crate) fn fill(&self) -> anyhow::Result<bool> {
        use std::io::Write;
        let free = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.folder).output()?;
        let free = String::from_utf8_lossy(&free.stdout).lines().last().unwrap_or_default().trim().to_owned();
        // Most of it at once; the rest, which the file system rounds, block by block.
        let _reserved = Command::new("fallocate").args(["-l", &free]).arg(self.filler()).output()?;
        let mut filler = std::fs::File::options().create(true).append(true).open(self.filler())?;
        let block = vec![0_u8; 64 << 10];
        loop {
            match filler.write_all(&block).and_then(|()| filler.sync_data()) {
                Ok(()) => {}
                Err(error) => return Ok(error.kind() == std::io::ErrorKind::StorageFull),
            }
        }
    }

    /// Gives the space back.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _gone = Command::new("umount").arg(&self.folder).status();
        }
    }
}
