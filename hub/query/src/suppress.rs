//! Which cells of a guarded aggregate are released ([`crate::guard`] says why).
//!
//! Two steps of the same rule: first whole cells are held back, then single values of the released ones. After each, no
//! group of cells may give away what was held back in it: a group is all cells that agree in some of the keys (in none
//! of them: all cells), because its total can be had by a coarser `GROUP BY`. A group gives something away when the
//! people held back in it are at least one and fewer than `k`, counted once however many cells they are in, or when they
//! are in one cell only; then its smallest cell with at least `k` people is held back too, until nothing changes.
//!
//! Pure but for the two readers of batches. Cells are put in the order of their keys first, so the same question has the
//! same answer whatever order the engine found them in.

use std::collections::{BTreeSet, HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter, nullif};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{DataFusionError, Result};

/// Columns of the two answers that suppression works on.
///
/// ```text
/// cells:   keys ─ values of the calls ─ people per table ─ people with a value, per call over a column
/// people:  keys ─ the person per table ─ the person if there is a value, per call over a column
/// ```
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) keys: usize,
    pub(crate) calls: usize,
    pub(crate) tables: usize,
    /// Of the calls, those over a column.
    pub(crate) over_columns: Vec<usize>,
}

impl Shape {
    fn views(&self) -> usize {
        self.tables + self.over_columns.len()
    }
}

type Person = [u8; 16];

/// The people of one cell, by name only where they are fewer than `k`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum People {
    Few(HashSet<Person>),
    Enough,
}

/// Cells on their way to release.
#[derive(Debug)]
pub(crate) struct Cells {
    shape: Shape,
    k: usize,
    batch: RecordBatch,
    converters: Vec<RowConverter>,
    codes: Vec<HashMap<OwnedRow, u32>>,
    keys: Vec<Vec<u32>>,
    at: HashMap<Vec<u32>, usize>,
    counts: Vec<Vec<i64>>,
    people: Vec<Vec<People>>,
    stale: bool,
}

impl Cells {
    pub(crate) fn of(schema: &SchemaRef, batches: &[RecordBatch], shape: Shape, k: u32) -> Result<Self> {
        let batch = concat_batches(schema, batches)?;
        let k = usize::try_from(k).unwrap_or(usize::MAX);
        let mut converters = Vec::new();
        let mut codes = Vec::new();
        let mut keys = vec![Vec::with_capacity(shape.keys); batch.num_rows()];
        for column in batch.columns().iter().take(shape.keys) {
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
            let rows: Vec<OwnedRow> =
                converter.convert_columns(std::slice::from_ref(column))?.iter().map(|row| row.owned()).collect();
            let distinct: BTreeSet<&OwnedRow> = rows.iter().collect();
            let known: HashMap<OwnedRow, u32> = (0u32..).zip(distinct).map(|(code, row)| (row.clone(), code)).collect();
            for (key, row) in keys.iter_mut().zip(&rows) {
                key.push(known.get(row).copied().unwrap_or(u32::MAX));
            }
            converters.push(converter);
            codes.push(known);
        }
        let first = shape.keys + shape.calls;
        let counts: Vec<Vec<i64>> = (0..shape.views())
            .map(|view| {
                let column = batch.columns().get(first + view).and_then(|c| c.as_primitive_opt::<Int64Type>());
                let column = column.ok_or_else(|| DataFusionError::Internal("people are counted".into()))?;
                Ok(column.iter().map(|count| count.unwrap_or(0)).collect())
            })
            .collect::<Result<_>>()?;
        let enough = |count: &i64| usize::try_from(*count).unwrap_or(0) >= k;
        let people = counts
            .iter()
            .map(|view| {
                let of = |count| if enough(count) { People::Enough } else { People::Few(HashSet::new()) };
                view.iter().map(of).collect()
            })
            .collect();
        let at = keys.iter().enumerate().map(|(at, key)| (key.clone(), at)).collect();
        Ok(Self { shape, k, batch, converters, codes, keys, at, counts, people, stale: false })
    }

    /// Whether a cell is small, so that the people of small cells must be known.
    pub(crate) fn any_small(&self) -> bool {
        self.people.iter().flatten().any(|people| *people != People::Enough)
    }

