//! A wall clock that jumps and a disk that is slow, while the hub runs: `shim.c`, preloaded into it, does what a file says
//! and counts there how often it did.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

/// Bytes of the file: seven 64-bit numbers, see `shim.c`.
const BYTES: u64 = 7 * 8;

/// What was counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// Looks at a clock that was shifted.
    ClocksShifted,
    /// Syncs and writes that were delayed.
    DiskDelayed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shim {
    library: PathBuf,
    control: PathBuf,
    file: File,
}

impl Shim {
    /// Compiles it into `work`.
    pub(crate) fn make(work: &Path) -> anyhow::Result<Self> {
        let (source, library, control) = (work.join("shim.c"), work.join("shim.so"), work.join("shim.control"));
        std::fs::write(&source, include_str!("../shim.c"))?;
        let compiled = Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([library.as_os_str(), source.as_os_str(), "-ldl".as_ref()])
            .output()
            .context("no C compiler")?;
        ensure!(compiled.status.success(), "shim.c: {}", String::from_utf8_lossy(&compiled.stderr));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&control)?;
        file.set_len(BYTES)?;
        Ok(Self { library, control, file })
    }

    /// Variables of a process that it shall stand in.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("MINQIAO_FAULTS_CONTROL", &self.control)]
    }

    /// Moves the wall clock away from the machine's.
    pub(crate) fn shift_clock(&self, seconds: i64) -> anyhow::Result<()> {
        self.put(0, seconds.saturating_mul(1_000_000_000))
    }

    /// Every sync takes so long from now on, and one write of `one_in`.
    pub(crate) fn slow_down(&self, from: Duration, to: Duration, one_in: i64) -> anyhow::Result<()> {
        self.put(1, i64::try_from(from.as_millis())?)?;
        self.put(2, i64::try_from(to.as_millis())?)?;
        self.put(3, one_in)
    }

    /// The disk is as it is.
    pub(crate) fn speed_up(&self) -> anyhow::Result<()> {
        self.slow_down(Duration::ZERO, Duration::ZERO, 0)
    }

    /// How often it struck, in all processes so far.
    pub(crate) fn count(&self, counter: Counter) -> anyhow::Result<i64> {
        let places: &[u64] = match counter {
            Counter::ClocksShifted => &[4],
            Counter::DiskDelayed => &[5, 6],
        };
        let mut sum = 0;
        for place in places {
            let mut bytes = [0; 8];
            self.file.read_exact_at(&mut bytes, place * 8)?;
            sum += i64::from_ne_bytes(bytes);
        }
        Ok(sum)
    }

    fn put(&self, place: u64, value: i64) -> anyhow::Result<()> {
        Ok(self.file.write_all_at(&value.to_ne_bytes(), place * 8)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_shifted_clock_and_the_slow_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let shim = Shim::make(folder.path()).expect("it compiles");
        let run = |program: &str, arguments: &[&str]| {
            let done = Command::new(program).args(arguments).envs(shim.environment()).output().expect("it runs");
            String::from_utf8(done.stdout).expect("text").trim().to_owned()
        };
        let now = || run("date", &["+%s"]).parse::<i64>().expect("seconds");
        let before = now();
        assert_eq!(shim.count(Counter::ClocksShifted).expect("a count"), 0);
        for shift in [3 * 86_400, -86_400] {
            shim.shift_clock(shift).expect("shifted");
            assert!((now() - before - shift).abs() < 60, "shifted by {shift} s");
        }
        shim.shift_clock(0).expect("back");
        assert!((now() - before).abs() < 60);
        assert!(shim.count(Counter::ClocksShifted).expect("a count") >= 2);
        shim.slow_down(Duration::from_millis(10), Duration::from_millis(20), 1).expect("slow");
        let written = folder.path().join("x");
        run("dd", &["if=/dev/zero", &format!("of={}", written.display()), "bs=1", "count=1", "conv=fsync"]);
        assert_eq!(shim.count(Counter::DiskDelayed).expect("a count"), 2, "a write and a sync");
    }
}
