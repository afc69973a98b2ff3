//! The point index: which rows of which file hold a token.
//!
//! For every file and every indexed column it stores the first eight bytes of each value with the row's number, sorted,
//! in blocks of 512:
//!
//! ```text
//! item u16 | file 16 bytes (its uuid) | column u16 | first prefix u64   →  (prefix u64 | row u32) × ≤ 512
//! item u16 | file 16 bytes            | 0xffff     | 0                  →  fingerprint u64: the file is indexed
//! ```
//!
//! All integers big-endian. A file's entries are written once, after its commit, and dropped with the file, so there is
//! nothing to keep in step but the set of indexed files: what is missing is read from the file itself, what is left
//! over is found by its marker. Losing the index loses nothing (D4). Eight bytes may be shared by two tokens once in a
//! great while: readers compare whole tokens.

use std::collections::HashSet;
use std::path::Path;

use arrow::array::{Array, FixedSizeBinaryArray};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use minqiao_core::Token;

use crate::LakeError;
use crate::layout::ItemLayout;

const BLOCK_ENTRIES: usize = 512;
const ENTRY_BYTES: usize = 12;
const MARKER: u16 = u16::MAX;

/// Names a file in the index.
pub(crate) type FileId = [u8; 16];

/// The uuid in a file's name.
pub(crate) fn file_id(path: &str) -> Option<FileId> {
    let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
    uuid::Uuid::try_parse(name).ok().map(uuid::Uuid::into_bytes)
}

/// Entries of one column of one file, in the making.
#[derive(Debug, Default)]
pub(crate) struct ColumnEntries {
    entries: Vec<(u64, u32)>,
    rows: u32,
}

impl ColumnEntries {
    /// Adds the next rows of the file.
    pub(crate) fn extend(&mut self, column: &FixedSizeBinaryArray) {
        for row in 0..column.len() {
            if column.is_valid(row) {
                self.entries.push((prefix_of(column.value(row)), self.rows));
            }
            self.rows += 1;
        }
    }
}

/// Entries of one file: one per indexed column, in the layout's order.
#[derive(Debug, Default)]
pub(crate) struct FileEntries {
    pub(crate) columns: Vec<ColumnEntries>,
}

fn prefix_of(value: &[u8]) -> u64 {
    value.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// See the module.
pub(crate) struct PointIndex {
    database: Database,
    blocks: Keyspace,
}

impl std::fmt::Debug for PointIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PointIndex")
    }
}

impl PointIndex {
    /// Opens or makes the index in a directory. Blocking.
    pub(crate) fn open(directory: &Path, cache_bytes: u64) -> Result<Self, LakeError> {
        let database = Database::builder(directory)
            .cache_size(cache_bytes)
            .max_journaling_size(128 << 20)
            .worker_threads(1)
            .open()?;
        let blocks = database.keyspace("blocks", || KeyspaceCreateOptions::default().max_memtable_size(16 << 20))?;
        Ok(Self { database, blocks })
    }

    /// Fails when a write that the disk refused has ended the index until it is opened again. Blocking.
    pub(crate) fn check(&self) -> Result<(), LakeError> {
        Ok(self.database.persist(PersistMode::Buffer)?)
    }

    /// Stores a file's entries. Blocking.
    pub(crate) fn add(&self, layout: &ItemLayout, file: FileId, entries: FileEntries) -> Result<(), LakeError> {
        let item = layout.no;
        let mut batch = self.database.batch();
        for (column, mut of_column) in entries.columns.into_iter().enumerate() {
            of_column.entries.sort_unstable();
            let column = u16::try_from(column).unwrap_or(MARKER - 1);
            for (number, block) in (0..).zip(of_column.entries.chunks(BLOCK_ENTRIES)) {
                let mut value = Vec::with_capacity(block.len() * ENTRY_BYTES);
                for (prefix, row) in block {
                    value.extend_from_slice(&prefix.to_be_bytes());
                    value.extend_from_slice(&row.to_be_bytes());
                }
                batch.insert(&self.blocks, key(item, &file, column, block[0].0, number).as_slice(), value);
            }
        }
        let fingerprint = layout.index_fingerprint().to_be_bytes();
        batch.insert(&self.blocks, key(item, &file, MARKER, 0, 0).as_slice(), fingerprint.as_slice());
        batch.commit()?;
        Ok(())
    }

    /// True when the file's entries are here, of the columns that are indexed now.
    pub(crate) fn has(&self, layout: &ItemLayout, file: &FileId) -> Result<bool, LakeError> {
        let marker = self.blocks.get(key(layout.no, file, MARKER, 0, 0))?;
        Ok(marker.is_some_and(|marker| *marker == layout.index_fingerprint().to_be_bytes()))
    }

