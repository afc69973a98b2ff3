//! What a run cost, and where it ran.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

/// Cost of a stretch of work of this process.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    /// Wall time.
    pub(crate) seconds: f64,
    /// Processor time of all threads, user and system.
    pub(crate) cpu_seconds: f64,
}

/// Measures from here.
#[derive(Debug)]
pub(crate) struct Meter {
    wall: Instant,
    cpu: f64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
        let wall = Instant::now();
        Self { wall, cpu: cpu_seconds() }
    }

    pub(crate) fn cost(&self) -> Cost {
        Cost { seconds: self.wall.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds() - self.cpu }
    }
}

/// Processor seconds of this process so far; `/proc` counts in hundredths on every Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| after_name.split_whitespace().nth(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// Processor, cores, memory, kernel and versions.
pub(crate) fn machine() -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let gib = kib.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) / f64::from(1 << 20);
    json!({
        "processor": model.trim_start_matches([' ', '\t', ':']).trim(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": (gib * 10.0).round() / 10.0,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "minqiao": env!("CARGO_PKG_VERSION"),
    })
}

/// Quantile of sorted values by the nearest rank.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Two decimals are enough for people.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
