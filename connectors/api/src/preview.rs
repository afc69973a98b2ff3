//! A look at what a file would become, without telling anybody: normalised rows masked, refused rows with their reasons.
//!
//! Nothing is submitted and no checkpoint moves. Unlike a run, a preview also asks the catalogue's checks that the hub
//! asks later, because its reader wants to know now. Sealed fields are masked; a mask keeps at most a character at each
//! end, so that columns can be told apart and persons cannot.

use std::sync::Arc;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::NaiveDate;
use minqiao_schemas::check::Checker;
use serde::Serialize;

use crate::layout::Layout;
use crate::mapper::Mapper;
use crate::mapping::Mapping;
use crate::reason::PlacedReason;
use crate::source::{FileRef, Limits, SourceError, Sources};

/// What a file would become.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    /// File.
    pub file: String,
    /// Sheet.
    pub sheet: String,
    /// Names of the columns, those without any value left out.
    pub columns: Vec<String>,
    /// Rows that would be submitted: physical row and masked values.
    pub rows: Vec<(u32, Vec<String>)>,
    /// Rows that would be refused: physical row and reasons.
    pub refused: Vec<(u32, Vec<PlacedReason>)>,
}

/// Previews the first `rows_max` rows of a file.
pub fn preview(
    sources: &dyn Sources,
    mapping: &Arc<Mapping>,
    file: &FileRef,
    rows_max: usize,
    today: NaiveDate,
) -> Result<Preview, SourceError> {
    let limits = Limits { piece_rows: rows_max.max(1), ..Limits::default() };
    let mut source = sources.open(file, &mapping.source, &limits, None)?;
    let sheet = source.head().sheet.clone();
    let refused = |refusal| SourceError::Refused { file: file.name.clone(), refusal };
    let layout = Layout::bind(mapping, source.head(), &file.name).map_err(refused)?;
    let mapper = Mapper::new(Arc::clone(mapping), layout, &limits);
    source.set_width(mapper.width());
    let mut preview =
        Preview { file: file.name.clone(), sheet, columns: Vec::new(), rows: Vec::new(), refused: Vec::new() };
    let Some(piece) = source.next_piece()? else { return Ok(preview) };
    let mapped = mapper.map(&piece.rows());
    let problems = Checker::for_item(mapping.item)
        .check_batch(&mapped.batch, today)
        .expect("a mapper makes batches in the item's own schema");
    let mut hub: Vec<(u32, Vec<PlacedReason>)> = Vec::new();
    for problem in &problems {
        let row = mapped.rows[problem.row];
        let reason = minqiao_core::RowReason {
            code: problem.reason.code().to_owned(),
            field: problem.field_of(mapping.item).map(|f| f.name.clone()),
            message_zh: problem.message_zh(mapping.item),
            message_en: problem.message_en(mapping.item),
        };
        let placed = PlacedReason::from_hub(reason, row, mapping);
        match hub.last_mut() {
            Some((last, reasons)) if *last == row => reasons.push(placed),
            _ => hub.push((row, vec![placed])),
        }
    }
    let bad: std::collections::BTreeSet<usize> = problems.iter().map(|p| p.row).collect();
    let schema = mapped.batch.schema();
    let shown: Vec<usize> = (0..schema.fields().len())
        .filter(|&at| {
            let column = mapped.batch.column(at);
            column.null_count() < column.len()
        })
        .collect();
    preview.columns = shown.iter().map(|&at| schema.field(at).name().clone()).collect();
    for (at, &row) in mapped.rows.iter().enumerate().filter(|(at, _)| !bad.contains(at)) {
        let values = shown.iter().map(|&column| shown_value(mapping, &mapped.batch, column, at));
        preview.rows.push((row, values.collect()));
    }
    preview.refused = mapped.rejects.into_iter().map(|reject| (reject.row, reject.reasons)).chain(hub).collect();
    preview.refused.sort_by_key(|(row, _)| *row);
    Ok(preview)
}

/// A value as text; masked when the hub would seal it. Source record numbers are opaque and masked too.
fn shown_value(mapping: &Mapping, batch: &arrow::record_batch::RecordBatch, column: usize, row: usize) -> String {
    let array = batch.column(column);
    if array.is_null(row) {
        return String::new();
    }
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(array.as_ref(), &options).map(|f| f.value(row).to_string()).unwrap_or_default();
    let name = batch.schema_ref().field(column).name();
    let sealed = mapping.item.fields.get(column).is_some_and(|field| field.is_sealed());
    if sealed || name == "_source_record_id" { mask(&text) } else { text }
}

/// First and last character, the number of characters hidden beyond twelve.
pub fn mask(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match letters.as_slice() {
        [] => String::new(),
        [first] | [first, _] => format!("{first}*"),
        [first, middle @ .., last] => format!("{first}{}{last}", "*".repeat(middle.len().min(10))),
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masks_keep_the_ends_only() {
        for (text, masked) in
            [("", ""), ("王", "王*"), ("王五", "王*"), ("王小明", "王*明"), ("371002199001011234", "3**********4")]
        {
            assert_eq!(mask(text), masked);
        }
    }
}