    /// Learns who is in the small cells.
    pub(crate) fn learn(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut keys = vec![Vec::with_capacity(self.shape.keys); batch.num_rows()];
        for ((column, converter), known) in batch.columns().iter().zip(&self.converters).zip(&self.codes) {
            let rows = converter.convert_columns(std::slice::from_ref(column))?;
            for (key, row) in keys.iter_mut().zip(rows.iter()) {
                key.push(known.get(&row.owned()).copied().unwrap_or(u32::MAX));
            }
        }
        for view in 0..self.shape.views() {
            let column = batch.columns().get(self.shape.keys + view).and_then(|c| c.as_fixed_size_binary_opt());
            let column = column.ok_or_else(|| DataFusionError::Internal("a person is a token".into()))?;
            for (row, key) in keys.iter().enumerate() {
                if column.is_null(row) {
                    continue;
                }
                let Ok(person) = Person::try_from(column.value(row)) else {
                    return Err(DataFusionError::Internal("a person is a token".into()));
                };
                match self.at.get(key).map(|cell| &mut self.people[view][*cell]) {
                    Some(People::Few(known)) => {
                        known.insert(person);
                    }
                    Some(People::Enough) => {}
                    None => self.stale = true,
                }
            }
        }
        Ok(())
    }

    /// Whether the table changed between the counting of the cells and the naming of their people.
    pub(crate) fn is_stale(&self) -> bool {
        let differs = |(people, count): (&People, &i64)| match people {
            People::Few(known) => i64::try_from(known.len()) != Ok(*count),
            People::Enough => false,
        };
        self.stale || self.people.iter().flatten().zip(self.counts.iter().flatten()).any(differs)
    }