    /// Rows whose value in the column (a position in the layout's list) may be one of the tokens, ascending; `None`
    /// when the file is not indexed. Blocking.
    pub(crate) fn rows(
        &self,
        layout: &ItemLayout,
        file: &FileId,
        column: usize,
        tokens: &[Token],
    ) -> Result<Option<Vec<u32>>, LakeError> {
        if !self.has(layout, file)? {
            return Ok(None);
        }
        let item = layout.no;
        let column = u16::try_from(column).unwrap_or(MARKER - 1);
        let mut rows = Vec::new();
        for token in tokens {
            let wanted = prefix_of(&token.0);
            let blocks = key(item, file, column, 0, 0)..=key(item, file, column, wanted, u32::MAX);
            for block in self.blocks.range(blocks).rev() {
                let value = block.value()?;
                let entries = value.chunks_exact(ENTRY_BYTES);
                let first = entries.clone().next().map_or(0, prefix_of);
                rows.extend(
                    entries
                        .filter(|entry| prefix_of(entry) == wanted)
                        .filter_map(|entry| entry.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))),
                );
                // Equal prefixes may begin in the block before when they fill this one from its start.
                if first != wanted {
                    break;
                }
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(rows))
    }

    /// Drops the entries of a file. Blocking.
    pub(crate) fn remove(&self, item: u16, file: &FileId) -> Result<(), LakeError> {
        let mut batch = self.database.batch();
        for block in self.blocks.prefix(&key(item, file, 0, 0, 0)[..18]) {
            batch.remove(&self.blocks, block.key()?);
        }
        batch.commit()?;
        Ok(())
    }

    /// Drops what belongs to files that are not live. Blocking.
    pub(crate) fn retain(&self, item: u16, live: &HashSet<FileId>) -> Result<(), LakeError> {
        let mut dead = HashSet::new();
        for block in self.blocks.prefix(item.to_be_bytes()) {
            let name = block.key()?;
            if let Some(file) = name.get(2..18).and_then(|bytes| FileId::try_from(bytes).ok())
                && !live.contains(&file)
            {
                dead.insert(file);
            }
        }
        dead.iter().try_for_each(|file| self.remove(item, file))
    }

    /// Drops everything. Blocking.
    pub(crate) fn clear(&self) -> Result<(), LakeError> {
        Ok(self.blocks.clear()?)
    }
}

/// The block's number keeps blocks apart that one token fills from end to end.
fn key(item: u16, file: &FileId, column: u16, prefix: u64, number: u32) -> [u8; 32] {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&item.to_be_bytes());
    key[2..18].copy_from_slice(file);
    key[18..20].copy_from_slice(&column.to_be_bytes());
    key[20..28].copy_from_slice(&prefix.to_be_bytes());
    key[28..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::*;

    fn entries(values: &[[u8; 16]]) -> FileEntries {
        let mut column = ColumnEntries::default();
        column.extend(&FixedSizeBinaryArray::try_from_iter(values.iter()).expect("sixteen bytes"));
        FileEntries { columns: vec![column] }
    }

    fn layout(no: u16) -> ItemLayout {
        let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("+08:00".into()));
        let fields = vec![
            Field::new("_key", DataType::FixedSizeBinary(16), false),
            Field::new("_source_updated_at", time(), true),
            Field::new("_received_at", time(), true),
            Field::new("_op", DataType::Utf8, false),
            Field::new("_content_hash", DataType::Utf8, false),
        ];
        ItemLayout::new("item", no, Arc::new(Schema::new(fields)), None).expect("a layout")
    }

    #[test]
    fn rows_are_found_across_blocks_and_only_in_their_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let index = PointIndex::open(directory.path(), 1 << 20).expect("an index");
        let (three, one, other) = (layout(3), [1; 16], [2; 16]);
        // 1,500 rows of one token span three blocks.
        let mut values = vec![[7; 16]; 1500];
        values.extend((0..600u32).map(|i| {
            let mut value = [9; 16];
            value[..4].copy_from_slice(&(i * 1000).to_be_bytes());
            value
        }));
        index.add(&three, one, entries(&values)).expect("added");
        index.add(&three, other, entries(&[[7; 16]])).expect("added");
        let rows = index.rows(&three, &one, 0, &[Token([7; 16])]).expect("read").expect("indexed");
        assert_eq!(rows, (0..1500).collect::<Vec<u32>>());
        let mut wanted = [9; 16];
        wanted[..4].copy_from_slice(&599_000u32.to_be_bytes());
        assert_eq!(index.rows(&three, &one, 0, &[Token(wanted)]).expect("read"), Some(vec![2099]));
        assert_eq!(index.rows(&three, &one, 0, &[Token([8; 16])]).expect("read"), Some(vec![]));
        assert_eq!(index.rows(&layout(4), &one, 0, &[Token([7; 16])]).expect("read"), None);
        index.retain(3, &HashSet::from([other])).expect("retained");
        assert!(!index.has(&three, &one).expect("read") && index.has(&three, &other).expect("read"));
    }
}
