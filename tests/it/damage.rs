//! One flipped bit anywhere below the embedded log: the hub says so, or nothing is missing and nothing is changed
//! (`BUS-1`). Silence with other messages than those that were acknowledged is the one thing that must not be.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use minqiao_bus::{Bus, BusError, EmbeddedBus, EmbeddedOptions, Headers, Message, Span};
use minqiao_tests::Schedule;

const TOPIC: &str = "t";
const PARTITIONS: u32 = 2;
const APPENDS: u64 = 60;
const FLIPS: usize = 400;

/// What a damaged log does.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It does not open, or reading it is an error.
    Told,
    /// Everything is there.
    Whole,
    /// It opens, and lacks messages or holds others.
    Silent(String),
}

fn message(number: u64, payload: Bytes) -> Message {
    let headers = Headers {
        item: "real_estate_ownership".to_owned(),
        catalogue_version: "1.0.0".to_owned(),
        batch_id: format!("b{number}"),
        provider: "housing-urban-rural.371002".to_owned(),
        span: Span { first_row: 0, rows: 1 },
        epoch: 0,
    };
    Message { headers, payload }
}

fn options(folder: &Path, memtable_bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions { memtable_bytes, ..EmbeddedOptions::at(folder) }
}

/// Fills a log; answers its payloads by partition.
async fn fill(folder: &Path, memtable_bytes: u64, schedule: &mut Schedule) -> Vec<Vec<Bytes>> {
    let bus = EmbeddedBus::open(options(folder, memtable_bytes)).expect("the bus opens");
    bus.ensure_topic(TOPIC, PARTITIONS).await.expect("made");
    let mut sent = vec![Vec::new(); PARTITIONS as usize];
    for number in 0..APPENDS {
        let length = schedule.below(3000) + 1;
        let payload: Bytes = (0..length).map(|_| schedule.draw() as u8).collect();
        let partition = u32::try_from(number).expect("small") % PARTITIONS;
        bus.append(TOPIC, partition, vec![message(number, payload.clone())]).await.expect("acknowledged");
        sent[partition as usize].push(payload);
    }
    bus.close().await.expect("closed");
    drop(bus);
    for journal in files(folder).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "jnl")) {
        // Preallocated with zeros, which need not be copied four hundred times.
        let bytes = std::fs::read(&journal).expect("a journal");
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        std::fs::File::options().write(true).open(&journal).and_then(|f| f.set_len(used as u64)).expect("cut");
    }
    sent
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

async fn read(folder: &Path, memtable_bytes: u64) -> Result<Vec<Vec<Bytes>>, BusError> {
    let bus = EmbeddedBus::open(options(folder, memtable_bytes))?;
    let mut found = Vec::new();
    for partition in 0..PARTITIONS {
        let end = match bus.end_offset(TOPIC, partition).await {
            // A topic that is not there is told to nobody: a hub would make it anew.
            Err(BusError::UnknownTopic { .. }) => 0,
            end => end?,
        };
        let mut records = Vec::new();
        while (records.len() as u64) < end {
            let from = records.len() as u64;
            records.extend(bus.fetch(TOPIC, partition, from, 1 << 20).await?.into_iter().map(|r| r.payload));
        }
        found.push(records);
    }
    Ok(found)
}

/// On a thread of its own: a panic of the engine is told, too.
fn judge(folder: PathBuf, memtable_bytes: u64, sent: &[Vec<Bytes>]) -> Outcome {
    let reading = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(read(&folder, memtable_bytes))
    });
    match reading.join() {
        Err(_) | Ok(Err(_)) => Outcome::Told,
        Ok(Ok(found)) if found == sent => Outcome::Whole,
        Ok(Ok(found)) => Outcome::Silent(format!("{:?} messages", found.iter().map(Vec::len).collect::<Vec<_>>())),
    }
}

async fn flip_many(memtable_bytes: u64, seed: u64) {
    let mut schedule = Schedule::new(seed);
    let base = tempfile::tempdir().expect("a folder");
    let sent = fill(base.path(), memtable_bytes, &mut schedule).await;
    assert_eq!(judge(base.path().to_owned(), memtable_bytes, &sent), Outcome::Whole, "before any damage");
    let all = files(base.path());
    let sizes: Vec<u64> = all.iter().map(|file| std::fs::metadata(file).expect("a file").len()).collect();
    let (mut told, mut silent) = (0, Vec::new());
    for _ in 0..FLIPS {
        let mut at = schedule.below(sizes.iter().sum());
        let which = sizes.iter().position(|size| {
            let here = at < *size;
            at -= if here { 0 } else { *size };
            here
        });
        let which = which.expect("within a file");
        let damaged = tempfile::tempdir().expect("a folder");
        copy(base.path(), damaged.path());
        let name = all[which].strip_prefix(base.path()).expect("below it");
        let mut bytes = std::fs::read(damaged.path().join(name)).expect("a file");
        let bit = 1 << schedule.below(8);
        bytes[usize::try_from(at).expect("an index")] ^= bit;
        std::fs::write(damaged.path().join(name), bytes).expect("written");
        match judge(damaged.path().to_owned(), memtable_bytes, &sent) {
            Outcome::Told => told += 1,
            Outcome::Whole => {}
            Outcome::Silent(what) => silent.push(format!("{} byte {at} bit {bit}: {what}", name.display())),
        }
    }
    assert!(told > FLIPS / 4, "only {told} of {FLIPS} flips struck what is read");
    assert!(silent.is_empty(), "seed {seed}: {told} told, {} silent:\n{}", silent.len(), silent.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_journal_is_never_silent() {
    flip_many(32 << 20, 20_261_122).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_written_tables_is_never_silent() {
    flip_many(16 << 10, 20_261_123).await;
}