    /// The keys and values that may be seen.
    pub(crate) fn released(&self, schema: SchemaRef) -> Result<RecordBatch> {
        let tables = &self.people[..self.shape.tables];
        let counts = &self.counts[..self.shape.tables];
        let small = |cell: usize, views: &[Vec<People>]| views.iter().any(|view| view[cell] != People::Enough);
        let cells = 0..self.keys.len();
        let rows: Vec<bool> = cells.clone().map(|cell| small(cell, tables)).collect();
        let rows = held_back(&self.keys, tables, counts, rows, self.k);
        let shown: BooleanArray = rows.iter().map(|held| Some(!held)).collect();
        let mut columns = Vec::with_capacity(self.shape.keys + self.shape.calls);
        for (at, column) in self.batch.columns().iter().take(self.shape.keys + self.shape.calls).enumerate() {
            let call = at.checked_sub(self.shape.keys);
            let view = self.shape.over_columns.iter().position(|over| Some(*over) == call);
            let column: ArrayRef = match view.map(|view| self.shape.tables + view) {
                None => column.clone(),
                Some(view) => {
                    let people = &self.people[view..=view];
                    let values: Vec<bool> = cells.clone().map(|cell| rows[cell] || small(cell, people)).collect();
                    let values = held_back(&self.keys, people, &self.counts[view..=view], values, self.k);
                    nullif(column, &values.into_iter().map(Some).collect())?
                }
            };
            columns.push(filter(&column, &shown)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(shown.true_count()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}

/// `held` and what must be held back besides, so that no group gives it away.
fn held_back(
    keys: &[Vec<u32>],
    views: &[Vec<People>],
    counts: &[Vec<i64>],
    mut held: Vec<bool>,
    k: usize,
) -> Vec<bool> {
    if !held.contains(&true) {
        return held;
    }
    let width = keys.first().map_or(0, Vec::len);
    // Every choice of keys but all of them, most keys first: bit n says that the cells of a group agree in key n.
    let mut choices: Vec<usize> = (0..(1usize << width) - 1).collect();
    choices.sort_by_key(|agreed| std::cmp::Reverse(agreed.count_ones()));
    let size = |cell: usize| counts.iter().map(|view| view[cell]).collect::<Vec<i64>>();
    loop {
        let mut more = false;
        for agreed in &choices {
            let mut groups: HashMap<Vec<u32>, Vec<usize>> = HashMap::new();
            for (cell, key) in keys.iter().enumerate() {
                let part = key.iter().enumerate().filter(|(n, _)| (*agreed >> n) & 1 == 1).map(|(_, code)| *code);
                groups.entry(part.collect()).or_default().push(cell);
            }
            for group in groups.values() {
                if !gives_away(group, views, &held, k) {
                    continue;
                }
                let smallest =
                    group.iter().filter(|cell| !held[**cell]).min_by_key(|cell| (size(**cell), &keys[**cell]));
                if let Some(cell) = smallest {
                    held[*cell] = true;
                    more = true;
                }
            }
        }
        if !more {
            return held;
        }
    }
}

fn gives_away(group: &[usize], views: &[Vec<People>], held: &[bool], k: usize) -> bool {
    views.iter().any(|view| {
        let mut together: HashSet<&Person> = HashSet::new();
        let (mut cells, mut enough) = (0usize, false);
        for cell in group.iter().filter(|cell| held[**cell]) {
            match &view[*cell] {
                People::Few(people) if people.is_empty() => continue,
                People::Few(people) => together.extend(people),
                People::Enough => enough = true,
            }
            cells += 1;
        }
        cells == 1 || cells > 0 && !enough && together.len() < k
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(cells: &[&[u8]], k: usize) -> (Vec<People>, Vec<i64>) {
        let of = |cell: &&[u8]| {
            let named: HashSet<Person> = cell.iter().map(|n| [*n; 16]).collect();
            if named.len() >= k { People::Enough } else { People::Few(named) }
        };
        (cells.iter().map(of).collect(), cells.iter().map(|cell| cell.len() as i64).collect())
    }

    /// Which cells are held back; `k` is 5.
    fn held(cells: &[(&[u32], &[u8])]) -> Vec<bool> {
        let keys: Vec<Vec<u32>> = cells.iter().map(|(key, _)| key.to_vec()).collect();
        let named: Vec<&[u8]> = cells.iter().map(|(_, people)| *people).collect();
        let (view, counts) = people(&named, 5);
        let small = view.iter().map(|people| *people != People::Enough).collect();
        held_back(&keys, &[view], &[counts], small, 5)
    }

    const MANY: &[u8] = &[11, 12, 13, 14, 15, 16, 17];
    const MORE: &[u8] = &[21, 22, 23, 24, 25, 26, 27, 28];

    #[test]
    fn five_people_in_two_small_cells_hide_each_other() {
        assert_eq!(held(&[(&[0], &[1, 2]), (&[1], &[3, 4, 5]), (&[2], MANY)]), [true, true, false]);
    }

    #[test]
    fn one_person_in_five_cells_is_one_person() {
        let cells: [(&[u32], &[u8]); 7] =
            [(&[0], &[1]), (&[1], &[1]), (&[2], &[1]), (&[3], &[1]), (&[4], &[1]), (&[5], MORE), (&[6], MANY)];
        assert_eq!(held(&cells), [true, true, true, true, true, false, true], "the smallest other goes too");
    }

    #[test]
    fn small_cells_under_other_parents_do_not_hide_each_other() {
        // Six people together, but two under parent 0 and four under parent 1.
        let cells: [(&[u32], &[u8]); 6] = [
            (&[0, 0], &[1, 2]),
            (&[0, 1], MANY),
            (&[0, 2], MORE),
            (&[1, 0], &[3, 4, 5, 6]),
            (&[1, 1], MANY),
            (&[1, 2], MORE),
        ];
        let held = held(&cells);
        assert!(held[1] && held[4], "each parent loses its smallest: {held:?}");
        // Columns 0 hold six people between them and columns 1 fourteen.
        assert_eq!(held, [true, true, false, true, true, false]);
    }

    #[test]
    fn totals_by_the_second_key_alone_give_nothing_away_either() {
        let cells: [(&[u32], &[u8]); 4] = [(&[0, 0], &[1, 2]), (&[0, 1], MANY), (&[1, 0], MORE), (&[1, 1], MORE)];
        assert_eq!(held(&cells), [true, true, true, true]);
    }

    #[test]
    fn cells_without_anybody_give_nothing_away() {
        assert_eq!(held(&[(&[0], &[]), (&[1], MANY)]), [true, false]);
        assert_eq!(held(&[(&[0], MORE), (&[1], MANY)]), [false, false]);
    }
}
